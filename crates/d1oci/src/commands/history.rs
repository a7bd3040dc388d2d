//! `d1oci history`: the versions of a package.

use d1_catalog::{History, StoredVersion, Version, history};
use d1_model::Identifier;
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use super::package;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::human;

/// Show the versions of a package, and what moved between them.
///
/// A version is known by the identifier of the one that it replaces. Versions that the repository does not have are shown as such. Only a
/// later version knows that it replaces an earlier one, so all tags of the repository are read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci history oci:store --id doi:10.18739/A2D795C92")]
pub(crate) struct Arguments {
    /// One of the versions, or with `--id` the repository.
    reference: Reference,
    /// DataONE identifier of one of the versions, or of their series, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
}

#[derive(Debug, Serialize)]
struct Shown {
    reference: String,
    #[serde(flatten)]
    history: History,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { reference, id } = arguments;
    let backend = context.open(&reference.location, Access::Read).await?;
    let observer = context.observer();
    let target = package::target(&*backend, &reference, id.as_ref(), &observer).await?;
    let history = history(&*backend, &target, &observer).await?;
    let shown = Shown { reference: reference.location.to_string(), history };
    context.printer.result(&shown, text)
}

fn text(shown: &Shown) -> String {
    shown.history.versions.iter().map(line).collect()
}

fn line(version: &Version) -> String {
    let mut text = format!("{} {}", if version.asked { '*' } else { ' ' }, version.identifier);
    match &version.stored {
        None => text += "  not in the repository",
        Some(stored) => text += &stored_text(version, stored),
    }
    if let (true, Some(obsoletes)) = (version.circular, &version.obsoletes) {
        text += &format!("\n    says that it replaces {obsoletes}, which comes after it");
    }
    text + "\n"
}

fn stored_text(version: &Version, stored: &StoredVersion) -> String {
    let mut text = String::new();
    if let Some(created) = &stored.created {
        text += &format!("  {created}");
    }
    text += &format!("  {}", stored.digest);
    if let Some(series_id) = &stored.series_id {
        text += &format!("  (series {series_id})");
    }
    let new = format!("{} ({})", human::count(stored.new_blobs, "new blob"), human::bytes(stored.new_bytes));
    text += "\n    ";
    if let Some(obsoletes) = &version.obsoletes {
        text += &format!("replaces {obsoletes}: {} shared, ", human::count(stored.shared_blobs, "blob"));
    }
    text += &new;
    if !stored.copies.is_empty() {
        text += &format!(
            "; {} with the same identifier",
            human::count(stored.copies.len() as u64, "other artifact")
        );
    }
    text
}
