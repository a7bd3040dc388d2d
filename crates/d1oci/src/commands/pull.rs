//! `d1oci pull`: a package into a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use d1_model::Identifier;
use d1_package::Accept;
use d1_transfer::{Candidate, PullOptions, PullReport};
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use super::bag::AcceptArgument;
use super::package::{self, RatioArgument};
use super::selection::Selection;
use crate::context::Context;
use crate::failure::Failure;
use crate::near::found;
use crate::output::{Lines, human};

/// Pull a package into a directory.
///
/// Every byte is verified before a file gets its name. A second pull continues an interrupted one, and skips files that exist
/// with the right content.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci pull oci:store:v1 -o copy --include 'data/*_25m_*.csv'")]
pub(crate) struct Arguments {
    /// The package, or with `--id` the repository.
    reference: Reference,
    /// DataONE identifier of the package or an object in it, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// Directory to pull into.
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".")]
    output: PathBuf,
    /// Pull only files whose path in the package matches, or that are in this directory; can be repeated.
    #[arg(short, long, value_name = "GLOB")]
    include: Vec<String>,
    /// Leave out files whose path in the package matches, or that are in this directory; can be repeated.
    #[arg(short = 'x', long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Pull only objects with this DataONE object format identifier; can be repeated.
    #[arg(long, value_name = "FORMAT")]
    format_id: Vec<String>,
    /// Replace existing files with different content.
    #[arg(long)]
    overwrite: bool,
    /// Continue after a damaged file, and list all of them.
    #[arg(long)]
    keep_going: bool,
    /// Skip validation of the bag; digests are compared in any case.
    #[arg(long)]
    no_verify: bool,
    /// Tolerate known faults.
    #[arg(long, value_enum, value_name = "WHOSE")]
    accept: Option<AcceptArgument>,
    #[command(flatten)]
    ratio: RatioArgument,
}

#[derive(Debug, Serialize)]
struct Pulled<'a> {
    reference: String,
    path: String,
    #[serde(flatten)]
    report: &'a PullReport,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let mut options = PullOptions::default();
    let selection = Selection::new(&arguments.include, &arguments.exclude, &arguments.format_id)?;
    if !selection.is_everything() {
        selection.text().clone_into(&mut options.include_text);
        options.include = Some(Arc::new(move |file: &Candidate<'_>| selection.wants(file)));
    }
    options.overwrite = arguments.overwrite;
    options.keep_going = arguments.keep_going;
    options.no_bag_check = arguments.no_verify;
    options.accept = arguments.accept.map_or(Accept::Strict, Accept::from);
    options.max_ratio = arguments.ratio.max_ratio;
    if arguments.output == Path::new("-") {
        return Err(Failure::usage("cannot pull a directory to standard output")
            .with_hint("`d1oci cat` writes a file to standard output; `-o ./-` names a directory"));
    }
    let location = &arguments.reference.location;
    let backend = context.open(location, Access::Read).await?;
    let observer = context.observer();
    let target =
        package::target(context, &*backend, &arguments.reference, arguments.id.as_ref(), &observer).await?;
    let report = d1_transfer::pull(&*backend, &target, &arguments.output, &options, &observer).await;
    let report = found(&*backend, &arguments.reference, report).await?;
    let pulled = Pulled {
        reference: format!("{location}@{}", report.digest),
        path: arguments.output.join(&report.directory).display().to_string(),
        report: &report,
    };
    context.printer.done(&pulled, text)
}

fn text(pulled: &Pulled<'_>, lines: &mut Lines<'_>) {
    let PullReport { files, bytes, kept_files, received_bytes, digest, bag, .. } = pulled.report;
    lines.add(format_args!("Pulled {}", pulled.reference));
    let mut sum = format!(
        "{} of {} in `{}`; {} received",
        human::count(*files, "file"),
        human::bytes(*bytes),
        pulled.path,
        human::bytes(*received_bytes)
    );
    if *kept_files > 0 {
        sum += &format!(", {} already there", human::count(*kept_files, "file"));
    }
    lines.add(sum);
    if bag.as_ref().is_some_and(|bag| bag.valid) {
        lines.add("The bag is valid");
    }
    lines.add(format_args!("Digest: {digest}"));
}
