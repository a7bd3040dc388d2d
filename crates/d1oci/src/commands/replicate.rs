//! `d1oci replicate`: packages from DataONE straight into a repository.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use d1_model::{DateTime, Identifier};
use d1_sync::{
    BatchOptions, BatchOutcome, DifferenceKind, Error, Journal, MemberFault, NodeSelection, ReplicateOptions,
    ReplicateReport, Wanted,
};
use d1_transfer::with_causes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use oci_model::{Location, Reference};
use registry_backend::Access;
use serde::Serialize;

use super::compare::states;
use super::find::parse_date;
use crate::context::{Context, temporary_directory};
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure, sync_status};
use crate::nodes::{NodeOptions, SelectionOptions, identifiers_on_stdin, parse_identifier};
use crate::output::{Format, Lines, human};
use crate::shard::ShardArgument;

/// Replicate packages from DataONE into a repository.
///
/// Objects stream from the node into the repository, each verified against the checksum in its system metadata. Objects that the
/// repository has are not read again. A package is tagged by its identifier and by that of its resource map. A failed package does not
/// stop the others; run the same command again for the missing ones. The last lines count packages, and members that are gone, private,
/// archived or obsoleted at the node.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci replicate ghcr.io/owner/name doi:10.18739/A2D795C92\n\
                        Example: d1oci replicate oci:store --node https://arcticdata.io/metacat/d1/mn --journal arctic.jsonl")]
pub(crate) struct Arguments {
    /// The target repository.
    repository: Reference,
    /// DataONE identifiers of packages or of objects in them; `-` reads them from standard input, one per line. Default: all packages
    /// of the `--node`.
    #[arg(value_name = "PID")]
    pids: Vec<String>,
    /// Only packages of the node with an object that changed on this day or at this time, or later. A journal remembers the last run.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    from: Option<Timestamp>,
    /// Only packages of the node with an object that changed before this day or time.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    to: Option<Timestamp>,
    /// Find the packages of the node by its objects of this format instead of by their maps.
    #[arg(long, value_name = "FORMAT")]
    format_id: Option<String>,
    /// File that records finished packages: the next run with it skips them.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Replicate only this share of all packages: `2/5` is the second of five machines. `auto` reads the share from the variables
    /// of a Slurm or AWS Batch array job; `auto/N` is for a Kubernetes indexed Job with N completions.
    #[arg(long, value_name = "I/N")]
    shard: Option<ShardArgument>,
    /// Skip packages whose tag exists, without checking for new system metadata.
    #[arg(long)]
    skip_existing: bool,
    /// Copy a package again if only volatile parts of its system metadata changed, such as the list of replicas.
    #[arg(long)]
    volatile: bool,
    /// Include objects that were withdrawn from the repository; their tombstones stay.
    #[arg(long)]
    include_withdrawn: bool,
    #[command(flatten)]
    selection: SelectionOptions,
    /// How to store files, as in `push`.
    #[arg(long, value_enum, default_value_t, value_name = "LAYOUT")]
    layout: super::push::LayoutArgument,
    /// Number of packages at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    parallel: usize,
    #[command(flatten)]
    nodes: NodeOptions,
}

/// One line of the report.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Line<'a> {
    Replicated {
        reference: String,
        #[serde(flatten)]
        report: &'a ReplicateReport,
    },
    Skipped {
        identifier: &'a Identifier,
    },
    Failed {
        identifier: &'a Identifier,
        message: String,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        faults: &'a [MemberFault],
    },
    Summary(Summary),
}

