//! What a layout needs of the place where it is kept: a directory or an object store.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use oci_model::Digest;
use registry_backend::{BlobRead, BlobSource, Error, ErrorKind, Result};

use crate::index::{Edit, Index};

/// A place that keeps blobs under their digests and one index that is replaced as a whole.
#[async_trait]
pub(crate) trait Storage: fmt::Debug + Send + Sync {
    /// Returns the index as it is now.
    async fn index(&self) -> Result<Arc<Index>>;

    /// Begins to replace the index; the layout is made if it may be and is not there.
    async fn begin_update(&self) -> Result<Box<dyn IndexUpdate>>;

    /// Tells whether an update that has begun keeps others from updating and removing until it is dropped. Otherwise the
    /// update of the slower one is refused.
    fn update_excludes_others(&self) -> bool;

    /// Returns the size of a blob.
    async fn size(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Opens a range of a blob that is there.
    async fn read(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead>;

    /// Stores a blob, whether it is there or not, once its bytes are found to be right.
    async fn store(&self, blob: &dyn BlobSource) -> Result<()>;

    /// Makes a blob of this size that is there count as stored now, if the storage can.
    async fn renew(&self, digest: &Digest, size: u64) -> Result<Presence>;

    /// Tells for each blob whether it is there; of several with the same digest each is answered.
    async fn presence(&self, blobs: &[(Digest, u64)]) -> Result<Vec<Presence>>;

    /// Lists all blobs.
    async fn list(&self) -> Result<Vec<StoredBlob>>;

    /// Removes what interrupted writes left behind before this time, or only counts it.
    async fn remove_partial(&self, before: SystemTime, only_count: bool) -> Result<u64>;

    /// Returns the time by the clock that dates blobs.
    fn now(&self) -> SystemTime;
}

/// An update of the index that has begun.
#[async_trait]
pub(crate) trait IndexUpdate: Send {
    /// The index as it was at the beginning.
    fn index(&self) -> &Arc<Index>;

    /// Replaces the index in one step by what the change makes of it.
    async fn commit(self: Box<Self>, edit: Edit) -> Result<Commit>;

    /// Removes those of the blobs that are still there and were not stored or renewed after `before`.
    async fn remove(self: Box<Self>, blobs: Vec<StoredBlob>, before: SystemTime) -> Result<Vec<StoredBlob>>;
}

/// What came of replacing the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It was replaced.
    Done,
    /// Somebody else replaced it meanwhile, and nothing was written.
    Raced,
}

/// Whether a blob is there, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is not there, or has another size.
    Absent,
    /// It is there and will be when a push that relies on it ends.
    Kept,
    /// It is there, but old enough to be pruned soon, unless the index refers to it.
    KeptIfReferenced,
}

/// A blob in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredBlob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// When it was stored or renewed.
    pub(crate) modified: SystemTime,
}

/// The error for a range that does not lie within the blob.
pub(crate) fn outside(digest: &Digest, range: &Range<u64>, blob_size: u64) -> Error {
    Error::new(ErrorKind::Invalid, "read blob", digest)
        .because(format!("bytes {} to {} do not lie within its {blob_size} bytes", range.start, range.end))
}

/// The error for a blob that is not there.
pub(crate) fn absent(operation: &'static str, digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound, operation, digest)
}

/// The name that a layout's file for its version has (image-spec image-layout.md, "oci-layout file").
pub(crate) const LAYOUT_FILE: &str = "oci-layout";

/// What a layout that is made here has in it.
pub(crate) const LAYOUT_FILE_CONTENT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";

/// The name of the index (image-spec image-layout.md, "index.json file").
pub(crate) const INDEX_FILE: &str = "index.json";

/// Checks the text of the `oci-layout` file: unknown fields are no fault, an unknown version is.
pub(crate) fn check_layout_file(text: &[u8], place: &dyn fmt::Display) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct LayoutFile {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let invalid = |kind| Error::new(kind, "open", place);
    let layout: LayoutFile = serde_json::from_slice(text).map_err(|error| {
        invalid(ErrorKind::Invalid).because("its `oci-layout` file states no layout version").caused_by(error)
    })?;
    // Later versions of the same major number can be read by definition.
    if layout.version.split('.').next() == Some("1") {
        return Ok(());
    }
    let version: String = layout.version.chars().take(40).collect();
    Err(invalid(ErrorKind::Unsupported)
        .because(format!("it is an image layout of version `{version}`, not 1.0.0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_file_states_a_known_version() {
        for good in [LAYOUT_FILE_CONTENT, "{\"x\":1,\"imageLayoutVersion\":\"1.1.0\"}\n"] {
            check_layout_file(good.as_bytes(), &"x").unwrap();
        }
        for (bad, kind) in [
            ("", ErrorKind::Invalid),
            ("{}", ErrorKind::Invalid),
            ("{\"imageLayoutVersion\":1}", ErrorKind::Invalid),
            ("{\"imageLayoutVersion\":\"2.0.0\"}", ErrorKind::Unsupported),
        ] {
            assert_eq!(check_layout_file(bad.as_bytes(), &"x").unwrap_err().kind(), kind, "{bad}");
        }
    }
}
