//! `d1oci ls`: the files of a package.

use d1_model::Identifier;
use d1_package::ArtifactState;
use d1_package::annotations::D1_SERIES_ID;
use d1_transfer::{FileListing, OpenPackage, list_files, with_causes};
use oci_model::{MediaType, Reference};
use registry_backend::RegistryBackend;
use serde::Serialize;

use super::package::{
    Artifact, Children, OpenedArtifact, RatioArgument, open_any, state_of_file, unreadable,
};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Lines, human};

/// List the files of a package: size, path, known DataONE identifiers and formats, and the state of objects that are archived,
/// replaced or not public.
///
/// Of an image index, it lists the files of every artifact in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci ls oci:store:v1")]
pub(crate) struct Arguments {
    /// The package, or with `--id` the repository.
    reference: Reference,
    /// DataONE identifier of the package or an object in it, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    #[command(flatten)]
    ratio: RatioArgument,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    reference: String,
    artifact_type: Option<MediaType>,
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series_id: Option<String>,
    #[serde(flatten)]
    state: ArtifactState,
    files: FileListing<'a>,
}

/// An artifact of an image index.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Child<'a> {
    Listed(Box<Listing<'a>>),
    Unreadable { reference: String, error: String },
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { reference: asked, id, ratio: RatioArgument { max_ratio } } = arguments;
    let OpenedArtifact { backend, artifact, reference } = open_any(context, &asked, id.as_ref()).await?;
    let (raw, manifest) = match artifact {
        Artifact::Package(package) => {
            let package = package.with_max_ratio(max_ratio);
            let listing = listing(&*backend, &package, reference).await?;
            let state = listing.state.to_string();
            if !state.is_empty() {
                context.printer.status(format_args!("{}: {state}", listing.reference));
            }
            return context.printer.result(&listing, |listing, lines| files(listing, "", lines));
        }
        Artifact::Index { raw, manifest } => (raw, manifest),
    };
    let fields = [("reference", reference), ("mediaType", raw.media_type().to_string())];
    let mut list = context.printer.list(&fields, "artifacts")?;
    let mut children = Children::of(&*backend, &raw, &manifest)?;
    let mut failed = 0;
    while let Some((child, read)) = children.next().await? {
        let reference = format!("{}@{}", asked.location, child.digest);
        let package = match read {
            Ok(Artifact::Package(package)) => package.with_max_ratio(max_ratio),
            Ok(Artifact::Index { .. }) => continue,
            Err(error) => {
                failed += 1;
                list.item(&Child::Unreadable { reference, error: with_causes(&error) }, child_text)?;
                continue;
            }
        };
        let listing = Box::new(listing(&*backend, &package, reference).await?);
        list.item(&Child::Listed(listing), child_text)?;
    }
    list.end()?;
    unreadable(failed, &asked)
}

async fn listing<'a>(
    backend: &dyn RegistryBackend,
    package: &'a OpenPackage,
    reference: String,
) -> Result<Listing<'a>, Failure> {
    let view = &package.view;
    Ok(Listing {
        artifact_type: view.manifest().artifact_type.clone(),
        directory: view.directory().to_owned(),
        identifier: view.identifier().map(str::to_owned),
        series_id: view.manifest().annotations.get(D1_SERIES_ID).cloned(),
        state: ArtifactState::of(&view.manifest().annotations),
        files: list_files(backend, package).await?,
        reference,
    })
}

fn child_text(child: &Child<'_>, lines: &mut Lines<'_>) {
    match child {
        Child::Listed(listing) => {
            let kind = listing.artifact_type.as_ref().map(|kind| format!(" ({kind})")).unwrap_or_default();
            lines.add(format_args!("{}{kind}:", listing.reference));
            files(listing, "  ", lines);
        }
        Child::Unreadable { reference, error } => lines.add(format_args!("error    {reference}: {error}")),
    }
}

fn files(listing: &Listing<'_>, indent: &str, lines: &mut Lines<'_>) {
    let width = listing.files.iter().map(|file| human::bytes(file.size).len()).max().unwrap_or(0);
    for file in listing.files.iter() {
        let mut line = format!("{indent}{:>width$}  {}", human::bytes(file.size), file.path);
        if let Some(identifier) = &file.identifier {
            line += &format!("  [{identifier}]");
        }
        if let Some(format_id) = &file.format_id {
            line += &format!("  ({format_id})");
        }
        lines.add(line + &state_of_file(&file));
    }
}
