//! `d1oci verify`: fixity of a bag on disk, or of a package where it is stored.

use std::path::Path;

use bagit::Accept;
use d1_model::Identifier;
use d1_transfer::{VerifyOptions, VerifyReport};
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use super::bag::{self, AcceptArgument, fault_line};
use super::package;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::human;

/// Verify a bag on disk, or a package in a repository.
///
/// In a repository, the manifest, the index and the tag files are read and all blobs are looked up; `--deep` reads every byte. Of damaged
/// packages, all faults are listed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci verify --deep oci:store:v1")]
pub(crate) struct Arguments {
    /// A directory, an archive, or a reference.
    #[arg(value_name = "BAG or REFERENCE")]
    subject: String,
    /// DataONE identifier of the package, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// Read every byte.
    #[arg(long)]
    deep: bool,
    /// Compare every object with the checksum and size that its system metadata declare.
    #[arg(long)]
    sysmeta: bool,
    /// Faults that are tolerated.
    #[arg(long, value_enum, value_name = "WHOSE")]
    accept: Option<AcceptArgument>,
}

#[derive(Debug, Serialize)]
struct Verified<'a> {
    reference: String,
    #[serde(flatten)]
    report: &'a VerifyReport,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    if Path::new(&arguments.subject).exists() {
        return bag::validate::run(
            context,
            &bag::validate::Arguments::of(&arguments.subject, arguments.accept),
        );
    }
    let reference: Reference = arguments.subject.parse().map_err(|error: oci_model::ReferenceError| {
        Failure::new(ExitStatus::Usage, error).with_hint("name a directory that exists, or a reference")
    })?;
    let target = package::target(&reference, arguments.id.as_ref())?;
    let backend = context.open(&reference.location, Access::Read).await?;
    let mut options = VerifyOptions::default();
    options.deep = arguments.deep;
    options.system_metadata = arguments.sysmeta;
    options.accept = arguments.accept.map_or(Accept::Strict, Accept::from);
    let report = d1_transfer::verify(&*backend, &target, &options, &context.observer()).await?;
    let verified =
        Verified { reference: format!("{}@{}", reference.location, report.digest), report: &report };
    context.printer.result(&verified, text)?;
    if report.valid {
        return Ok(());
    }
    let faults = fault_count(&report);
    Err(Failure::new(
        ExitStatus::Invalid,
        format!("`{reference}` is not valid: {}", human::count(faults, "fault")),
    ))
}

fn fault_count(report: &VerifyReport) -> u64 {
    let bag = report.bag.as_ref().map_or(0, |bag| bag.errors().count());
    let audit = report.system_metadata.as_ref().map_or(0, |audit| audit.faults.len());
    (report.faults.len() + bag + audit) as u64
}

fn text(verified: &Verified<'_>) -> String {
    let report = verified.report;
    let mut text = String::new();
    let audit = report.system_metadata.as_ref();
    for fault in report.faults.iter().chain(audit.into_iter().flat_map(|audit| &audit.faults)) {
        text += &format!("error    {}: {}\n", fault.path, fault.message);
    }
    for fault in report.bag.iter().flat_map(|bag| &bag.faults) {
        text += &format!("{:<8} {}\n", format!("{:?}", fault.severity).to_lowercase(), fault_line(fault));
    }
    if let Some(audit) = audit {
        let objects = human::count(audit.verified, "object");
        text += &format!("{objects} as their system metadata declare\n");
    }
    let verdict = if report.valid { "valid" } else { "not valid" };
    let how = match report.deep {
        true => format!("every byte read: {}", human::bytes(report.read_bytes)),
        false => "all blobs are there; `--deep` reads them".to_owned(),
    };
    let how = if report.valid || report.deep { how } else { "not every byte was read".to_owned() };
    text += &format!(
        "{} is {verdict} ({}, {}; {how})",
        verified.reference,
        human::count(report.files, "file"),
        human::bytes(report.bytes),
    );
    text
}
