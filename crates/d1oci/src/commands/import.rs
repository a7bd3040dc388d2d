//! `d1oci import`: the objects of a HashStore into a repository.

use std::path::PathBuf;

use d1_model::Identifier;
use d1_sync::{ImportFault, ImportOptions, ImportReport};
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::human;

/// Import the objects of a HashStore, in which Metacat keeps them.
///
/// Each object becomes an artifact of its own, and its system metadata one that refers to it. Its name in the store is the digest of its
/// blob, so that it is read once, by the upload that proves it; what the repository has is not read at all. An object that is damaged
/// or not what its system metadata declare is reported, and does not stop the others. The same command again goes on where it was.
///
/// Objects that not everybody may read are left out and listed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci import quay.io/example/objects --hashstore /var/metacat/hashstore")]
pub(crate) struct Arguments {
    /// The repository.
    repository: Reference,
    /// The HashStore: the directory with `hashstore.yaml` in it.
    #[arg(long, value_name = "DIRECTORY")]
    hashstore: PathBuf,
    /// Import only the object with this DataONE identifier; several times for several.
    #[arg(long = "id", value_name = "PID")]
    ids: Vec<Identifier>,
    /// Import also objects that their system metadata do not let everybody read.
    #[arg(long)]
    include_private: bool,
}

#[derive(Debug, Serialize)]
struct Imported<'a> {
    repository: String,
    #[serde(flatten)]
    report: &'a ImportReport,
}

/// How many objects are listed that were left out; JSON output has them all.
const LEFT_OUT_SHOWN: usize = 50;

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let repository = &arguments.repository;
    if repository.target.is_some() {
        return Err(Failure::usage(format!(
            "`{repository}` names one artifact, and objects have tags of their own"
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
        "what is right has been imported; after the store was mended, the same command imports the rest",
    ))
}

fn fault_line(fault: &ImportFault) -> String {
    match &fault.identifier {
        Some(identifier) => format!("{identifier}: {} ({})", fault.message, fault.path),
        None => format!("{}: {}", fault.path, fault.message),
    }
}

fn text(imported: &Imported<'_>) -> String {
    let ImportReport { objects, imported: new, already_there, not_public, failed, .. } = imported.report;
    let mut text = format!(
        "Imported {} into {}: {new} new, {already_there} there already, {} not public, {failed} failed\n",
        human::count(*objects, "object"),
        imported.repository,
        not_public.len(),
    );
    let left_out = not_public.iter().take(LEFT_OUT_SHOWN);
    left_out.for_each(|identifier| text += &format!("Not public: {identifier}\n"));
    if let Some(more) = not_public.len().checked_sub(LEFT_OUT_SHOWN).filter(|more| *more > 0) {
        text += &format!("… and {more} more (`--format json` lists all)\n");
    }
    text + &format!(
        "{} attached; {} sent ({})",
        human::count(imported.report.system_metadata, "system metadata document"),
        human::count(imported.report.sent_blobs, "blob"),
        human::bytes(imported.report.sent_bytes)
    )
}
