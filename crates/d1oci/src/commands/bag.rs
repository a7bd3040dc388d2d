//! `d1oci bag`: bags on disk, without any repository.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{
    Algorithm, BagBuilder, BagInfo, Error, Fault, FaultCode, RepairOptions, Repaired, Report, ScanOptions,
    Verdict, Version,
};
use clap::Subcommand;
use d1_package::Accept;
use d1_transfer::parts::HashProgress;
use serde::Serialize;

use crate::context::{Context, source_date_epoch};
use crate::failure::{ExitStatus, Failure};
use crate::files::{read_regular_text, require_regular};
use crate::fingerprints::{Fingerprints, Trusted, trusted, trusted_text};
use crate::output::{Lines, human};

/// Create, validate and repair bags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci bag validate ./dataset_10.18739_A2D795C92")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(CreateArguments),
    Validate(ValidateArguments),
    Repair(RepairArguments),
}

/// Create a bag from a directory or from a single file.
///
/// With a TARGET, the payload is copied into it. With `--in-place`, the directory itself becomes the bag, and its content moves into its
/// `data/`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci bag create ./plots ./plots-bag --info 'Contact-Name=Mooring Group'")]
struct CreateArguments {
    /// The payload: a directory, or a file.
    source: PathBuf,
    /// The new bag.
    #[arg(required_unless_present = "in_place", conflicts_with = "in_place")]
    target: Option<PathBuf>,
    /// Turn the source itself into a bag.
    #[arg(long)]
    in_place: bool,
    /// Algorithm of the manifests; can be repeated [default: sha512 and sha256].
    #[arg(short, long = "algorithm", value_name = "NAME")]
    algorithms: Vec<Algorithm>,
    /// Element of `bag-info.txt`, in order.
    #[arg(short, long = "info", value_name = "LABEL=VALUE", value_parser = parse_element)]
    info: Vec<(String, String)>,
    /// File in the form of `bag-info.txt`, with elements that come first.
    #[arg(long, value_name = "FILE")]
    info_file: Option<PathBuf>,
    /// `Bagging-Date` [default: today, in UTC; or the date of SOURCE_DATE_EPOCH].
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
    date: Option<String>,
    /// Directory of more tag files, and its place in the bag: `metadata:metadata`.
    #[arg(long, value_name = "DIRECTORY:PLACE")]
    include_tags: Vec<String>,
    /// Follow symbolic links in the source instead of refusing them.
    #[arg(long)]
    dereference: bool,
    /// Refuse names that some systems cannot have, instead of warning about them.
    #[arg(long)]
    portable: bool,
    /// Put a bag into a bag.
    #[arg(long)]
    allow_bag: bool,
    /// With `--in-place`: do not read files that have not changed since an earlier run with this option hashed them.
    #[arg(long, requires = "in_place")]
    trust_unchanged: bool,
}

/// Validate a bag: a directory, a tar archive (plain or gzip) or a zip file.
///
/// Lists all faults, each with a stable code.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci bag validate ./dataset_10.18739_A2D795C92 --format json")]
struct ValidateArguments {
    /// The bag.
    bag: PathBuf,
    /// Tolerate known faults.
    #[arg(long, value_enum, value_name = "WHOSE")]
    accept: Option<AcceptArgument>,
    /// Number of threads that hash files [default: one for each core].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

/// Write a correct BagIt 1.0 bag from one with the known faults of DataONE's own tools.
///
/// The command fixes no fault that only the owner can judge: if a payload file differs from its declared checksum, it refuses the bag.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci bag repair download.zip ./dataset_10.18739_A2D795C92")]
struct RepairArguments {
    /// The bag: a directory, a tar archive (plain or gzip) or a zip file.
    bag: PathBuf,
    /// The new bag.
    #[arg(required_unless_present = "in_place", conflicts_with = "in_place")]
    target: Option<PathBuf>,
    /// Repair the bag itself: only its tag files change.
    #[arg(long)]
    in_place: bool,
    /// Algorithm of more manifests; can be repeated [default: sha512 and sha256].
    #[arg(short, long = "algorithm", value_name = "NAME")]
    algorithms: Vec<Algorithm>,
}

/// The origin of faults to tolerate.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum AcceptArgument {
    /// Faults of DataONE's own tools become warnings.
    Dataone,
}

