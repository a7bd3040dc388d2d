//! `d1oci fetch`: a package from DataONE into a bag on disk.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;

use d1_model::Identifier;
use d1_sync::{FetchOptions, FetchReport};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::nodes::{NodeOptions, SelectionOptions};
use crate::output::human;

/// Fetch a package from DataONE into a bag.
///
/// PID may be that of the metadata, of a data file, of the resource map, or of a series. Every object is verified against the checksum
/// that its system metadata declare; the bag gets its name when it is whole and valid. What an interrupted fetch has left is taken up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci fetch doi:10.18739/A2D795C92 -o downloads")]
pub(crate) struct Arguments {
    /// DataONE identifier of the package or of something in it.
    pid: Identifier,
    /// Directory in which the bag is made.
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    selection: SelectionOptions,
    /// Replace other files that are in the way.
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
    let source = arguments.nodes.source()?;
    let mut options = FetchOptions::default();
    options.include_private = arguments.selection.include_private;
    options.skip_missing = arguments.selection.skip_missing;
    options.overwrite = arguments.overwrite;
    let mut maps = VecDeque::from([source.resource_map_of(&arguments.pid).await?]);
    let mut seen: HashSet<Identifier> = maps.iter().cloned().collect();
    while let Some(map) = maps.pop_front() {
        let report = d1_sync::fetch(&source, &map, &arguments.output, &options, &context.observer()).await?;
        if arguments.selection.nested {
            maps.extend(report.nested.iter().filter(|map| seen.insert((*map).clone())).cloned());
        }
        let path = arguments.output.join(&report.directory).display().to_string();
        context.printer.item(&Fetched { path, report }, text)?;
    }
    Ok(())
}

fn text(fetched: &Fetched) -> String {
    let FetchReport { identifier, resource_map, objects, bytes, received_bytes, skipped, .. } =
        &fetched.report;
    let mut text = format!(
        "Fetched {identifier}\n{} of {} in `{}`; {} received\n",
        human::count(*objects, "object"),
        human::bytes(*bytes),
        fetched.path,
        human::bytes(*received_bytes),
    );
    if !skipped.is_empty() {
        text += &format!("{} left out\n", human::count(skipped.len() as u64, "member"));
    }
    text + &format!("Resource map: {resource_map}\nThe bag is valid")
}
