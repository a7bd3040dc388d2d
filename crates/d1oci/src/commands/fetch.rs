//! `d1oci fetch`: a package from DataONE into a bag on disk.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;

use d1_model::Identifier;
use d1_sync::{FetchOptions, FetchReport};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::nodes::{NodeOptions, SelectionOptions};
use crate::output::{Format, Lines, human};

/// Fetch a package from DataONE into a bag.
///
/// PID names the metadata, a data file, the resource map, or a series. Every object is verified against the checksum in its system
/// metadata. The bag gets its name when it is complete and valid. A second fetch continues an interrupted one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci fetch doi:10.18739/A2D795C92 -o downloads")]
pub(crate) struct Arguments {
    /// DataONE identifier of the package or of an object in it.
    pid: Identifier,
    /// Directory for the bag.
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    selection: SelectionOptions,
    /// Replace existing files with different content.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    nodes: NodeOptions,
}

#[derive(Debug, Serialize)]
struct Fetched {
    path: String,
    #[serde(flatten)]
    report: FetchReport,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let source = arguments.nodes.source(context)?;
    let mut options = FetchOptions::default();
    options.include_private = arguments.selection.include_private;
    options.skip_missing = arguments.selection.skip_missing;
    options.overwrite = arguments.overwrite;
    let mut maps = VecDeque::from([d1_sync::find_resource_map(&source, &arguments.pid).await?]);
    let printer = context.printer;
    let (mut fetched, is_brief) = (0, printer.is_quiet() && printer.format() == Format::Text);
    let mut seen: HashSet<Identifier> = maps.iter().cloned().collect();
    while let Some(map) = maps.pop_front() {
        let report = d1_sync::fetch(&source, &map, &arguments.output, &options, &context.observer()).await?;
        if arguments.selection.nested {
            maps.extend(report.nested.iter().filter(|map| seen.insert((*map).clone())).cloned());
        }
        let path = arguments.output.join(&report.directory).display().to_string();
        fetched += 1;
        // Quiet text has one line for all packages.
        if !is_brief || maps.is_empty() && fetched == 1 {
            printer.done_item(&Fetched { path, report }, text)?;
        }
    }
    if is_brief && fetched > 1 {
        let line = human::count(fetched, "package");
        printer.item(&line, |line, lines| lines.add(format_args!("Fetched {line}")))?;
    }
    Ok(())
}

fn text(fetched: &Fetched, lines: &mut Lines<'_>) {
    let FetchReport { identifier, resource_map, objects, bytes, received_bytes, skipped, .. } =
        &fetched.report;
    lines.add(format_args!("Fetched {identifier}"));
    lines.add(format_args!(
        "{} of {} in `{}`; {} received",
        human::count(*objects, "object"),
        human::bytes(*bytes),
        fetched.path,
        human::bytes(*received_bytes),
    ));
    if !skipped.is_empty() {
        lines.add(format_args!("{} left out", human::count(skipped.len() as u64, "member")));
    }
    lines.add(format_args!("Resource map: {resource_map}"));
    lines.add("The bag is valid");
}
