//! `d1oci ls`: the files of a package.

use d1_catalog::Purpose;
use d1_model::Identifier;
use d1_transfer::{FileListing, list_files};
use oci_model::{MediaType, Reference};
use serde::Serialize;

use super::package;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Lines, human};

/// List the files of a package: size, path, and known DataONE identifiers and formats.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci ls oci:store:v1")]
pub(crate) struct Arguments {
    /// The package, or with `--id` the repository.
    reference: Reference,
    /// DataONE identifier of the package or an object in it, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    reference: String,
    artifact_type: Option<MediaType>,
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    files: FileListing<'a>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let opened =
        package::open(context, &arguments.reference, arguments.id.as_ref(), Purpose::Package).await?;
    let view = &opened.package.view;
    let listing = Listing {
        artifact_type: view.manifest().artifact_type.clone(),
        directory: view.directory().to_owned(),
        identifier: view.identifier().map(str::to_owned),
        files: list_files(&*opened.backend, &opened.package).await?,
        reference: opened.reference,
    };
    context.printer.result(&listing, text)
}

fn text(listing: &Listing<'_>, lines: &mut Lines<'_>) {
    let width = listing.files.iter().map(|file| human::bytes(file.size).len()).max().unwrap_or(0);
    for file in listing.files.iter() {
        let mut line = format!("{:>width$}  {}", human::bytes(file.size), file.path);
        if let Some(identifier) = &file.identifier {
            line += &format!("  [{identifier}]");
        }
        if let Some(format_id) = &file.format_id {
            line += &format!("  ({format_id})");
        }
        lines.add(line);
    }
}
