//! `d1oci verify`: fixity of a bag on disk, of a package where it is stored, or of everything in a repository.

use std::path::{Path, PathBuf};

use d1_model::Identifier;
use d1_package::Accept;
use d1_transfer::{VerifiedArtifact, VerifyOptions, VerifyReport, verify_all};
use futures::TryStreamExt;
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use super::audit_report::{AuditReport, Audited};
use super::bag::{self, AcceptArgument};
use super::package::{self, RatioArgument};
use crate::context::{Context, temporary_directory};
use crate::failure::{ExitStatus, Failure};
use crate::near::found;
use crate::output::{Format, Lines, human};

/// Verify a bag on disk, a package in a repository, or everything in a repository.
///
/// In a repository, the command reads the manifest, the index and the tag files, and checks that all blobs exist; `--deep` reads every
/// byte. It lists all faults of a damaged package. With `--all`, it verifies every tagged artifact and does not stop at faults.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci verify --deep oci:store:v1\n         \
                        d1oci verify --all --sysmeta oci:store --report audit.json")]
pub(crate) struct Arguments {
    /// A directory, an archive, or a reference.
    #[arg(value_name = "BAG or REFERENCE")]
    subject: String,
    /// DataONE identifier of the package or an object in it, in place of a tag.
    #[arg(long, value_name = "PID", conflicts_with = "all")]
    id: Option<Identifier>,
    /// Verify every tagged artifact in the repository.
    #[arg(long)]
    all: bool,
    /// Read every byte.
    #[arg(long)]
    deep: bool,
    /// Read every object, and compare it with checksum and size in its system metadata: those in the package, or the newest ones
    /// attached to a single object.
    #[arg(long)]
    sysmeta: bool,
    /// Write a report of every object to this file, as JSON if its name ends in `.json`, else as text; `-` is standard output, and
    /// replaces the results. Implies `--sysmeta`.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Tolerate known faults.
    #[arg(long, value_enum, value_name = "WHOSE")]
    accept: Option<AcceptArgument>,
    #[command(flatten)]
    ratio: RatioArgument,
}

#[derive(Debug, Serialize)]
struct Verified<'a> {
    reference: String,
    #[serde(flatten)]
    report: &'a VerifyReport,
}

#[derive(Debug, Serialize)]
struct VerifiedOfAll<'a> {
    reference: String,
    valid: bool,
    #[serde(flatten)]
    artifact: &'a VerifiedArtifact,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    if Path::new(&arguments.subject).exists() {
        if arguments.all || arguments.report.is_some() {
            return Err(Failure::usage("`--all` and `--report` need a repository, but this is a local path"));
        }
        return bag::validate(context, &arguments.subject, arguments.accept).await;
    }
    let reference: Reference = arguments.subject.parse().map_err(|error: oci_model::ReferenceError| {
        Failure::new(ExitStatus::Usage, error)
            .with_hint("name an existing directory or archive, or a reference")
    })?;
    let mut options = VerifyOptions::default();
    options.temporary_directory = Some(temporary_directory());
    options.deep = arguments.deep;
    options.system_metadata = arguments.sysmeta || arguments.report.is_some();
    options.accept = arguments.accept.map_or(Accept::Strict, Accept::from);
    options.max_ratio = arguments.ratio.max_ratio;
    let report = match &arguments.report {
        Some(file) => Some(AuditReport::begin(context, file, &reference.location)?),
        None => None,
    };
    if arguments.all {
        return everything(context, &reference, &options, report).await;
    }
    one(context, &reference, arguments.id.as_ref(), &options, report).await
}

/// Verifies one package.
async fn one(
    context: &Context,
    reference: &Reference,
    identifier: Option<&Identifier>,
    options: &VerifyOptions,
    mut audit: Option<AuditReport>,
) -> Result<(), Failure> {
    let backend = context.open(&reference.location, Access::Read).await?;
    let observer = context.observer();
    let target = package::target(context, &*backend, reference, identifier, &observer).await?;
    let report = d1_transfer::verify(&*backend, &target, options, &observer).await;
    let report = found(&*backend, reference, report).await?;
    let name = format!("{}@{}", reference.location, report.digest);
    if audit.as_ref().is_none_or(|audit| !audit.is_on_standard_output()) {
        let verified = Verified { reference: name.clone(), report: &report };
        context.printer.result(&verified, |Verified { reference, report }, lines| match report.valid {
            true if context.printer.is_quiet() => lines.add(verdict(reference, report)),
            _ => text(reference, report, lines),
        })?;
    }
    if let Some(audit) = &mut audit {
        audit.artifact(&Audited::of_one(&name, &target, &report))?;
    }
    if let Some(audit) = audit {
        audit.end()?;
    }
    if report.valid {
        return Ok(());
    }
    let faults = fault_count(&report);
    Err(Failure::new(
        ExitStatus::Invalid,
        format!("`{reference}` is not valid: {}", human::count(faults, "fault")),
    ))
}

