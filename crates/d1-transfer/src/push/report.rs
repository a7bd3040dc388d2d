//! What a push did.

use oci_model::{Descriptor, Digest, MediaType, RawManifest, Tag};
use registry_backend::{Error as BackendError, ErrorKind};
use serde::Serialize;

use crate::Result;
use crate::names::title;

/// What a push did, or would do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PushReport {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Size of the manifest in bytes.
    pub size: u64,
    /// Type of the artifact.
    pub artifact_type: MediaType,
    /// Tags that name it now.
    pub tags: Vec<Tag>,
    /// DataONE identifier, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Number of files.
    pub files: u64,
    /// Size of all files in bytes.
    pub bytes: u64,
    /// The layers, in the order of the manifest.
    pub layers: Vec<PushedLayer>,
    /// Number of blobs that were sent; in a dry run, that would be.
    pub sent_blobs: u64,
    /// Number of bytes that were sent; in a dry run, that would be.
    pub sent_bytes: u64,
    /// Whether all tags named exactly this manifest before.
    pub unchanged: bool,
}

/// One layer of what was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushedLayer {
    /// Title: where it goes when it is pulled.
    pub title: String,
    /// Media type.
    pub media_type: MediaType,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
}

impl PushReport {
    /// Returns the report of an artifact with `files` files of `bytes` bytes in all, of which nothing has been sent.
    ///
    /// # Errors
    ///
    /// If the manifest does not parse.
    pub fn new(
        manifest: &RawManifest,
        tags: &[Tag],
        (files, bytes): (u64, u64),
        identifier: Option<String>,
    ) -> Result<Self> {
        let invalid =
            |error| BackendError::new(ErrorKind::Invalid, "push", manifest.digest()).caused_by(error);
        let parsed = manifest.parse().map_err(invalid)?;
        let artifact_type = parsed.effective_artifact_type().cloned();
        let pushed = |layer: &Descriptor| PushedLayer {
            title: title(layer).to_owned(),
            media_type: layer.media_type.clone(),
            digest: layer.digest.clone(),
            size: layer.size,
        };
        Ok(Self {
            digest: manifest.digest().clone(),
            size: manifest.bytes().len() as u64,
            artifact_type: artifact_type.unwrap_or_else(|| manifest.media_type().clone()),
            tags: tags.to_vec(),
            identifier,
            files,
            bytes,
            layers: parsed.layers().iter().map(pushed).collect(),
            sent_blobs: 0,
            sent_bytes: 0,
            unchanged: false,
        })
    }
}
