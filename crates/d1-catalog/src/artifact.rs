//! Summaries of artifacts, taken from their manifests.

use d1_package::annotations::{D1_FORMAT_ID, D1_IDENTIFIER, D1_OBSOLETES, D1_RESOURCE_MAP, D1_SERIES_ID};
use d1_package::{ArtifactState, PackageView};
use d1_transfer::parts::{Tagged, total};
use oci_model::annotations::{CREATED, DESCRIPTION, TITLE};
use oci_model::{Annotations, Descriptor, Digest, Manifest, MediaType, Tag};
use serde::Serialize;

/// An artifact of a repository, as its manifest or a list of tags describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ArtifactSummary {
    /// Digest of the manifest.
    pub digest: Digest,
    /// A tag that names it. If there are several, the one by which it was found first.
    pub tag: Tag,
    /// Its kind. Unknown if only a list of tags was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ArtifactKind>,
    /// Type of the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// DataONE identifier of the package or object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Identifier of the package's resource map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_map: Option<String>,
    /// Series identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_id: Option<String>,
    /// Identifier of the version that this one replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obsoletes: Option<String>,
    /// Its state at DataONE: archived, replaced, not public.
    #[serde(flatten)]
    pub state: ArtifactState,
    /// Title of the package, or name of the only file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Object format identifier of an object that was pushed by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_id: Option<String>,
    /// When it was created, as the annotation `org.opencontainers.image.created` states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Size of its blobs in bytes. Unknown if only a list of tags was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
}

/// The kind of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ArtifactKind {
    /// A data package: it has an index, or the type of a bag.
    Package,
    /// One object with an identifier.
    Object,
    /// An image index, which lists other artifacts.
    Index,
    /// Anything else.
    Artifact,
}

impl ArtifactSummary {
    pub(crate) fn of(tagged: &Tagged) -> Self {
        let Tagged { tag, raw, manifest } = tagged;
        let described = Self::of_annotations(tag.clone(), raw.digest().clone(), manifest.annotations());
        Self {
            kind: Some(kind(manifest)),
            artifact_type: manifest.effective_artifact_type().cloned(),
            title: described.title.clone().or_else(|| only_title(manifest)),
            stored_bytes: Some(total(manifest.blobs().iter().map(|blob| blob.size))),
            ..described
        }
    }

    /// Returns the summary of a manifest as a list of tags describes it.
    pub(crate) fn of_descriptor(tag: Tag, descriptor: &Descriptor) -> Self {
        let described = Self::of_annotations(tag, descriptor.digest.clone(), &descriptor.annotations);
        Self { artifact_type: descriptor.artifact_type.clone(), ..described }
    }

    fn of_annotations(tag: Tag, digest: Digest, annotations: &Annotations) -> Self {
        let text = |key: &str| annotations.get(key).cloned();
        Self {
            digest,
            tag,
            kind: None,
            artifact_type: None,
            identifier: text(D1_IDENTIFIER),
            resource_map: text(D1_RESOURCE_MAP),
            series_id: text(D1_SERIES_ID),
            obsoletes: text(D1_OBSOLETES),
            state: ArtifactState::of(annotations),
            title: text(DESCRIPTION).or_else(|| text(TITLE)),
            format_id: text(D1_FORMAT_ID),
            created: text(CREATED),
            stored_bytes: None,
        }
    }

    /// Tells whether the artifact or its resource map has this identifier.
    pub(crate) fn is_named(&self, identifier: &str) -> bool {
        [&self.identifier, &self.resource_map].into_iter().any(|known| known.as_deref() == Some(identifier))
    }

    /// Tells whether the artifact belongs to this series.
    pub(crate) fn is_of_series(&self, identifier: &str) -> bool {
        self.series_id.as_deref() == Some(identifier)
    }
}

fn kind(manifest: &Manifest) -> ArtifactKind {
    let image = match manifest {
        Manifest::Index(_) => return ArtifactKind::Index,
        Manifest::Image(image) => image,
        _ => return ArtifactKind::Artifact,
    };
    let is_bag = image.artifact_type.as_ref().is_some_and(|kind| kind.as_str().starts_with(BAG_TYPE));
    if is_bag || PackageView::has_index(image) {
        return ArtifactKind::Package;
    }
    if image.annotations.contains_key(D1_IDENTIFIER) && image.layers.len() == 1 {
        return ArtifactKind::Object;
    }
    ArtifactKind::Artifact
}

/// The beginning of every artifact type of a bag, before its version.
const BAG_TYPE: &str = "application/bagit-";

/// Returns the title of the only layer.
fn only_title(manifest: &Manifest) -> Option<String> {
    match manifest.layers() {
        [only] => only.annotation(TITLE).map(str::to_owned),
        _ => None,
    }
}