impl From<AcceptArgument> for Accept {
    fn from(accept: AcceptArgument) -> Self {
        match accept {
            AcceptArgument::Dataone => Self::DataOne,
        }
    }
}

#[derive(Debug, Serialize)]
struct Validated<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<Trusted>,
    #[serde(flatten)]
    report: &'a Report,
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    path: String,
    changed: bool,
    before: &'a Report,
    after: &'a Report,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Create(arguments) => create(context, arguments).await,
        Action::Validate(arguments) => validate_bag(context, arguments).await,
        Action::Repair(arguments) => repair(context, arguments).await,
    }
}

/// Validates the bag at a path with the default options.
pub(crate) async fn validate(
    context: &Context,
    bag: &str,
    accept: Option<AcceptArgument>,
) -> Result<(), Failure> {
    validate_bag(context, ValidateArguments { bag: bag.into(), accept, threads: 0 }).await
}

async fn create(context: &Context, arguments: CreateArguments) -> Result<(), Failure> {
    let mut builder = builder(&arguments)?;
    let known = Fingerprints::open_if(arguments.trust_unchanged)?;
    if let Some(known) = &known {
        builder = builder.known_digests(Arc::clone(known) as _);
    }
    let progress = progress(context);
    let CreateArguments { source, target, .. } = arguments;
    let bag = target.clone().unwrap_or_else(|| source.clone());
    let created = blocking(move || match &target {
        None => builder.create_in_place(&source, &progress),
        Some(target) => {
            let builder = if source.is_file() {
                let name = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                builder.payload_file(name, &source)
            } else {
                builder.payload_directory(&source)
            };
            builder.create(target, &progress)
        }
    });
    let created = created.await?;
    let trusted = trusted(context, known.as_deref());
    print(context, &bag, &created.map_err(with_hint)?.report, trusted)
}

async fn validate_bag(context: &Context, arguments: ValidateArguments) -> Result<(), Failure> {
    let progress = progress(context);
    let bag = arguments.bag.clone();
    let report = blocking(move || report(&arguments, &progress)).await??;
    print(context, &bag, &report, None)
}

async fn repair(context: &Context, arguments: RepairArguments) -> Result<(), Failure> {
    let progress = progress(context);
    let (bag, target) = (arguments.bag.clone(), arguments.target.clone());
    let repaired = blocking(move || repaired(&arguments, &progress)).await??;
    let path = target.as_ref().unwrap_or(&bag).display().to_string();
    let outcome =
        Outcome { path, changed: repaired.changed, before: &repaired.before, after: &repaired.after.report };
    context.printer.result(&outcome, repair_text)
}

/// Runs work on a thread where it may block, so that a signal can still end the program.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| Failure::new(ExitStatus::LocalIo, error))
}

fn builder(arguments: &CreateArguments) -> Result<BagBuilder, Failure> {
    let mut builder = BagBuilder::new()
        .info(info(arguments)?)
        .bagging_date(&date(arguments.date.as_deref())?)
        .dereference(arguments.dereference)
        .portable(arguments.portable)
        .allow_bag(arguments.allow_bag);
    if !arguments.algorithms.is_empty() {
        builder = builder.algorithms(arguments.algorithms.iter().copied());
    }
    for include in &arguments.include_tags {
        let (directory, place) = include
            .rsplit_once(':')
            .ok_or_else(|| Failure::usage(format!("expected DIRECTORY:PLACE, found `{include}`")))?;
        builder = builder.tag_directory(place, directory);
    }
    Ok(builder)
}

fn info(arguments: &CreateArguments) -> Result<BagInfo, Failure> {
    let mut info = match &arguments.info_file {
        Some(path) => read_info(path)?,
        None => BagInfo::new(),
    };
    for (label, value) in &arguments.info {
        info.push(label, value).map_err(|error| Failure::new(ExitStatus::Usage, error))?;
    }
    Ok(info)
}

/// The largest file of elements in bytes.
const LARGEST_INFO: u64 = 4 * 1024 * 1024;

