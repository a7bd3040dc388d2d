//! `d1oci compare`: differences between a repository and DataONE, and between two repositories.

use std::collections::BTreeMap;
use std::path::PathBuf;

use d1_sync::{
    CompareReport, DataOneSource, Difference, DifferenceKind, HashStoreSource, PackageDifference,
    RepositoryComparison,
};
use oci_model::Reference;
use registry_backend::{Access, MemoryBackend, RegistryBackend};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::nodes::NodeOptions;
use crate::output::{Lines, human};

/// Compare a repository with a DataONE node, a HashStore or another repository.
///
/// It reports objects that are gone, private, archived or obsoleted at the node, objects whose size, checksum or system metadata
/// differ, and objects that the repository lacks. Volatile parts of system metadata, such as the list of replicas, do not count. It
/// changes nothing. Without `--node`, a Coordinating Node is asked about each object of the repository. The exit code is 1 if anything
/// differs.
///
/// With `--with`, it compares the packages of two repositories, for example replicas from two nodes. Packages with the same content
/// digest are equal, unless one of them is archived, replaced or has private objects. The members of other packages are compared one
/// by one, from the indexes of the packages.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci compare oci:store --node https://arcticdata.io/metacat/d1/mn\n\
                        Example: d1oci compare ghcr.io/owner/name --format json >differences.jsonl\n\
                        Example: d1oci compare oci:store --with ghcr.io/owner/name")]
pub(crate) struct Arguments {
    /// The repository.
    repository: Reference,
    /// Compare with the HashStore in this directory, without a request.
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["node", "cn"])]
    hashstore: Option<PathBuf>,
    /// Compare with this repository, instead of with DataONE.
    #[arg(long, value_name = "REPOSITORY", conflicts_with_all = ["node", "cn", "hashstore"])]
    with: Option<Reference>,
    #[command(flatten)]
    nodes: NodeOptions,
}

/// One line of the report.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Line<D, S> {
    Difference(D),
    Summary(S),
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = context.repository_only(&arguments.repository, "compare")?;
    // A repository that does not exist yet lacks everything.
    let backend = match context.open(location, Access::Read).await {
        Err(failure) if failure.status() == ExitStatus::NotFound => Box::new(MemoryBackend::new()),
        opened => opened?,
    };
    let backend = &*backend;
    if let Some(other) = &arguments.with {
        return compare_repositories(context, backend, other).await;
    }
    let source = match &arguments.hashstore {
        Some(directory) => DataOneSource::HashStore(HashStoreSource::open(directory).await?),
        None => arguments.nodes.source(context)?,
    };
    let mut failure = None;
    let mut tell = |difference: &Difference| {
        if let Err(error) = context.printer.item(&Line::Difference(difference), text) {
            failure.get_or_insert(error);
        }
    };
    let report = d1_sync::compare(backend, &source, &context.observer(), &mut tell).await?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    context.printer.item(&Line::Summary(&report), text)?;
    let withdrawn = [DifferenceKind::Gone, DifferenceKind::Private];
    let hint = match report.differences.keys().any(|kind| withdrawn.contains(kind)) {
        true => {
            "`d1oci withdraw` removes objects that are gone or private; `d1oci replicate` updates the others"
        }
        false => "`d1oci replicate` with the same node updates the repository",
    };
    require_equal(&report.differences, report.unreadable, hint)
}

async fn compare_repositories(
    context: &Context,
    here: &dyn RegistryBackend,
    other: &Reference,
) -> Result<(), Failure> {
    let there = context.open(context.repository_only(other, "compare")?, Access::Read).await?;
    let mut failure = None;
    let mut tell = |difference: &PackageDifference| {
        if let Err(error) = context.printer.item(&Line::Difference(difference), repository_text) {
            failure.get_or_insert(error);
        }
    };
    let report = d1_sync::compare_repositories(here, &*there, &context.observer(), &mut tell).await?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    context.printer.item(&Line::Summary(&report), repository_text)?;
    let hint = "`d1oci mirror --keep-equal` copies the packages that differ from one repository to the other";
    require_equal(&report.differences, report.unreadable, hint)
}

/// Fails with `hint` if anything differs or could not be compared.
fn require_equal(
    differences: &BTreeMap<DifferenceKind, u64>,
    unreadable: u64,
    hint: &'static str,
) -> Result<(), Failure> {
    let differences: u64 = differences.values().sum();
    if differences + unreadable == 0 {
        return Ok(());
    }
    let mut message = human::count(differences, "difference");
    if unreadable > 0 {
        message += &format!(", {} not compared", human::count(unreadable, "artifact"));
    }
    Err(Failure::new(ExitStatus::Invalid, message).with_hint(hint))
}

fn text(line: &Line<&Difference, &CompareReport>, lines: &mut Lines<'_>) {
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

fn repository_text(line: &Line<&PackageDifference, &RepositoryComparison>, lines: &mut Lines<'_>) {
    match line {
        Line::Difference(PackageDifference { kind, package, member, detail, .. }) => match member {
            Some(member) => lines.add(format_args!("{}: {member} in {package}: {detail}", name(*kind))),
            None => lines.add(format_args!("{}: {package}: {detail}", name(*kind))),
        },
        Line::Summary(report) => {
            let packages = human::count(report.packages, "package");
            let comma = if report.differences.is_empty() { "" } else { "," };
            lines.add(format_args!(
                "{packages} here, {} there: {} identical, {} of equal content{comma}{}",
                report.others,
                report.identical,
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
