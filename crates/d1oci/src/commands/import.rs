//! `d1oci import`: the objects of a HashStore into a repository.

use std::path::PathBuf;

use d1_model::Identifier;
use d1_sync::{ImportFault, ImportOptions, ImportReport};
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::{Lines, human};

/// Import the objects of a HashStore, the object store of Metacat.
///
/// Each object becomes an artifact of its own, and its system metadata an artifact that refers to it. An object is read once, by the
/// upload that verifies it, and not at all if the repository has it. A damaged object, or one that contradicts its system metadata, is
/// reported and does not stop the others. Run the same command again to continue.
///
/// Private objects are left out and listed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci import quay.io/example/objects --hashstore /var/metacat/hashstore")]
pub(crate) struct Arguments {
    /// The repository.
    repository: Reference,
    /// The HashStore: the directory with `hashstore.yaml` in it.
    #[arg(long, value_name = "DIRECTORY")]
    hashstore: PathBuf,
    /// Import only the object with this DataONE identifier; can be repeated.
    #[arg(long = "id", value_name = "PID")]
    ids: Vec<Identifier>,
    /// Include private objects.
    #[arg(long)]
    include_private: bool,
}

#[derive(Debug, Serialize)]
struct Imported<'a> {
    repository: String,
    #[serde(flatten)]
    report: &'a ImportReport,
}

/// The number of private objects in text; JSON has them all.
const LEFT_OUT_SHOWN: usize = 50;

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let repository = &arguments.repository;
    context.check_scheme(&repository.location)?;
    if repository.target.is_some() {
        return Err(Failure::usage(format!(
            "`{repository}` names one artifact, but each object gets a tag of its own"
        ))
        .with_hint(format!("write `{}`", repository.location)));
    }
    let mut options = ImportOptions::default();
    options.identifiers = arguments.ids;
    options.include_private = arguments.include_private;
    let location = &repository.location;
    let backend = context.open(location, Access::Create).await?;
    let observer = context.observer();
    let report = d1_sync::import_hashstore(&*backend, &arguments.hashstore, &options, &observer).await?;
    context.printer.result(&Imported { repository: location.to_string(), report: &report }, text)?;
    if report.faults.is_empty() {
        return Ok(());
    }
    let faults = human::count(report.faults.len() as u64, "fault");
    let failure = Failure::new(ExitStatus::Invalid, format!("the HashStore has {faults}"));
    Err(failure.with_details(report.faults.iter().map(fault_line)).with_hint(
        "all other objects are imported; repair the HashStore, then run the same command again for the rest",
    ))
}

fn fault_line(fault: &ImportFault) -> String {
    match &fault.identifier {
        Some(identifier) => format!("{identifier}: {} ({})", fault.message, fault.path),
        None => format!("{}: {}", fault.path, fault.message),
    }
}

fn text(imported: &Imported<'_>, lines: &mut Lines<'_>) {
    let ImportReport { objects, imported: new, already_there, not_public, failed, .. } = imported.report;
    lines.add(format_args!(
        "Imported {} into {}: {new} new, {already_there} already there, {} not public, {failed} failed",
        human::count(*objects, "object"),
        imported.repository,
        not_public.len(),
    ));
    for identifier in not_public.iter().take(LEFT_OUT_SHOWN) {
        lines.add(format_args!("Not public: {identifier}"));
    }
    if let Some(more) = not_public.len().checked_sub(LEFT_OUT_SHOWN).filter(|more| *more > 0) {
        lines.add(format_args!("… and {more} more (`--format json` lists all)"));
    }
    lines.add(format_args!(
        "{} attached; {} sent ({})",
        human::count(imported.report.system_metadata, "system metadata document"),
        human::count(imported.report.sent_blobs, "blob"),
        human::bytes(imported.report.sent_bytes)
    ));
}
