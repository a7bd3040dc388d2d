//! `d1oci pull`: a package into a directory.

use std::path::PathBuf;
use std::sync::Arc;

use bagit::Accept;
use d1_model::Identifier;
use d1_transfer::{PullOptions, PullReport};
use globset::{Glob, GlobSet, GlobSetBuilder};
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use super::bag::AcceptArgument;
use super::package;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::human;

/// Pull a package into a directory.
///
/// Every byte is verified before a file gets its name. What an interrupted pull has left is taken up by the next one, and files that are there already
/// and right are not received again.
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
    /// Pull only files whose path in the package matches; several times for several.
    #[arg(short, long, value_name = "GLOB")]
    include: Vec<String>,
    /// Replace other files that are in the way.
    #[arg(long)]
    overwrite: bool,
    /// Go on after a damaged file was found, and list all of them.
    #[arg(long)]
    keep_going: bool,
    /// Do not judge a bag by its own manifests; digests are compared in any case.
    #[arg(long)]
    no_verify: bool,
    /// Faults that are tolerated.
    #[arg(long, value_enum, value_name = "WHOSE")]
    accept: Option<AcceptArgument>,
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
    if !arguments.include.is_empty() {
        let globs = globs(&arguments.include)?;
        options.include = Some(Arc::new(move |path: &str| globs.is_match(path)));
        options.include_text = arguments.include.join(", ");
    }
    options.overwrite = arguments.overwrite;
    options.keep_going = arguments.keep_going;
    options.no_bag_check = arguments.no_verify;
    options.accept = arguments.accept.map_or(Accept::Strict, Accept::from);
    let location = &arguments.reference.location;
    let backend = context.open(location, Access::Read).await?;
    let observer = context.observer();
    let target = package::target(&*backend, &arguments.reference, arguments.id.as_ref(), &observer).await?;
    let report = d1_transfer::pull(&*backend, &target, &arguments.output, &options, &observer).await?;
    let pulled = Pulled {
        reference: format!("{location}@{}", report.digest),
        path: arguments.output.join(&report.directory).display().to_string(),
        report: &report,
    };
    context.printer.result(&pulled, text)
}

fn globs(patterns: &[String]) -> Result<GlobSet, Failure> {
    let mut globs = GlobSetBuilder::new();
    for pattern in patterns {
        globs.add(Glob::new(pattern).map_err(|error| Failure::usage(error.to_string()))?);
    }
    globs.build().map_err(|error| Failure::usage(error.to_string()))
}

fn text(pulled: &Pulled<'_>) -> String {
    let PullReport { files, bytes, kept_files, received_bytes, digest, bag, .. } = pulled.report;
    let mut text = format!(
        "Pulled {}\n{} of {} in `{}`; {} received",
        pulled.reference,
        human::count(*files, "file"),
        human::bytes(*bytes),
        pulled.path,
        human::bytes(*received_bytes)
    );
    if *kept_files > 0 {
        text += &format!(", {} there already", human::count(*kept_files, "file"));
    }
    text += "\n";
    if bag.as_ref().is_some_and(|bag| bag.valid) {
        text += "The bag is valid\n";
    }
    text + &format!("Digest: {digest}")
}
