//! `d1oci import`: the packages and objects of a HashStore into a repository.

use std::collections::HashSet;
use std::path::PathBuf;

use d1_model::Identifier;
use d1_sync::{ImportFault, ImportOptions, ImportReport};
use oci_model::Reference;
use registry_backend::{Access, RegistryBackend};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::{Lines, human};

/// Import the packages and objects of a HashStore, the object store of Metacat.
///
/// Each resource map in the store becomes a package, the same as `replicate` makes. Each object that is in no package becomes an
/// artifact of its own, and its system metadata an artifact that refers to it. An object is read once, by the upload that verifies it,
/// and not at all if the repository has it. A damaged object, or one that contradicts its system metadata, is reported and does not stop
/// the others. Run the same command again to continue.
///
/// Private objects are left out and listed, and so are system metadata without an object. `d1oci compare --hashstore` reports objects
/// of the repository that the store has no longer, or that became private.
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
    /// Import each object by itself, also those of packages.
    #[arg(long)]
    objects: bool,
    /// Include private objects.
    #[arg(long)]
    include_private: bool,
    /// Include objects that were withdrawn from the repository; their tombstones stay.
    #[arg(long)]
    include_withdrawn: bool,
    /// Leave out members of packages that the store lacks.
    #[arg(long, conflicts_with = "objects")]
    skip_missing: bool,
}

#[derive(Debug, Serialize)]
struct Imported<'a> {
    repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<Packages>,
    #[serde(flatten)]
    report: &'a ImportReport,
}

/// The packages of all resource maps.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Packages {
    imported: u64,
    unchanged: u64,
    /// Resource maps that not everybody may read.
    not_public: Vec<String>,
    failed: Vec<FailedPackage>,
    sent_bytes: u64,
}

#[derive(Debug, Serialize)]
struct FailedPackage {
    identifier: String,
    message: String,
}

/// How many packages are imported at once. Most of them wait for their manifest, which a layout lists for all of them together.
#[cfg(feature = "d1-client")]
const PACKAGES_AT_ONCE: usize = 16;

/// The number of identifiers of a kind in text; JSON has them all.
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
    options.identifiers.clone_from(&arguments.ids);
    options.include_private = arguments.include_private;
    options.include_withdrawn = arguments.include_withdrawn;
    let location = &repository.location;
    let backend = context.open(location, Access::Create).await?;
    let observer = context.observer();
    let is_whole = !arguments.objects && arguments.ids.is_empty();
    let mut packages = None;
    if is_whole {
        (packages, options.except) = import_packages(context, &*backend, &arguments).await?;
    }
    let report = d1_sync::import_hashstore(&*backend, &arguments.hashstore, &options, &observer).await?;
    let imported = Imported { repository: location.to_string(), packages, report: &report };
    context.printer.done(&imported, text)?;
    let failed = imported.packages.iter().flat_map(|packages| &packages.failed);
    let failed = failed.map(|FailedPackage { identifier, message }| format!("{identifier}: {message}"));
    let details: Vec<String> = failed.chain(report.faults.iter().map(fault_line)).collect();
    if details.is_empty() {
        return Ok(());
    }
    let faults = human::count(details.len() as u64, "fault");
    let failure = Failure::new(ExitStatus::Invalid, format!("the HashStore has {faults}"));
    Err(failure.with_details(details).with_hint(
        "everything else is imported; repair the HashStore, then run the same command again for the rest",
    ))
}

/// Imports the packages of all resource maps, and returns the members that the repository has now.
#[cfg(feature = "d1-client")]
async fn import_packages(
    context: &Context,
    backend: &dyn RegistryBackend,
    arguments: &Arguments,
) -> Result<(Option<Packages>, HashSet<Identifier>), Failure> {
    use d1_sync::{BatchOptions, BatchOutcome, Error, ReplicateOptions};

    let store = d1_sync::HashStoreSource::open(&arguments.hashstore).await?;
    let mut replicate = ReplicateOptions::new(crate::context::temporary_directory());
    replicate.include_private = arguments.include_private;
    replicate.push.include_withdrawn = arguments.include_withdrawn;
    replicate.skip_missing = arguments.skip_missing;
    let mut options = BatchOptions::new(replicate);
    options.parallel = PACKAGES_AT_ONCE;
    let packages = std::sync::Mutex::new(Packages::default());
    let done = |identifier: &Identifier, outcome: BatchOutcome| {
        let mut packages = packages.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match outcome {
            BatchOutcome::Replicated(report) if report.unchanged => packages.unchanged += 1,
            BatchOutcome::Replicated(report) => {
                packages.imported += 1;
                packages.sent_bytes += report.sent_bytes;
            }
            BatchOutcome::Failed(Error::NotPublic { identifier }) => {
                packages.not_public.push(identifier.to_string());
            }
            BatchOutcome::Failed(error) => {
                let identifier = identifier.to_string();
                packages.failed.push(FailedPackage { identifier, message: d1_transfer::with_causes(&error) });
            }
            _ => {}
        }
    };
    let observer = context.observer();
    let members = d1_sync::import_packages(backend, &store, &options, &observer, &done).await;
    let mut packages = packages.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    packages.not_public.sort_unstable();
    packages.failed.sort_unstable_by(|left, right| left.identifier.cmp(&right.identifier));
    Ok((Some(packages), members))
}

/// A program without the feature `d1-client` makes no packages.
#[cfg(not(feature = "d1-client"))]
#[expect(clippy::unused_async, reason = "it has the signature of its twin")]
async fn import_packages(
    _context: &Context,
    _backend: &dyn RegistryBackend,
    _arguments: &Arguments,
) -> Result<(Option<Packages>, HashSet<Identifier>), Failure> {
    Ok((None, HashSet::new()))
}

fn fault_line(fault: &ImportFault) -> String {
    match &fault.identifier {
        Some(identifier) => format!("{identifier}: {} ({})", fault.message, fault.path),
        None => format!("{}: {}", fault.path, fault.message),
    }
}

fn text(imported: &Imported<'_>, lines: &mut Lines<'_>) {
    if let Some(packages) = &imported.packages {
        let Packages { imported: new, unchanged, not_public, failed, sent_bytes } = packages;
        lines.add(format_args!(
            "Imported {} into {}: {unchanged} unchanged, {} not public, {} failed; {} sent",
            human::count(*new, "package"),
            imported.repository,
            not_public.len(),
            failed.len(),
            human::bytes(*sent_bytes),
        ));
    }
    let ImportReport { objects, imported: new, already_there, not_public, without_object, failed, .. } =
        imported.report;
    lines.add(format_args!(
        "Imported {} into {}: {new} new, {already_there} already there, {} not public, {failed} failed",
        human::count(*objects, "object"),
        imported.repository,
        not_public.len(),
    ));
    for (identifiers, what) in [(not_public, "Not public"), (without_object, "Without an object")] {
        for identifier in identifiers.iter().take(LEFT_OUT_SHOWN) {
            lines.add(format_args!("{what}: {identifier}"));
        }
        if let Some(more) = identifiers.len().checked_sub(LEFT_OUT_SHOWN).filter(|more| *more > 0) {
            lines.add(format_args!("… and {more} more (`--format json` lists all)"));
        }
    }
    lines.add(format_args!(
        "{} attached; {} sent ({})",
        human::count(imported.report.system_metadata, "system metadata document"),
        human::count(imported.report.sent_blobs, "blob"),
        human::bytes(imported.report.sent_bytes)
    ));
}
