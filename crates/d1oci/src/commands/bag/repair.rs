//! `d1oci bag repair`: a correct bag from one with the known faults of DataONE's own tools.

use std::fs::File;
use std::path::PathBuf;

use bagit::{Algorithm, Error, RepairOptions, Repaired, Report};
use serde::Serialize;

use super::create::with_hint;
use super::{fault_line, progress};
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::human;

/// Write a correct BagIt 1.0 bag from one with the known faults of DataONE's own tools.
///
/// Nothing is mended that only the owner can judge: if a payload file does not have a checksum that is declared for it, the bag is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci bag repair download.zip ./dataset_10.18739_A2D795C92")]
pub(crate) struct Arguments {
    /// The bag: a directory, or a zip file.
    bag: PathBuf,
    /// The new bag.
    #[arg(required_unless_present = "in_place", conflicts_with = "in_place")]
    target: Option<PathBuf>,
    /// Mend the bag itself: only its tag files are replaced.
    #[arg(long)]
    in_place: bool,
    /// Algorithm of further manifests; several times for several [default: sha512 and sha256].
    #[arg(short, long = "algorithm", value_name = "NAME")]
    algorithms: Vec<Algorithm>,
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    path: String,
    changed: bool,
    before: &'a Report,
    after: &'a Report,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let repaired = repair(context, arguments)?;
    let path = arguments.target.as_ref().unwrap_or(&arguments.bag).display().to_string();
    let outcome =
        Outcome { path, changed: repaired.changed, before: &repaired.before, after: &repaired.after.report };
    context.printer.result(&outcome, text)
}

fn repair(context: &Context, arguments: &Arguments) -> Result<Repaired, Failure> {
    let mut options = RepairOptions::default();
    if !arguments.algorithms.is_empty() {
        options.algorithms = arguments.algorithms.iter().copied().collect();
    }
    let (bag, progress) = (&arguments.bag, progress(context));
    let repaired = match &arguments.target {
        None => bagit::repair_in_place(bag, &options, &progress),
        Some(target) if bag.is_dir() => bagit::repair_directory(bag, target, &options, &progress),
        Some(target) => {
            let file = File::open(bag).map_err(|error| Failure::file("open", bag, error))?;
            bagit::repair_zip(file, target, &options, &progress)
        }
    };
    repaired.map_err(|error| match error {
        Error::NotRepairable(report) => {
            let faults: Vec<_> = report.errors().map(fault_line).collect();
            let faults_text = human::count(faults.len() as u64, "fault");
            let message =
                format!("`{}` has faults that only its owner can judge: {faults_text}", bag.display());
            Failure::new(ExitStatus::Invalid, message).with_details(faults)
        }
        error => with_hint(error),
    })
}

fn text(outcome: &Outcome<'_>) -> String {
    let mut text: String =
        outcome.before.errors().map(|fault| format!("mended   {}\n", fault_line(fault))).collect();
    let verb =
        if outcome.changed { "is now a valid bag of BagIt 1.0" } else { "has no fault; nothing was changed" };
    text += &format!("{} {verb}", outcome.path);
    text
}
