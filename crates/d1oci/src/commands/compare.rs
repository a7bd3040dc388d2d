//! `d1oci compare`: differences between a repository and DataONE.

use std::collections::BTreeMap;
use std::path::PathBuf;

use d1_sync::{CompareReport, DataOneSource, Difference, DifferenceKind, HashStoreSource};
use oci_model::Reference;
use registry_backend::{Access, MemoryBackend};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::nodes::NodeOptions;
use crate::output::{Lines, human};

/// Compare a repository with a DataONE node or a HashStore.
///
/// It reports objects that are gone, private, archived or obsoleted at the node, objects whose size, checksum or system metadata
/// differ, and objects that the repository lacks. Volatile parts of system metadata, such as the list of replicas, do not count. It
/// changes nothing. Without `--node`, a Coordinating Node is asked about each object of the repository. The exit code is 1 if anything
/// differs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci compare oci:store --node https://arcticdata.io/metacat/d1/mn\n\
                        Example: d1oci compare ghcr.io/owner/name --format json >differences.jsonl")]
pub(crate) struct Arguments {
    /// The repository.
    repository: Reference,
    /// Compare with the HashStore in this directory, without a request.
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["node", "cn"])]
    hashstore: Option<PathBuf>,
    #[command(flatten)]
    nodes: NodeOptions,
}

/// One line of the report.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Line<'a> {
    Difference(&'a Difference),
    Summary(&'a CompareReport),
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = context.repository_only(&arguments.repository, "compare")?;
    let source = match &arguments.hashstore {
        Some(directory) => DataOneSource::HashStore(HashStoreSource::open(directory).await?),
        None => arguments.nodes.source(context)?,
    };
    // A repository that does not exist yet lacks everything.
    let backend = match context.open(location, Access::Read).await {
        Err(failure) if failure.status() == ExitStatus::NotFound => Box::new(MemoryBackend::new()),
        opened => opened?,
    };
    let mut failure = None;
    let mut tell = |difference: &Difference| {
        if let Err(error) = context.printer.item(&Line::Difference(difference), text) {
            failure.get_or_insert(error);
        }
    };
    let report = d1_sync::compare(&*backend, &source, &context.observer(), &mut tell).await?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    context.printer.item(&Line::Summary(&report), text)?;
    let differences: u64 = report.differences.values().sum();
    if differences + report.unreadable == 0 {
        return Ok(());
    }
    let mut message = human::count(differences, "difference");
    if report.unreadable > 0 {
        message += &format!(", {} not compared", human::count(report.unreadable, "artifact"));
    }
    let withdrawn = [DifferenceKind::Gone, DifferenceKind::Private];
    let failure = Failure::new(ExitStatus::Invalid, message);
    Err(match report.differences.keys().any(|kind| withdrawn.contains(kind)) {
        true => failure.with_hint(
            "`d1oci withdraw` removes objects that are gone or private; `d1oci replicate` updates the others",
        ),
        false => failure.with_hint("`d1oci replicate` with the same node updates the repository"),
    })
}

fn text(line: &Line<'_>, lines: &mut Lines<'_>) {
    match line {
        Line::Difference(Difference { kind, identifier, package, detail, .. }) => {
            let of = package.as_ref().map(|package| format!(" in {package}")).unwrap_or_default();
            lines.add(format_args!("{}: {identifier}{of}: {detail}", name(*kind)));
        }
        Line::Summary(report) => {
            let objects = human::count(report.objects, "object");
            let comma = if report.differences.is_empty() { "" } else { "," };
            lines.add(format_args!(
                "{objects} here, {} listed: {} equal{comma}{}",
                report.listed,
                report.equal,
                states(&report.differences)
            ));
        }
    }
}

/// Returns the counts of objects as text that begins with a space, if there are any.
pub(super) fn states(counts: &BTreeMap<DifferenceKind, u64>) -> String {
    let counted = counts.iter().map(|(kind, count)| format!(" {count} {}", name(*kind).to_lowercase()));
    counted.collect::<Vec<_>>().join(",")
}

fn name(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Gone => "Gone",
        DifferenceKind::Private => "Private",
        DifferenceKind::Archived => "Archived",
        DifferenceKind::Obsoleted => "Obsoleted",
        DifferenceKind::Content => "Other content",
        DifferenceKind::Missing => "Missing here",
        DifferenceKind::OnlyHere => "Only here",
        _ => "Changed",
    }
}
