//! `d1oci repair`: damaged blobs of a repository, replaced from its replicas.

use d1_transfer::RepairReport;
use oci_model::Reference;
use registry_backend::{Access, RegistryBackend};

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::{Lines, human};

/// Repair a repository from its replicas, blob by blob.
///
/// Reads every manifest and every blob: of tagged artifacts, their referrers, children of indexes, and in a layout also of artifacts without a
/// tag. Replaces those that are damaged or missing by those of the first replica that has them. No tag moves, and nothing is deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci repair oci:store --from ghcr.io/owner/name --from oci:/backup/store")]
pub(crate) struct Arguments {
    /// The repository to repair.
    repository: Reference,
    /// A repository that has the same content. Several are tried in this order.
    #[arg(long, required = true, value_name = "REPOSITORY", num_args = 1..)]
    from: Vec<Reference>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = context.repository_only(&arguments.repository, "repair")?;
    let store = context.open(location, Access::Modify).await?;
    let mut replicas = Vec::with_capacity(arguments.from.len());
    for reference in &arguments.from {
        let from = context.repository_only(reference, "repair")?;
        match context.open(from, Access::Read).await {
            // Like one that does not answer: the others may have the content.
            Err(failure) if failure.status() == ExitStatus::NotFound => {
                context.printer.warning(format_args!("{from} does not exist, so nothing comes from it"));
            }
            opened => replicas.push(opened?),
        }
    }
    let replicas: Vec<&dyn RegistryBackend> = replicas.iter().map(|replica| &**replica).collect();
    let report = d1_transfer::repair(&*store, &replicas, &context.observer()).await?;
    context.printer.result(&report, text)?;
    if report.faults.is_empty() {
        return Ok(());
    }
    let missing = human::count(report.faults.len() as u64, "manifest or blob");
    Err(Failure::new(ExitStatus::Invalid, format!("no replica has what {location} lacks: {missing}"))
        .with_hint("name a further replica with `--from`, or push the packages again with `--repair`"))
}

fn text(report: &RepairReport, lines: &mut Lines<'_>) {
    for blob in &report.repaired {
        lines.add(format_args!("repaired {} ({}) from {}", blob.title, blob.digest, blob.from));
    }
    for fault in &report.faults {
        lines.add(format_args!("error    {}: {}", fault.path, fault.message));
    }
    lines.add(format_args!(
        "Read {} and {}, repaired {}",
        human::count(report.manifests, "manifest"),
        human::count(report.blobs, "blob"),
        report.repaired.len()
    ));
}
