//! What a caller can choose about an import, and what it did.

use d1_model::Identifier;
use serde::Serialize;

use super::ImportFault;

/// What to import.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// The objects; without any, all of the store.
    pub identifiers: Vec<Identifier>,
    /// Whether objects are imported that their system metadata do not let everybody read.
    pub include_private: bool,
}

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ImportReport {
    /// Number of objects that were looked at: the sum of the four that follow.
    pub objects: u64,
    /// Number of objects that were stored.
    pub imported: u64,
    /// Number of objects that were there before.
    pub already_there: u64,
    /// Identifiers of objects that not everybody may read, and that were left out for that.
    pub not_public: Vec<String>,
    /// Number of objects that could not be imported.
    pub failed: u64,
    /// Number of system metadata documents that were stored.
    pub system_metadata: u64,
    /// Number of blobs that were sent.
    pub sent_blobs: u64,
    /// Number of bytes that were sent.
    pub sent_bytes: u64,
    /// What is wrong with objects that could not be imported, and with files that belong to no object.
    pub faults: Vec<ImportFault>,
}
