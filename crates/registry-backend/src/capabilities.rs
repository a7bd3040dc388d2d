//! What a store can take and what it prefers.

use std::time::Duration;

/// Limits and hints of a store. Limits are checked before anything is sent; hints shape how it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The largest blob in bytes, or `None` if there is no known limit.
    pub max_blob_bytes: Option<u64>,
    /// The size in bytes from which a file is better stored in parts of this size, or `None` if never.
    pub part_bytes: Option<u64>,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
    /// The largest number of layers in one manifest.
    pub max_layers: usize,
    /// How many blobs to move at once.
    pub parallel_blobs: usize,
    /// Whether a range of a blob can be read without the rest.
    pub range_reads: bool,
    /// How long a blob that no manifest refers to is sure to stay, or `None` if for ever.
    pub unreferenced_blob_lifetime: Option<Duration>,
    /// Whether manifests may have configurations of any media type.
    pub any_config_type: bool,
}

impl Capabilities {
    /// 3.5 MiB: registries are expected to take 4 MiB (distribution-spec, "Pushing Manifests"); the rest is reserve.
    pub const PORTABLE_MANIFEST_BYTES: u64 = 3_670_016;

    /// 400: the lowest limit in the field is about 500 layers, ECR's.
    pub const PORTABLE_LAYERS: usize = 400;
}

impl Default for Capabilities {
    /// What a store of one's own can do: no limit but the portable ones for manifests.
    fn default() -> Self {
        Self {
            max_blob_bytes: None,
            part_bytes: None,
            max_manifest_bytes: Self::PORTABLE_MANIFEST_BYTES,
            max_layers: Self::PORTABLE_LAYERS,
            parallel_blobs: 4,
            range_reads: true,
            unreferenced_blob_lifetime: None,
            any_config_type: true,
        }
    }
}