fn read_info(path: &Path) -> Result<BagInfo, Failure> {
    let text = read_regular_text(path, LARGEST_INFO).map_err(|error| Failure::file("read", path, error))?;
    let (info, faults) = BagInfo::parse(&text, Version::V1_0);
    if faults.is_empty() {
        return Ok(info);
    }
    let faults: Vec<_> = faults.kept().iter().map(ToString::to_string).collect();
    let message = format!("expected the form of `bag-info.txt` in `{}`", path.display());
    Err(Failure::new(ExitStatus::Invalid, message).with_details(faults))
}

/// Returns the stated date, or the one of SOURCE_DATE_EPOCH, or today.
fn date(stated: Option<&str>) -> Result<String, Failure> {
    match stated {
        Some(stated) => Ok(stated.to_owned()),
        None => {
            let time = source_date_epoch()?.unwrap_or_else(jiff::Timestamp::now);
            // A timestamp is written in UTC, its date before the `T` (RFC 3339).
            Ok(time.to_string().split('T').next().unwrap_or_default().to_owned())
        }
    }
}

/// Returns the failure with advice for errors that have a way out.
fn with_hint(error: Error) -> Failure {
    let hint = match &error {
        Error::AlreadyBag(_) => Some("`--allow-bag` puts the bag into a new bag"),
        Error::TargetNotEmpty(_) => Some("name a directory that does not exist yet"),
        Error::Unbaggable { faults } => unbaggable_hint(faults),
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// The way out for files that cannot go into a bag.
fn unbaggable_hint(faults: &[Fault]) -> Option<&'static str> {
    use FaultCode::{LinkInside, LinkOutside, LinkToDirectory, SpecialFile};

    let has = |wanted: &[FaultCode]| faults.iter().any(|fault| wanted.contains(&fault.code));
    if has(&[LinkInside, LinkOutside, LinkToDirectory]) {
        Some("`--dereference` follows symbolic links")
    } else if has(&[SpecialFile]) {
        Some("a bag holds regular files: remove the device, FIFO or socket, or put its content into a file")
    } else {
        None
    }
}

/// Says whether the operating system, which leaves files such as `.DS_Store`, caused all faults of an invalid bag.
fn is_from_system_files(report: &Report) -> bool {
    let of_system: Vec<_> = report
        .faults
        .iter()
        .filter(|fault| fault.code == FaultCode::SystemFile)
        .map(|fault| &fault.path)
        .collect();
    let mut unlisted = report.errors().filter(|fault| fault.code != FaultCode::OxumCountsTopLevel).peekable();
    unlisted.peek().is_some()
        && unlisted
            .all(|fault| fault.code == FaultCode::PayloadFileUnlisted && of_system.contains(&&fault.path))
}

/// Prints a report, and fails if the bag is not valid.
fn print(context: &Context, path: &Path, report: &Report, trusted: Option<Trusted>) -> Result<(), Failure> {
    let validated = Validated { path: path.display().to_string(), trusted, report };
    context.printer.result(&validated, validate_text)?;
    if report.valid {
        return Ok(());
    }
    let faults = human::count(report.error_count(), "fault");
    let state = if report.verdict == Verdict::IncompleteFetchable { "incomplete" } else { "not valid" };
    let failure = Failure::new(ExitStatus::Invalid, format!("`{}` is {state}: {faults}", path.display()));
    let repairable = report.errors().all(|fault| fault.code.is_repairable());
    Err(if repairable {
        failure.with_hint("these are known faults of DataONE's own tools: `d1oci bag repair` fixes them")
    } else if is_from_system_files(report) {
        failure.with_hint("the operating system left files in the payload (`system-file`): delete them")
    } else {
        failure
    })
}

fn report(arguments: &ValidateArguments, progress: &dyn bagit::Progress) -> Result<Report, Failure> {
    let mut scan = ScanOptions::default();
    scan.threads = arguments.threads;
    let check = arguments.accept.map_or(Accept::Strict, Accept::from).check_options();
    let path = &arguments.bag;
    let metadata = std::fs::metadata(path).map_err(|error| Failure::file("open", path, error))?;
    if metadata.is_dir() {
        return Ok(bagit::validate_directory(path, &scan, &check, progress)?);
    }
    let file = open_archive(path)?;
    Ok(bagit::validate_archive(file, &scan, &check, progress)?)
}

/// Opens an archive. Reading a pipe or a device could hang or never end.
pub(super) fn open_archive(path: &Path) -> Result<File, Failure> {
    let opened = require_regular(path).and_then(|()| File::open(path));
    opened.map_err(|error| Failure::file("open", path, error))
}

fn repaired(arguments: &RepairArguments, progress: &dyn bagit::Progress) -> Result<Repaired, Failure> {
    let mut options = RepairOptions::default();
    if !arguments.algorithms.is_empty() {
        options.algorithms = arguments.algorithms.iter().copied().collect();
    }
    let bag = &arguments.bag;
    let repaired = match &arguments.target {
        None if bag.is_file() => {
            let message = format!("`--in-place` needs a directory, found the file `{}`", bag.display());
            return Err(Failure::usage(message).with_hint("name a directory for the repaired bag instead"));
        }
        None => bagit::repair_in_place(bag, &options, progress),
        Some(target) if bag.is_dir() => bagit::repair_directory(bag, target, &options, progress),
        Some(target) => {
            let file = open_archive(bag)?;
            bagit::repair_archive(file, target, &options, progress)
        }
    };
    repaired.map_err(|error| match error {
        Error::NotRepairable(report) => {
            let faults: Vec<_> = report.errors().map(ToString::to_string).collect();
            let count = human::count(faults.len() as u64, "fault");
            let message = format!("`{}` has faults that only its owner can judge: {count}", bag.display());
            Failure::new(ExitStatus::Invalid, message).with_details(faults)
        }
        error => with_hint(error),
    })
}

fn validate_text(validated: &Validated<'_>, lines: &mut Lines<'_>) {
    let report = validated.report;
    for fault in &report.faults {
        let severity = match fault.severity {
            bagit::Severity::Error => "error",
            bagit::Severity::Warning => "warning",
            bagit::Severity::Info => "info",
        };
        lines.add(format_args!("{severity:<8} {fault}"));
    }
    let version =
        report.version.map_or_else(|| "unknown version".to_owned(), |version| format!("BagIt {version}"));
    let verdict = match report.verdict {
        Verdict::Valid => "valid",
        Verdict::IncompleteFetchable => "incomplete; `fetch.txt` lists the missing files",
        _ => "not valid",
    };
    let algorithms: Vec<_> = report.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    lines.add(format_args!(
        "{} is {verdict} ({version}; {}, {}; {})",
        validated.path,
        human::count(report.payload_files, "payload file"),
        human::bytes(report.payload_bytes),
        if algorithms.is_empty() { "no checksums".to_owned() } else { algorithms.join(", ") },
    ));
    trusted_text(validated.trusted, lines);
}

fn repair_text(outcome: &Outcome<'_>, lines: &mut Lines<'_>) {
    for fault in outcome.before.errors() {
        lines.add(format_args!("fixed    {fault}"));
    }
    let state = match outcome.changed {
        true => "is now a valid bag of BagIt 1.0",
        false => "has no fault; nothing was changed",
    };
    lines.add(format_args!("{} {state}", outcome.path));
}

/// Returns a progress that shows itself as the checking phase of a transfer, and that a signal cancels.
pub(crate) fn progress(context: &Context) -> HashProgress {
    HashProgress::new(&context.observer())
}

fn parse_element(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((label, value)) if !label.is_empty() => Ok((label.to_owned(), value.to_owned())),
        _ => Err("expected LABEL=VALUE".to_owned()),
    }
}

fn parse_date(text: &str) -> Result<String, String> {
    match text.parse::<jiff::civil::Date>() {
        // Only this form sorts as text, as readers of bags expect (RFC 8493 section 2.2.2).
        Ok(date) if date.to_string() == text => Ok(text.to_owned()),
        _ => Err("expected a date such as 2025-11-07".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_one_form() {
        assert!(parse_date("2025-11-07").is_ok());
        for text in ["2025-11-7", "2025-13-01", "07.11.2025", "2025-11-07T00:00:00", "yesterday", ""] {
            assert!(parse_date(text).is_err(), "{text}");
        }
    }
}
