//! `d1oci withdraw`: removes objects from a repository and leaves tombstones.

use std::path::{Path, PathBuf};

use d1_model::Identifier;
use d1_sync::{WithdrawOptions, WithdrawReport, WithdrawnArtifact};
use oci_model::Reference;
use registry_backend::Access;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::files::read_regular_text;
use crate::nodes::{identifiers_on_stdin, parse_identifier};
use crate::output::{Lines, human, now};
use crate::spellings::meant_in;

/// The largest report of `compare` that is read, in bytes.
const LARGEST_REPORT: u64 = 1 << 30;

/// Remove objects from a repository, and leave a tombstone for each.
///
/// It removes every artifact that holds such an object: packages of all versions, single objects, and what refers to them. A tombstone
/// states identifier, date and reason, and keeps `replicate` from copying the object again. Without `--yes` it only lists what it would
/// remove. In an image layout, `d1oci prune` then removes the bytes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: d1oci withdraw oci:store doi:10.18739/A2D795C92 --reason 'Withdrawn by the author' --yes\n\
                        Example: d1oci withdraw oci:store --from-compare differences.jsonl --reason 'No longer public'"
)]
pub(crate) struct Arguments {
    /// The repository.
    repository: Reference,
    /// DataONE identifiers of objects, metadata, or resource maps; `-` reads them from standard input, one per line.
    #[arg(value_name = "PID", required_unless_present = "from_compare")]
    pids: Vec<String>,
    /// Withdraw what `d1oci compare --format json` reported as gone or private.
    #[arg(long, value_name = "FILE")]
    from_compare: Option<PathBuf>,
    /// The reason, for readers of the tombstone.
    #[arg(long, value_name = "TEXT", required_if_eq("yes", "true"))]
    reason: Option<String>,
    /// Remove, instead of only listing what would be removed.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    dry_run: bool,
    #[serde(flatten)]
    report: &'a WithdrawReport,
}

/// A line of the report of `compare`. Other fields do not matter here.
#[derive(Deserialize)]
struct ComparedLine {
    outcome: String,
    kind: Option<String>,
    identifier: Option<Identifier>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = context.repository_only(&arguments.repository, "withdraw from")?;
    if arguments.reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        return Err(Failure::usage("expected a reason after `--reason`, found none"));
    }
    let typed = typed_identifiers(&arguments.pids).await?;
    let mut identifiers = match &arguments.from_compare {
        Some(report) => withdrawn_in(report)?,
        None => Vec::new(),
    };
    if typed.is_empty() && identifiers.is_empty() {
        context.printer.status("nothing to withdraw");
        return Ok(());
    }
    let access = if arguments.yes { Access::Modify } else { Access::Read };
    let backend = context.open(location, access).await?;
    // A report has the identifiers of the repository; a person may write a DOI in another way.
    for identifier in &typed {
        identifiers.extend(meant_in(&*backend, identifier).await.into_iter().next());
    }
    identifiers.sort_unstable();
    identifiers.dedup();
    let mut options = WithdrawOptions::new(now(), arguments.reason.unwrap_or_default());
    options.dry_run = !arguments.yes;
    let report = d1_sync::withdraw(&*backend, &identifiers, &options, &context.observer()).await?;
    context.printer.result(&Outcome { dry_run: options.dry_run, report: &report }, text)?;
    let failed = report.artifacts.iter().filter(|artifact| artifact.failure.is_some()).count();
    if failed > 0 {
        let message = format!("{} not removed", human::count(failed as u64, "artifact"));
        return Err(Failure::new(ExitStatus::Network, message).with_hint(
            "delete these versions with the registry's own interface; the tombstones are in place",
        ));
    }
    if !report.not_held.is_empty() {
        let message = format!("{} not found", human::count(report.not_held.len() as u64, "object"));
        return Err(
            Failure::new(ExitStatus::NotFound, message).with_hint("`d1oci find --id` searches a repository")
        );
    }
    if options.dry_run {
        context.printer.status("nothing was removed; `--yes` with `--reason` removes it");
    } else if backend.admin().is_some_and(|admin| admin.pruner().is_some()) {
        context.printer.status(format_args!(
            "`d1oci prune {location} --grace 0s` removes the bytes; leave `--grace` out while others push"
        ));
    }
    Ok(())
}

async fn typed_identifiers(pids: &[String]) -> Result<Vec<Identifier>, Failure> {
    let mut identifiers = Vec::new();
    for pid in pids {
        match pid.as_str() {
            "-" => identifiers.extend(identifiers_on_stdin().await?),
            pid => identifiers.push(parse_identifier(pid)?),
        }
    }
    identifiers.sort_unstable();
    identifiers.dedup();
    Ok(identifiers)
}

/// Returns the objects that are gone or private by a report of `compare`.
fn withdrawn_in(path: &Path) -> Result<Vec<Identifier>, Failure> {
    let report =
        read_regular_text(path, LARGEST_REPORT).map_err(|error| Failure::file("read", path, error))?;
    let mut identifiers = Vec::new();
    for line in report.lines() {
        let line: ComparedLine = serde_json::from_str(line).map_err(|error| {
            Failure::usage(format!("expected a report of `compare` in `{}`: {error}", path.display()))
                .with_hint("make it with `d1oci compare --format json`")
        })?;
        let is_withdrawn =
            line.outcome == "difference" && matches!(line.kind.as_deref(), Some("gone" | "private"));
        identifiers.extend(line.identifier.filter(|_| is_withdrawn));
    }
    Ok(identifiers)
}

fn text(outcome: &Outcome<'_>, lines: &mut Lines<'_>) {
    let verb = if outcome.dry_run { "Would remove" } else { "Removed" };
    for WithdrawnArtifact { digest, tag, identifier, failure, .. } in &outcome.report.artifacts {
        let tag = tag.as_ref().map(|tag| format!(" {tag}")).unwrap_or_default();
        let of = identifier.as_ref().map(|identifier| format!(" of {identifier}")).unwrap_or_default();
        match failure {
            None => lines.add(format_args!("{verb} {digest}{tag}{of}")),
            Some(failure) => lines.add(format_args!("Could not remove {digest}{tag}{of}: {failure}")),
        }
    }
    for identifier in &outcome.report.not_held {
        lines.add(format_args!("Not found: {identifier}"));
    }
    let verb = if outcome.dry_run { "Would leave" } else { "Left" };
    lines.add(format_args!("{verb} {}", human::count(outcome.report.tombstones.len() as u64, "tombstone")));
}
