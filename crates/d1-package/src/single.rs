//! Artifacts of single files, without a package around them.

use oci_model::{Annotations, Descriptor, Digest, MediaType, RawManifest};
use oci_pack::ManifestBuildError;

use crate::ObjectFacts;

/// A file that is pushed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleFile {
    /// Title: the name under which the file is pulled, a clean relative path.
    pub title: String,
    /// Media type; without it, it is guessed from the format and the title.
    pub media_type: Option<MediaType>,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// What DataONE knows of the file.
    pub object: ObjectFacts,
}

/// How to write the manifest of single files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleFileOptions {
    /// Type of the artifact; without it, it is the media type that all files have, if they have one.
    pub artifact_type: Option<MediaType>,
    /// The manifest that the artifact refers to.
    pub subject: Option<Descriptor>,
    /// Date and time for `org.opencontainers.image.created`, RFC 3339; without it the annotation is absent.
    pub created: Option<String>,
    /// Further annotations; they win over those that follow from the content.
    pub annotations: Annotations,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
}

/// Returns the manifest of an artifact whose layers are these files, in this order; without files, of an empty artifact.
///
/// The configuration is the empty one. The annotations of the only file stand on the manifest as well.
///
/// # Errors
///
/// If the manifest is too large, or two files have one title.
pub fn single_files_manifest(
    files: &[SingleFile],
    options: &SingleFileOptions,
) -> Result<RawManifest, ManifestBuildError> {
    let _ = (files, options);
    todo!()
}