/// All packages together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    replicated: u64,
    unchanged: u64,
    /// Packages whose copy has members that the node no longer gives.
    kept: u64,
    skipped: u64,
    failed: u64,
    received_bytes: u64,
    sent_bytes: u64,
    /// Members that are gone, private, archived or obsoleted at the node, counted once for each package.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    states: BTreeMap<DifferenceKind, u64>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = &arguments.repository.location;
    if arguments.repository.target.is_some() {
        return Err(Failure::usage(format!(
            "expected a repository, found the artifact `{}`",
            arguments.repository
        ))
        .with_hint("packages are tagged by their identifiers"));
    }
    context.check_scheme(location)?;
    let source = arguments.nodes.source(context)?;
    let (named, selection) = (named(&arguments).await?, selection(&arguments));
    let options = options(&arguments)?;
    let journal = arguments.journal.as_deref().map(|path| Journal::open(path, &location.to_string()));
    let journal = journal.transpose()?;
    let backend = context.open_current(location, Access::Create).await?;
    let telling = Telling {
        context,
        location,
        counts: Counts::default(),
        failure: Mutex::new(None),
        status: OnceLock::new(),
    };
    let done = |identifier: &Identifier, outcome| telling.tell(identifier, &outcome);
    let (journal, observer) = (journal.as_ref(), context.observer());
    match named {
        Some(wanted) => {
            d1_sync::replicate_all(&*backend, &source, wanted, &options, journal, &observer, &done).await?;
        }
        None => {
            d1_sync::replicate_node(&*backend, &source, &selection, &options, journal, &observer, &done)
                .await?;
        }
    }
    telling.end()
}

fn options(arguments: &Arguments) -> Result<BatchOptions, Failure> {
    let mut replicate = ReplicateOptions::new(temporary_directory());
    replicate.include_private = arguments.selection.include_private;
    replicate.skip_missing = arguments.selection.skip_missing;
    replicate.push.include_withdrawn = arguments.include_withdrawn;
    replicate.volatile_changes = arguments.volatile;
    replicate.push.layout = arguments.layout.into();
    let mut options = BatchOptions::new(replicate);
    options.parallel = arguments.parallel;
    options.nested = arguments.selection.nested;
    let shard = arguments.shard.map(|shard| shard.resolve(&Environment::of_process()));
    options.shard = shard.transpose()?;
    options.skip_existing = arguments.skip_existing;
    Ok(options)
}

/// Returns the named packages, or `None` if all packages of the node are wanted.
async fn named(
    arguments: &Arguments,
) -> Result<Option<BoxStream<'static, d1_sync::Result<Wanted>>>, Failure> {
    let any = |identifier| Wanted { identifier, is_resource_map: false, modified: None };
    match arguments.pids.as_slice() {
        [] if arguments.nodes.node.is_none() => {
            Err(Failure::usage("expected identifiers or a node, found neither")
                .with_hint("name packages by their identifiers, or all packages of a node with `--node`"))
        }
        [] => Ok(None),
        [dash] if dash == "-" => {
            let identifiers = identifiers_on_stdin().await?;
            Ok(Some(stream::iter(identifiers).map(move |identifier| Ok(any(identifier))).boxed()))
        }
        pids => {
            let identifiers: Vec<_> =
                pids.iter().map(|pid| parse_identifier(pid)).collect::<Result<_, _>>()?;
            Ok(Some(stream::iter(identifiers).map(move |identifier| Ok(any(identifier))).boxed()))
        }
    }
}

/// Returns which packages of the node are wanted.
fn selection(arguments: &Arguments) -> NodeSelection {
    let mut selection = NodeSelection::default();
    selection.from = arguments.from.map(DateTime::from_instant);
    selection.to = arguments.to.map(DateTime::from_instant);
    selection.format_id = arguments.format_id.clone();
    selection
}

#[derive(Default)]
struct Counts {
    replicated: AtomicU64,
    unchanged: AtomicU64,
    kept: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    states: Mutex<BTreeMap<DifferenceKind, u64>>,
}

/// Reports packages as they end, and counts them.
struct Telling<'a> {
    context: &'a Context,
    location: &'a Location,
    counts: Counts,
    /// The failure of standard output.
    failure: Mutex<Option<Failure>>,
    /// The exit status of the package that failed first.
    status: OnceLock<ExitStatus>,
}

