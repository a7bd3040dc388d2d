//! Image manifests and image indexes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::descriptor::null_is_default;
use crate::{Annotations, Descriptor, MediaType};

/// A parsed manifest of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// An image manifest: one artifact.
    Image(ImageManifest),
    /// An image index: a list of manifests.
    Index(ImageIndex),
}

/// An image manifest (image-spec manifest.md), with its fields in the order in which `oras` writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// Media type of the manifest itself; old writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The content.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to, which makes this one its referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: Annotations,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// An image index (image-spec image-index.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// Media type of the index itself; old writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The listed manifests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: Annotations,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Manifest {
    /// Returns the manifest that this one refers to.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// Returns the annotations.
    pub fn annotations(&self) -> &Annotations {
        match self {
            Self::Image(manifest) => &manifest.annotations,
            Self::Index(index) => &index.annotations,
        }
    }

    /// Returns the type under which the artifact is listed among referrers: `artifactType`, else the type of the
    /// configuration (distribution-spec, "Listing Referrers").
    pub fn effective_artifact_type(&self) -> Option<&MediaType> {
        match self {
            Self::Image(manifest) => manifest.artifact_type.as_ref().or(Some(&manifest.config.media_type)),
            Self::Index(index) => index.artifact_type.as_ref(),
        }
    }

    /// Returns the blobs that have to be there before the manifest: configuration and layers, without repeats.
    pub fn blobs(&self) -> Vec<&Descriptor> {
        let Self::Image(manifest) = self else { return Vec::new() };
        let mut seen = std::collections::HashSet::new();
        std::iter::once(&manifest.config)
            .chain(&manifest.layers)
            .filter(|descriptor| seen.insert(&descriptor.digest))
            .collect()
    }

    /// Returns the manifests that an index lists.
    pub fn children(&self) -> &[Descriptor] {
        match self {
            Self::Image(_) => &[],
            Self::Index(index) => &index.manifests,
        }
    }
}

impl ImageManifest {
    /// Returns an artifact's manifest without layers.
    pub fn new(artifact_type: MediaType, config: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::from_static(MediaType::IMAGE_MANIFEST)),
            artifact_type: Some(artifact_type),
            config,
            layers: Vec::new(),
            subject: None,
            annotations: Annotations::new(),
            other: BTreeMap::new(),
        }
    }
}

impl ImageIndex {
    /// Returns an index of these manifests.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::from_static(MediaType::IMAGE_INDEX)),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: Annotations::new(),
            other: BTreeMap::new(),
        }
    }
}
