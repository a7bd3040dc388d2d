//! `d1oci history`: the versions of a package.

use d1_catalog::{CatalogedRepository, History, StoredVersion, Version, history};
use d1_model::Identifier;
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use super::package;
use crate::catalogs::OpenCatalog;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Lines, human};

/// Show the versions of a package, and the blobs that are new in each.
///
/// Each version names the identifier of the one that it replaces, so the command reads all tags of the repository, unless there is a catalogue. It also lists
/// versions that the repository does not have.
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
    let target = package::target(context, &*backend, &reference, id.as_ref(), &observer).await?;
    let history = match context.catalogs.existing(&reference.location, context.printer)? {
        Some(OpenCatalog { catalog, name }) => {
            let repository = CatalogedRepository { catalog: &catalog, backend: &*backend, name: &name };
            repository.history(&target, &observer).await?
        }
        None => history(&*backend, &target, &observer).await?,
    };
    let shown = Shown { reference: reference.location.to_string(), history };
    context.printer.result(&shown, text)
}

fn text(shown: &Shown, lines: &mut Lines<'_>) {
    for version in &shown.history.versions {
        add_version(version, lines);
    }
}

fn add_version(version: &Version, lines: &mut Lines<'_>) {
    let name = format!("{} {}", if version.asked { '*' } else { ' ' }, version.identifier);
    match &version.stored {
        None => lines.add(format_args!("{name}  not in the repository")),
        Some(stored) => add_stored(&name, version, stored, lines),
    }
    if let (true, Some(obsoletes)) = (version.circular, &version.obsoletes) {
        lines.add(format_args!("    claims to replace {obsoletes}, which comes after it"));
    }
}

fn add_stored(name: &str, version: &Version, stored: &StoredVersion, lines: &mut Lines<'_>) {
    let mut text = name.to_owned();
    if let Some(created) = &stored.created {
        text += &format!("  {created}");
    }
    text += &format!("  {}", stored.digest);
    if let Some(series_id) = &stored.series_id {
        text += &format!("  (series {series_id})");
    }
    lines.add(text);
    let mut blobs = String::new();
    if let Some(obsoletes) = &version.obsoletes {
        blobs += &format!("replaces {obsoletes}: {} shared, ", human::count(stored.shared_blobs, "blob"));
    }
    blobs += &format!("{} ({})", human::count(stored.new_blobs, "new blob"), human::bytes(stored.new_bytes));
    if !stored.copies.is_empty() {
        let copies = human::count(stored.copies.len() as u64, "other artifact");
        blobs += &format!("; {copies} with the same identifier");
    }
    lines.add(format_args!("    {blobs}"));
}