impl Telling<'_> {
    fn tell(&self, identifier: &Identifier, outcome: &BatchOutcome) {
        let add = |count: &AtomicU64, more: u64| _ = count.fetch_add(more, Ordering::Relaxed);
        let line = match outcome {
            BatchOutcome::Replicated(report) => {
                let count = match () {
                    () if !report.kept.is_empty() => &self.counts.kept,
                    () if report.unchanged => &self.counts.unchanged,
                    () => &self.counts.replicated,
                };
                add(count, 1);
                add(&self.counts.received_bytes, report.received_bytes);
                add(&self.counts.sent_bytes, report.sent_bytes);
                let mut states = self.counts.states.lock().unwrap_or_else(PoisonError::into_inner);
                report.states.iter().for_each(|(state, count)| *states.entry(*state).or_default() += count);
                drop(states);
                let reference = format!("{}@{}", self.location, report.digest);
                Line::Replicated { reference, report }
            }
            BatchOutcome::Failed(error) => {
                add(&self.counts.failed, 1);
                self.status.get_or_init(|| sync_status(error));
                let faults: &[MemberFault] = match error {
                    Error::Members { faults } => faults,
                    _ => &[],
                };
                Line::Failed { identifier, message: with_causes(error), faults }
            }
            _ => {
                add(&self.counts.skipped, 1);
                Line::Skipped { identifier }
            }
        };
        // The summary counts the successes, and so it is enough where the user wants quiet.
        let is_failed = matches!(line, Line::Failed { .. });
        let printer = self.context.printer;
        if printer.is_quiet() && printer.format() == Format::Text && !is_failed {
            return;
        }
        if let Err(failure) = printer.item(&line, text) {
            self.keep(failure);
        }
    }

    fn keep(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    fn end(self) -> Result<(), Failure> {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let summary = Summary {
            replicated: count(&self.counts.replicated),
            unchanged: count(&self.counts.unchanged),
            kept: count(&self.counts.kept),
            skipped: count(&self.counts.skipped),
            failed: count(&self.counts.failed),
            received_bytes: count(&self.counts.received_bytes),
            sent_bytes: count(&self.counts.sent_bytes),
            states: self.counts.states.into_inner().unwrap_or_else(PoisonError::into_inner),
        };
        let failed = summary.failed;
        self.context.printer.item(&Line::Summary(summary), text)?;
        if let Some(failure) = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(failure);
        }
        if failed == 0 {
            return Ok(());
        }
        let message = format!("{} not replicated", human::count(failed, "package"));
        let status = self.status.get().copied().unwrap_or(ExitStatus::Network);
        let failure = Failure::new(status, message);
        // Invalid content stays invalid.
        Err(match status {
            ExitStatus::Invalid => failure,
            _ => failure.with_hint("run the same command again: it does only the missing packages"),
        })
    }
}

fn text(line: &Line<'_>, lines: &mut Lines<'_>) {
    match line {
        Line::Replicated { reference, report } => {
            let verb = match (report.kept.is_empty(), report.unchanged) {
                (false, _) => "Kept as it was",
                (true, true) => "Unchanged",
                (true, false) => "Replicated",
            };
            let mut text = format!(
                "{verb} {} to {reference}: {} of {}, {} received",
                report.identifier,
                human::count(report.objects, "object"),
                human::bytes(report.bytes),
                human::bytes(report.received_bytes),
            );
            if report.kept_objects > 0 {
                text += &format!(", {} already there", human::count(report.kept_objects, "object"));
            }
            if !report.skipped.is_empty() {
                text += &format!(", {} left out", human::count(report.skipped.len() as u64, "member"));
            }
            lines.add(text);
        }
        Line::Skipped { identifier } => lines.add(format_args!("Done before: {identifier}")),
        Line::Failed { identifier, message, faults } => {
            lines.add(format_args!("Failed {identifier}: {message}"));
            for fault in faults.iter().filter(|_| faults.len() > 1) {
                lines.add(format_args!("  {}: {}", fault.identifier, fault.message));
            }
        }
        Line::Summary(summary) => {
            let mut text = format!("{} replicated", human::count(summary.replicated, "package"));
            let rest = [
                (summary.unchanged, "unchanged"),
                (summary.kept, "kept as they were"),
                (summary.skipped, "done before"),
                (summary.failed, "failed"),
            ];
            for (count, what) in rest {
                text += &format!(", {count} {what}");
            }
            let (received, sent) = (human::bytes(summary.received_bytes), human::bytes(summary.sent_bytes));
            lines.add(format_args!("{text}; {received} received, {sent} sent"));
            if !summary.states.is_empty() {
                lines.add(format_args!("Members at the node:{}", states(&summary.states)));
            }
        }
    }
}
