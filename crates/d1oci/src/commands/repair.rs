//! `d1oci repair`: damaged blobs of a repository, replaced from its replicas.

use d1_transfer::{RelistReport, RepairReport};
use oci_model::Reference;
use registry_backend::{Access, RegistryBackend};

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::{Lines, human};

/// Repair a repository from its replicas, blob by blob.
///
/// Reads every manifest and every blob: of tagged artifacts, their referrers, children of indexes, and in a layout also of artifacts without a
/// tag. Replaces those that are damaged or missing by those of the first replica that has them. No tag moves, and nothing is deleted.
///
/// With `--relist`, it lists all artifacts again whose content a layout holds, after its `index.json` was lost or emptied.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples: d1oci repair oci:store --from ghcr.io/owner/name --from oci:/backup/store\n\
                        \x20         d1oci repair s3://bucket/packages --relist"
)]
pub(crate) struct Arguments {
    /// The repository to repair.
    repository: Reference,
    /// A repository that has the same content. Several are tried in this order.
    #[arg(long, required_unless_present = "relist", value_name = "REPOSITORY", num_args = 1..)]
    from: Vec<Reference>,
    /// List the artifacts of a layout again, and give them the tags of their identifiers. Other tags are lost: the command lists the
    /// artifacts without a tag. Deleted artifacts come back if they were not pruned.
    #[arg(long, conflicts_with = "from")]
    relist: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = context.repository_only(&arguments.repository, "repair")?;
    let store = context.open(location, Access::Modify).await?;
    if arguments.relist {
        return relist(context, &*store).await;
    }
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
    Err(Failure::new(
        ExitStatus::Invalid,
        format!("{location} is not whole: {missing} could not be repaired"),
    )
    .with_hint("name a further replica with `--from`, or push the packages again with `--repair`"))
}

async fn relist(context: &Context, store: &dyn RegistryBackend) -> Result<(), Failure> {
    let report = d1_transfer::relist(store).await?;
    context.printer.result(&report, relisted)?;
    if report.incomplete.is_empty() {
        return Ok(());
    }
    let count = human::count(report.incomplete.len() as u64, "manifest");
    Err(Failure::new(ExitStatus::Invalid, format!("{count} of {store} cannot be listed: content is missing"))
        .with_hint("push these packages again, or copy them from a replica"))
}

fn relisted(report: &RelistReport, lines: &mut Lines<'_>) {
    for artifact in &report.tagged {
        let tag = artifact.tag.as_ref().map(ToString::to_string).unwrap_or_default();
        lines.add(format_args!("tagged     {tag} {}", artifact.digest));
    }
    for artifact in &report.untagged {
        let title = artifact.title.as_deref().or(artifact.identifier.as_deref()).unwrap_or_default();
        lines.add(format_args!("untagged   {} {title}", artifact.digest));
    }
    for digest in &report.incomplete {
        lines.add(format_args!("incomplete {digest}"));
    }
    lines.add(format_args!(
        "Listed {}: {} tagged by identifier, {} without a tag",
        human::count(report.manifests, "manifest"),
        report.tagged.len(),
        report.untagged.len()
    ));
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