/// Verifies every tagged artifact.
async fn everything(
    context: &Context,
    reference: &Reference,
    options: &VerifyOptions,
    mut audit: Option<AuditReport>,
) -> Result<(), Failure> {
    let location = context.repository_only(reference, "verify --all")?;
    let backend = context.open(location, Access::Read).await?;
    let observer = context.observer();
    let is_shown = audit.as_ref().is_none_or(|audit| !audit.is_on_standard_output());
    let mut list = match is_shown {
        true => Some(context.printer.list(&[("repository", location.to_string())], "artifacts")?),
        false => None,
    };
    let (mut count, mut invalid) = (0_u64, 0_u64);
    let mut artifacts = verify_all(&*backend, options, &observer);
    while let Some(artifact) = artifacts.try_next().await? {
        count += 1;
        invalid += u64::from(!artifact.is_valid());
        let reference = match &artifact.digest {
            Some(digest) => format!("{location}@{digest}"),
            None => match &artifact.tag {
                Some(tag) => format!("{location}:{tag}"),
                None => location.to_string(),
            },
        };
        if let Some(audit) = &mut audit {
            audit.artifact(&Audited::of(&reference, &artifact))?;
        }
        // Where the user wants quiet, the faults are enough.
        let is_left_out =
            context.printer.is_quiet() && context.printer.format() == Format::Text && artifact.is_valid();
        if let Some(list) = list.as_mut().filter(|_| !is_left_out) {
            let shown = VerifiedOfAll { reference, valid: artifact.is_valid(), artifact: &artifact };
            list.item(&shown, text_of_all)?;
        }
    }
    list.map(|list| list.end()).transpose()?;
    if let Some(audit) = audit {
        audit.end()?;
    }
    context.printer.status(format_args!("{} verified, {invalid} not valid", human::count(count, "artifact")));
    if invalid == 0 {
        return Ok(());
    }
    Err(Failure::new(
        ExitStatus::Invalid,
        format!("{invalid} of {} in {location} are not valid", human::count(count, "artifact")),
    ))
}

fn fault_count(report: &VerifyReport) -> u64 {
    let bag = report.bag.as_ref().map_or(0, bagit::Report::error_count);
    let audit = report.system_metadata.as_ref().map_or(0, |audit| audit.faults.len());
    let children: u64 = report.children.iter().map(fault_count).sum();
    (report.faults.len() + audit) as u64 + bag + children
}

fn text_of_all(shown: &VerifiedOfAll<'_>, lines: &mut Lines<'_>) {
    match (&shown.artifact.report, &shown.artifact.error) {
        (Some(report), _) => match &shown.artifact.tag {
            Some(tag) => text(&format!("{} ({tag})", shown.reference), report, lines),
            None => text(&shown.reference, report, lines),
        },
        (None, error) => {
            lines.add(format_args!("error    {}: {}", shown.reference, error.as_deref().unwrap_or_default()));
        }
    }
}

fn text(reference: &str, report: &VerifyReport, lines: &mut Lines<'_>) {
    let repository = reference.split_once('@').map_or(reference, |(repository, _)| repository);
    for child in &report.children {
        text(&format!("{repository}@{}", child.digest), child, lines);
    }
    let audit = report.system_metadata.as_ref();
    for fault in report.faults.iter().chain(audit.into_iter().flat_map(|audit| &audit.faults)) {
        lines.add(format_args!("error    {}: {}", fault.path, fault.message));
    }
    for fault in report.bag.iter().flat_map(|bag| &bag.faults) {
        lines.add(format_args!("{:<8} {fault}", format!("{:?}", fault.severity).to_lowercase()));
    }
    if let Some(audit) = audit {
        let objects = human::count(audit.verified, "object");
        lines.add(format_args!("{objects} match their system metadata"));
    }
    lines.add(verdict(reference, report));
}

/// Returns whether the artifact is valid, in words.
fn verdict(reference: &str, report: &VerifyReport) -> String {
    let verdict = if report.valid { "valid" } else { "not valid" };
    let how = match report.deep {
        true => format!("every byte read: {}", human::bytes(report.read_bytes)),
        false => "all blobs exist; `--deep` reads them".to_owned(),
    };
    let how = if report.valid || report.deep { how } else { "not every byte was read".to_owned() };
    let (files, bytes) = (human::count(report.files, "file"), human::bytes(report.bytes));
    format!("{reference} is {verdict} ({files}, {bytes}; {how})")
}
