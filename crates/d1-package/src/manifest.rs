//! The manifest of a package.

use bagit::Version;
use oci_model::{Annotations, MediaType};
use registry_backend::Capabilities;

/// How to write a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestOptions {
    /// Type of the artifact, such as [`bag_artifact_type`].
    pub artifact_type: MediaType,
    /// Which configuration blob the manifest has.
    pub configuration: Configuration,
    /// Date and time for `org.opencontainers.image.created`, RFC 3339; without it the annotation is absent.
    pub created: Option<String>,
    /// Further annotations; they win over those that follow from the content.
    pub annotations: Annotations,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
}

/// Which configuration blob a package's manifest has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Configuration {
    /// The index.
    #[default]
    Index,
    /// `{}`, for registries that take known types alone. The package has no index then.
    Empty,
}

impl ManifestOptions {
    /// Returns options without further annotations.
    #[must_use]
    pub fn new(artifact_type: MediaType) -> Self {
        Self {
            artifact_type,
            configuration: Configuration::default(),
            created: None,
            annotations: Annotations::new(),
            max_manifest_bytes: Capabilities::PORTABLE_MANIFEST_BYTES,
        }
    }
}

/// Returns the artifact type of a bag: `application/bagit-1.0`, with the version that the bag declares.
#[must_use]
pub fn bag_artifact_type(version: Version) -> MediaType {
    let _ = version;
    todo!()
}
