//! What came of fetching or replicating a package.

use d1_model::Identifier;
use oci_model::{Digest, Tag};
use serde::Serialize;

/// A member of a package that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedMember {
    /// The member's identifier, or its URI where the map gives nothing that is an identifier.
    pub identifier: String,
    /// Why, in words.
    pub reason: String,
}

/// What a fetch did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FetchReport {
    /// Identifier of the package.
    pub identifier: Identifier,
    /// Identifier of its resource map.
    pub resource_map: Identifier,
    /// Name of the bag's directory.
    pub directory: String,
    /// Number of objects in the bag, the map included.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of bytes that came from nodes; what an earlier attempt had left did not.
    pub received_bytes: u64,
    /// Members that were left out.
    pub skipped: Vec<SkippedMember>,
    /// Resource maps of packages within this one.
    pub nested: Vec<Identifier>,
}

/// What a replication did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReplicateReport {
    /// Identifier of the package.
    pub identifier: Identifier,
    /// Identifier of its resource map.
    pub resource_map: Identifier,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Tags that name it now.
    pub tags: Vec<Tag>,
    /// Whether the repository had exactly this under all its tags before.
    pub unchanged: bool,
    /// Number of objects in the package, the map included.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of objects that came from nodes.
    pub received_objects: u64,
    /// Number of bytes that came from nodes.
    pub received_bytes: u64,
    /// Number of objects that the repository had.
    pub kept_objects: u64,
    /// Number of bytes that were sent to the repository.
    pub sent_bytes: u64,
    /// Members that were left out.
    pub skipped: Vec<SkippedMember>,
    /// Resource maps of packages within this one.
    pub nested: Vec<Identifier>,
}
