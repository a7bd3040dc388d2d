//! `d1oci inspect`: a summary of an artifact.

use d1_model::Identifier;
use d1_package::annotations::D1_SERIES_ID;
use d1_package::{ArtifactState, LayerKind, PackageView};
use d1_transfer::{OpenPackage, with_causes};
use oci_model::{Annotations, Descriptor, Digest, MediaType, Platform, Reference, annotations};
use registry_backend::RegistryBackend;
use serde::Serialize;

use super::package::{Artifact, Children, OpenedArtifact, open_any, unreadable};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Lines, human};

/// Show a summary of an artifact: type, identifiers, sizes, layers.
///
/// Of an image index, it shows every artifact in it.
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
    series_id: Option<String>,
    #[serde(flatten)]
    state: ArtifactState,
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexSummary {
    reference: String,
    digest: Digest,
    manifest_size: u64,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<MediaType>,
    artifacts: Vec<ChildSummary>,
    annotations: Annotations,
}

/// An artifact of an image index, without its layers: there may be thousands of artifacts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChildSummary {
    reference: String,
    digest: Digest,
    manifest_size: u64,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<MediaType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { reference: asked, id } = arguments;
    let OpenedArtifact { backend, artifact, reference } = open_any(context, &asked, id.as_ref()).await?;
    let (raw, manifest) = match artifact {
        Artifact::Package(package) => return context.printer.result(&summary(&package, reference), text),
        Artifact::Index { raw, manifest } => (raw, manifest),
    };
    let summary = IndexSummary {
        reference,
        digest: raw.digest().clone(),
        manifest_size: raw.bytes().len() as u64,
        media_type: raw.media_type().clone(),
        artifact_type: manifest.effective_artifact_type().cloned(),
        artifacts: summaries(&*backend, Children::of(&*backend, &raw, &manifest)?).await?,
        annotations: manifest.annotations().clone(),
    };
    context.printer.result(&summary, index_text)?;
    let failed = summary.artifacts.iter().filter(|artifact| artifact.error.is_some()).count();
    unreadable(failed as u64, &asked)
}

fn summary(package: &OpenPackage, reference: String) -> Summary {
    let (raw, view) = (&package.raw, &package.view);
    let manifest = view.manifest();
    let index = view.index();
    let layers = layers(view);
    Summary {
        digest: raw.digest().clone(),
        manifest_size: raw.bytes().len() as u64,
        artifact_type: manifest.artifact_type.clone(),
        directory: view.directory().to_owned(),
        identifier: view.identifier().map(str::to_owned),
        resource_map: index.and_then(|index| index.resource_map()).map(ToString::to_string),
        series_id: manifest.annotations.get(D1_SERIES_ID).cloned(),
        state: ArtifactState::of(&manifest.annotations),
        bag_version: index.and_then(|index| index.bag()).map(|bag| bag.version.to_string()),
        indexed: index.is_some(),
        files: index.map(|index| index.files().len() as u64),
        bytes: index.map(|index| index.files().files().map(|file| file.size).fold(0, u64::saturating_add)),
        stored_bytes: stored_bytes(view),
        layers,
        annotations: manifest.annotations.clone(),
        reference,
    }
}

fn stored_bytes(view: &PackageView) -> u64 {
    let manifest = view.manifest();
    manifest.layers.iter().map(|layer| layer.size).fold(manifest.config.size, u64::saturating_add)
}

async fn summaries(
    backend: &dyn RegistryBackend,
    mut children: Children<'_>,
) -> Result<Vec<ChildSummary>, Failure> {
    let mut summaries = Vec::new();
    while let Some((child, read)) = children.next().await? {
        let Descriptor { media_type, digest, size, artifact_type, platform, .. } = child;
        let mut summary = ChildSummary {
            reference: format!("{backend}@{digest}"),
            digest,
            manifest_size: size,
            media_type,
            artifact_type,
            platform,
            identifier: None,
            files: None,
            stored_bytes: None,
            error: None,
        };
        match read {
            Ok(Artifact::Package(package)) => {
                let view = &package.view;
                summary.artifact_type = view.manifest().artifact_type.clone().or(summary.artifact_type);
                summary.identifier = view.identifier().map(str::to_owned);
                summary.files = view.index().map(|index| index.files().len() as u64);
                summary.stored_bytes = Some(stored_bytes(view));
            }
            Ok(Artifact::Index { .. }) => {}
            Err(error) => summary.error = Some(with_causes(&error)),
        }
        summaries.push(summary);
    }
    Ok(summaries)
}

fn index_text(summary: &IndexSummary, lines: &mut Lines<'_>) {
    lines.add(format_args!("{:<13} {}", "Reference:", summary.reference));
    lines.add(format_args!("{:<13} {}", "MediaType:", summary.media_type));
    if let Some(artifact_type) = &summary.artifact_type {
        lines.add(format_args!("{:<13} {artifact_type}", "ArtifactType:"));
    }
    for (key, value) in &summary.annotations {
        lines.add(format_args!("  {key}: {value}"));
    }
    lines.add("Artifacts:");
    for artifact in &summary.artifacts {
        let kind = artifact.artifact_type.as_ref().unwrap_or(&artifact.media_type);
        let mut line = format!("  {}  {kind}", artifact.digest);
        let platform = |field| artifact.platform.as_ref().and_then(|platform| platform.get(field)?.as_str());
        if let (Some(system), Some(processor)) = (platform("os"), platform("architecture")) {
            line += &format!("  {system}/{processor}");
        }
        if let Some(identifier) = &artifact.identifier {
            line += &format!("  [{identifier}]");
        }
        if let Some(files) = artifact.files {
            line += &format!("  {}", human::count(files, "file"));
        }
        if let Some(bytes) = artifact.stored_bytes {
            line += &format!("  {}", human::bytes(bytes));
        }
        if let Some(error) = &artifact.error {
            line += &format!("  error: {error}");
        }
        lines.add(line);
    }
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
    line("Series", summary.series_id.clone());
    line("State", Some(summary.state.to_string()).filter(|state| !state.is_empty()));
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
