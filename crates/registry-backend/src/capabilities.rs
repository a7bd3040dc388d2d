//! Limits and preferences of a store.

use std::path::PathBuf;
use std::time::Duration;

/// Limits and preferences of a store. Callers check limits before they send anything, and follow preferences while they send.
///
/// ```
/// use registry_backend::Capabilities;
///
/// let mut small = Capabilities::default();
/// small.max_blob_bytes = Some(1024);
/// assert!(small.any_config_type);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The largest blob in bytes, or `None` if there is no known limit.
    pub max_blob_bytes: Option<u64>,
    /// Store files above this size in bytes in parts of this size; `None` to store every file as a whole.
    pub part_bytes: Option<u64>,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
    /// The largest number of layers in one manifest.
    pub max_layers: usize,
    /// How many blobs to move at once.
    pub parallel_blobs: usize,
    /// How many manifests, and other content of some kilobytes, to ask for at once; `None` for as many as blobs.
    pub parallel_manifests: Option<usize>,
    /// Where the store keeps its blobs, in words of its own. A store copies blobs by itself from a place that it knows
    /// ([`BlobSource::blob_place`](crate::BlobSource::blob_place)).
    pub blob_place: Option<String>,
    /// Whether the store sends a range of a blob without the rest.
    pub range_reads: bool,
    /// How long a blob without a manifest stays at least, or `None` for ever.
    pub unreferenced_blob_lifetime: Option<Duration>,
    /// How long a manifest stays that has neither a tag nor a subject, or `None` for ever.
    pub untagged_manifest_lifetime: Option<Duration>,
    /// Whether a manifest stays readable by its digest after its last tag moved or was deleted.
    pub keeps_moved_digests: bool,
    /// Whether manifests with a subject can be deleted.
    pub deletes_referrers: bool,
    /// A directory on the file system of the store, or `None` if it has none. The store takes over a file without a name that was made
    /// there ([`BlobSource::nameless_file`](crate::BlobSource::nameless_file)).
    pub takes_files_of: Option<PathBuf>,
    /// Whether blobs are files of this machine, so that opening one costs little.
    pub local_files: bool,
    /// Whether manifests may have configurations of any media type. If not, only the empty configuration is sure to pass.
    pub any_config_type: bool,
}

impl Capabilities {
    /// 3.5 MiB: registries should accept 4 MiB (distribution-spec, "Pushing Manifests"); the rest is reserve.
    pub const PORTABLE_MANIFEST_BYTES: u64 = 3_670_016;

    /// 400: the lowest limit in the field is about 500 layers, ECR's.
    pub const PORTABLE_LAYERS: usize = 400;

    /// Returns how many manifests to ask for at once: at least one.
    ///
    /// ```
    /// use registry_backend::Capabilities;
    ///
    /// let mut capabilities = Capabilities::default();
    /// assert_eq!(capabilities.manifests_at_once(), capabilities.parallel_blobs);
    /// capabilities.parallel_manifests = Some(32);
    /// assert_eq!(capabilities.manifests_at_once(), 32);
    /// ```
    #[must_use]
    pub fn manifests_at_once(&self) -> usize {
        self.parallel_manifests.unwrap_or(self.parallel_blobs).max(1)
    }
}

impl Default for Capabilities {
    /// A store without limits except the portable ones for manifests.
    fn default() -> Self {
        Self {
            max_blob_bytes: None,
            part_bytes: None,
            max_manifest_bytes: Self::PORTABLE_MANIFEST_BYTES,
            max_layers: Self::PORTABLE_LAYERS,
            parallel_blobs: 4,
            parallel_manifests: None,
            blob_place: None,
            range_reads: true,
            unreferenced_blob_lifetime: None,
            untagged_manifest_lifetime: None,
            keeps_moved_digests: true,
            deletes_referrers: true,
            takes_files_of: None,
            local_files: false,
            any_config_type: true,
        }
    }
}
