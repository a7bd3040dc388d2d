//! `d1oci bag validate`: the rules of RFC 8493, all faults at once.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use bagit::{Accept, CheckOptions, Report, ScanOptions, Verdict};
use serde::Serialize;

use super::{AcceptArgument, fault_line, progress};
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::human;

/// Validate a bag: a directory, a tar archive (plain or gzip) or a zip file.
///
/// All faults are listed, each with a stable code.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci bag validate ./dataset_10.18739_A2D795C92 --format json")]
pub(crate) struct Arguments {
    /// The bag.
    bag: PathBuf,
    /// Faults that are tolerated.
    #[arg(long, value_enum, value_name = "WHOSE")]
    accept: Option<AcceptArgument>,
    /// Number of threads that hash files [default: one for each core].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

impl Arguments {
    /// Returns the arguments that validate this bag with the defaults.
    pub(crate) fn of(bag: impl Into<PathBuf>, accept: Option<AcceptArgument>) -> Self {
        Self { bag: bag.into(), accept, threads: 0 }
    }
}

#[derive(Debug, Serialize)]
struct Validated<'a> {
    path: String,
    #[serde(flatten)]
    report: &'a Report,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let report = validate(context, arguments)?;
    print(context, &arguments.bag, &report)
}

/// Prints a report, and fails if the bag is not valid.
pub(crate) fn print(context: &Context, path: &Path, report: &Report) -> Result<(), Failure> {
    let validated = Validated { path: path.display().to_string(), report };
    context.printer.result(&validated, text)?;
    if report.valid {
        return Ok(());
    }
    let faults = human::count(report.errors().count() as u64, "fault");
    let state = if report.verdict == Verdict::IncompleteFetchable { "incomplete" } else { "not valid" };
    let failure = Failure::new(ExitStatus::Invalid, format!("`{}` is {state}: {faults}", path.display()));
    let mendable = report.errors().all(|fault| fault.code.is_dataone());
    Err(if mendable {
        failure.with_hint("these are known faults of DataONE's own tools: `d1oci bag repair` mends them")
    } else {
        failure
    })
}

fn validate(context: &Context, arguments: &Arguments) -> Result<Report, Failure> {
    let mut scan = ScanOptions::default();
    scan.threads = arguments.threads;
    let check = CheckOptions::accepting(arguments.accept.map_or(Accept::Strict, Accept::from));
    let (path, progress) = (&arguments.bag, progress(context));
    let metadata = std::fs::metadata(path).map_err(|error| Failure::file("open", path, error))?;
    if metadata.is_dir() {
        return Ok(bagit::validate_directory(path, &scan, &check, &progress)?);
    }
    validate_archive(path, &scan, &check, &progress)
}

/// Validates a zip file, or a tar archive with or without compression: the first bytes tell.
fn validate_archive(
    path: &Path,
    scan: &ScanOptions,
    check: &CheckOptions,
    progress: &dyn bagit::Progress,
) -> Result<Report, Failure> {
    let failed = |error| Failure::file("read", path, error);
    let mut file = File::open(path).map_err(|error| Failure::file("open", path, error))?;
    let mut magic = [0; 4];
    let count = file.read(&mut magic).map_err(failed)?;
    file.rewind().map_err(failed)?;
    if magic.get(..count).is_some_and(|magic| magic.starts_with(b"PK")) {
        return Ok(bagit::validate_zip(file, scan, check, progress)?);
    }
    Ok(bagit::validate_tar(file, scan, check, progress)?)
}

fn text(validated: &Validated<'_>) -> String {
    let report = validated.report;
    let mut text = String::new();
    for fault in &report.faults {
        let severity = match fault.severity {
            bagit::Severity::Error => "error",
            bagit::Severity::Warning => "warning",
            bagit::Severity::Info => "info",
        };
        text += &format!("{severity:<8} {}\n", fault_line(fault));
    }
    let version =
        report.version.map_or_else(|| "unknown version".to_owned(), |version| format!("BagIt {version}"));
    let verdict = match report.verdict {
        Verdict::Valid => "valid",
        Verdict::IncompleteFetchable => "incomplete, but the rest can be fetched",
        Verdict::Invalid => "not valid",
    };
    let algorithms: Vec<_> = report.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    text += &format!(
        "{} is {verdict} ({version}; {}, {}; {})",
        validated.path,
        human::count(report.payload_files, "payload file"),
        human::bytes(report.payload_bytes),
        if algorithms.is_empty() { "no checksums".to_owned() } else { algorithms.join(", ") },
    );
    text
}
