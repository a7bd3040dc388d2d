//! What a push did.

use oci_model::{Digest, MediaType, Tag};
use serde::Serialize;

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
