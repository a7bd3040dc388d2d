//! `d1oci inspect`: a summary of an artifact.

use d1_catalog::Purpose;
use d1_model::Identifier;
use d1_package::{LayerKind, PackageView};
use oci_model::{Annotations, Digest, MediaType, Reference, annotations};
use serde::Serialize;

use super::package;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Lines, human};

/// Show a summary of an artifact: type, identifiers, sizes, layers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci inspect oci:store:v1")]
pub(crate) struct Arguments {
    /// The artifact, or with `--id` the repository.
    reference: Reference,
    /// DataONE identifier of the package or an object in it, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    reference: String,
    digest: Digest,
    manifest_size: u64,
    artifact_type: Option<MediaType>,
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_map: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bag_version: Option<String>,
    indexed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    stored_bytes: u64,
    layers: Vec<Layer>,
    annotations: Annotations,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    title: Option<String>,
    kind: &'static str,
    media_type: MediaType,
    digest: Digest,
    size: u64,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let opened =
        package::open(context, &arguments.reference, arguments.id.as_ref(), Purpose::Package).await?;
    let (raw, view) = (&opened.package.raw, &opened.package.view);
    let manifest = view.manifest();
    let index = view.index();
    let layers = layers(view);
    let summary = Summary {
        digest: raw.digest().clone(),
        manifest_size: raw.bytes().len() as u64,
        artifact_type: manifest.artifact_type.clone(),
        directory: view.directory().to_owned(),
        identifier: view.identifier().map(str::to_owned),
        resource_map: index.and_then(|index| index.resource_map()).map(ToString::to_string),
        bag_version: index.and_then(|index| index.bag()).map(|bag| bag.version.to_string()),
        indexed: index.is_some(),
        files: index.map(|index| index.files().len() as u64),
        bytes: index.map(|index| index.files().files().map(|file| file.size).fold(0, u64::saturating_add)),
        stored_bytes: layers.iter().map(|layer| layer.size).fold(manifest.config.size, u64::saturating_add),
        layers,
        annotations: manifest.annotations.clone(),
        reference: opened.reference,
    };
    context.printer.result(&summary, text)
}

fn layers(view: &PackageView) -> Vec<Layer> {
    let kinds = view.index().map(|index| index.layers());
    let archives: Vec<usize> = view.archives().iter().map(|archive| archive.layer).collect();
    let kind = |number: usize| match kinds.and_then(|kinds| kinds.get(number)).map(|record| &record.kind) {
        Some(LayerKind::Archive(_)) => "archive",
        Some(LayerKind::Object) => "object",
        Some(LayerKind::Part) => "part",
        None if archives.contains(&number) => "archive",
        None => "object",
    };
    let layers = view.manifest().layers.iter().enumerate();
    layers
        .map(|(number, layer)| Layer {
            title: layer.annotation(annotations::TITLE).map(str::to_owned),
            kind: kind(number),
            media_type: layer.media_type.clone(),
            digest: layer.digest.clone(),
            size: layer.size,
        })
        .collect()
}

fn text(summary: &Summary, lines: &mut Lines<'_>) {
    let mut line = |label: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.add(format_args!("{:<13} {value}", format!("{label}:")));
        }
    };
    line("Reference", Some(summary.reference.clone()));
    line("ArtifactType", summary.artifact_type.as_ref().map(ToString::to_string));
    line("Identifier", summary.identifier.clone());
    line("Resource map", summary.resource_map.clone());
    line("Directory", Some(summary.directory.clone()).filter(|directory| !directory.is_empty()));
    line("BagIt", summary.bag_version.clone());
    if let (Some(files), Some(bytes)) = (summary.files, summary.bytes) {
        line("Content", Some(format!("{}, {}", human::count(files, "file"), human::bytes(bytes))));
    }
    line("Stored", Some(human::bytes(summary.stored_bytes)));
    for (key, value) in &summary.annotations {
        lines.add(format_args!("  {key}: {value}"));
    }
    lines.add("Layers:");
    for layer in &summary.layers {
        let title = layer.title.as_deref().unwrap_or("-");
        let (digest, size) = (layer.digest.short(), human::bytes(layer.size));
        let (kind, media_type) = (layer.kind, &layer.media_type);
        lines.add(format_args!("  {digest}  {size:>9}  {kind:<7}  {title} ({media_type})"));
    }
}
