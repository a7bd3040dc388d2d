//! The interface between a layout and the place that keeps it: a directory or an object store.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use oci_model::{Digest, DigestHasher};
use registry_backend::{BlobRead, BlobSource, ByteStream, Error, ErrorKind, Result, Retry};

use crate::index::{Edit, Index};

/// A place that keeps blobs under their digests, and one index that is replaced as a whole.
#[async_trait]
pub(crate) trait Storage: fmt::Debug + Send + Sync {
    /// Returns the current index.
    async fn index(&self) -> Result<Arc<Index>>;

    /// Returns the index that was read or stored last, where asking again costs a request. Content that it lists under a digest is the same
    /// now, if it still exists.
    fn known_index(&self) -> Option<Arc<Index>>;

    /// Starts to replace the index. Creates the layout first if it is missing and may be created.
    async fn begin_update(&self) -> Result<Box<dyn IndexUpdate>>;

    /// Creates an empty index if it is missing, although the layout has content.
    async fn replace_lost_index(&self) -> Result<()>;

    /// Tells whether an open update keeps others from updating and removing until it is dropped. Otherwise the storage refuses the
    /// update of the slower writer.
    fn update_excludes_others(&self) -> bool;

    /// Returns the size of a blob in bytes.
    async fn size(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Opens a range of an existing blob.
    async fn read(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead>;

    /// Stores a blob once its bytes prove right, and replaces one that exists.
    async fn store(&self, blob: &dyn BlobSource) -> Result<()>;

    /// Copies a blob from another place of the same store, without receiving its bytes. Returns false if the store cannot.
    async fn copy(&self, blob: &dyn BlobSource) -> Result<bool>;

    /// Makes stored blobs survive a power cut. A commit of the index does that too.
    async fn sync(&self) -> Result<()>;

    /// Dates an existing blob of this size as if it were stored now, if the storage can.
    async fn renew(&self, digest: &Digest, size: u64) -> Result<Presence>;

    /// Answers for each blob whether it exists, repeated digests included.
    async fn presence(&self, blobs: &[(Digest, u64)]) -> Result<Vec<Presence>>;

    /// Lists all blobs.
    async fn list(&self) -> Result<Vec<StoredBlob>>;

    /// Returns the time before which unreferenced blobs may be removed: `grace` ago, or earlier while another writer needs them.
    async fn removable_before(&self, grace: Duration) -> Result<SystemTime>;

    /// Removes what interrupted writes left behind before this time, or only counts it.
    async fn remove_partial(&self, before: SystemTime, only_count: bool) -> Result<u64>;
}

/// An update of the index that has started.
#[async_trait]
pub(crate) trait IndexUpdate: Send {
    /// The index at the start of the update.
    fn index(&self) -> &Arc<Index>;

    /// Replaces the index in one step by the changed one.
    async fn commit(self: Box<Self>, edit: Edit) -> Result<Commit>;

    /// Removes those of the blobs that still exist and were not stored or renewed after `before`.
    async fn remove(self: Box<Self>, blobs: Vec<StoredBlob>, before: SystemTime) -> Result<Vec<StoredBlob>>;
}

/// The result of replacing the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// The index was replaced.
    Done,
    /// Another writer replaced it meanwhile, and nothing was written.
    Raced,
}

/// Whether a blob exists, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does not exist, or has another size.
    Absent,
    /// It exists, and stays until a push that relies on it ends.
    Kept,
    /// It exists, but is old enough to be pruned soon unless the index refers to it.
    KeptIfReferenced,
}

/// A blob in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredBlob {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
    /// The time at which it was stored or renewed.
    pub(crate) modified: SystemTime,
}

/// Returns the error for a range outside of the blob.
pub(crate) fn outside(digest: &Digest, range: &Range<u64>, blob_size: u64) -> Error {
    Error::new(ErrorKind::Invalid, "read blob", digest)
        .because(format!("expected a range within {blob_size} bytes, found {} to {}", range.start, range.end))
}

/// Returns the error for a blob that does not exist.
pub(crate) fn absent(operation: &'static str, digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound, operation, digest)
}

/// The name of the file that states the layout's version (image-spec image-layout.md, "oci-layout file").
pub(crate) const LAYOUT_FILE: &str = "oci-layout";

/// The content of that file in layouts that this crate creates.
pub(crate) const LAYOUT_FILE_CONTENT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";

/// The most bytes of that file that are read.
pub(crate) const LAYOUT_FILE_LIMIT: u64 = 64 * 1024;

/// The name of the index (image-spec image-layout.md, "index.json file").
pub(crate) const INDEX_FILE: &str = "index.json";

/// Checks the text of the `oci-layout` file. Unknown fields are allowed, an unknown version is not.
pub(crate) fn check_layout_file(text: &[u8], place: &dyn fmt::Display) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct LayoutFile {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let invalid = |kind| Error::new(kind, "open", place);
    let layout: LayoutFile = serde_json::from_slice(text).map_err(|error| {
        invalid(ErrorKind::Invalid).because("its `oci-layout` file does not state a version").caused_by(error)
    })?;
    // Later versions of the same major number are readable by definition.
    if layout.version.split('.').next() == Some("1") {
        return Ok(());
    }
    let version: String = layout.version.chars().take(40).collect();
    Err(invalid(ErrorKind::Unsupported)
        .because(format!("expected an image layout of version 1.0.0, found `{version}`")))
}

/// Compares the bytes of a blob with the size and digest that its source states.
pub(crate) struct BlobCheck {
    digest: Digest,
    size: u64,
    seen: u64,
    hasher: DigestHasher,
}

impl BlobCheck {
    /// The operation that its errors name.
    pub(crate) const OPERATION: &str = "write blob";

    /// Starts the check of a source.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if this crate cannot compute the digest.
    pub(crate) fn new(blob: &dyn BlobSource) -> Result<Self> {
        let digest = blob.digest().clone();
        let hasher = DigestHasher::matching(&digest).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, Self::OPERATION, &digest)
                .because(format!("expected sha256 or sha512, found {}", digest.algorithm_name()))
        })?;
        Ok(Self { digest, size: blob.size(), seen: 0, hasher })
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        if self.seen > self.size {
            return Err(self.invalid(format!("expected {} bytes, found more", self.size)));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Checks size and digest at the end.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.seen != self.size {
            return Err(self.invalid(format!("expected {} bytes, found {}", self.size, self.seen)));
        }
        let actual = self.hasher.clone().finish();
        if actual != self.digest {
            return Err(self.invalid(format!("its bytes have the digest {actual}")));
        }
        Ok(())
    }

    fn invalid(&self, reason: String) -> Error {
        Error::new(ErrorKind::Invalid, Self::OPERATION, &self.digest).because(reason)
    }
}

/// Bytes that are written in one go.
pub(crate) struct Batch {
    pub(crate) pieces: Vec<Bytes>,
    /// Whether the stream has ended.
    pub(crate) last: bool,
}

/// The most pieces in one batch: a bound for sources of tiny pieces.
const BATCH_PIECES: usize = 4096;

/// Gathers about `bytes` bytes, or the rest of the stream.
pub(crate) async fn next_batch(stream: &mut ByteStream, bytes: usize) -> Result<Batch> {
    let mut pieces = Vec::new();
    let mut gathered = 0_usize;
    while gathered < bytes && pieces.len() < BATCH_PIECES {
        match stream.try_next().await? {
            Some(piece) if piece.is_empty() => {}
            Some(piece) => {
                gathered = gathered.saturating_add(piece.len());
                pieces.push(piece);
            }
            None => return Ok(Batch { pieces, last: true }),
        }
    }
    Ok(Batch { pieces, last: false })
}

/// Counts the attempts of one update that other writers overtake.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    lost: u32,
}

impl Attempts {
    /// The most attempts of one update.
    const LIMIT: u32 = 30;

    /// The longest pause between two attempts.
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);

    /// Records that another writer was faster, and waits before the next attempt.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) after too many attempts.
    pub(crate) async fn lost(&mut self, operation: &'static str, target: impl fmt::Display) -> Result<()> {
        self.lost += 1;
        if self.lost >= Self::LIMIT {
            return Err(Error::new(ErrorKind::Conflict, operation, target)
                .because(format!("other writers replaced the index {} times in a row", Self::LIMIT))
                .with_retry(Retry::Yes));
        }
        tokio::time::sleep(pause(self.lost, Self::LONGEST_PAUSE)).await;
        Ok(())
    }
}

/// Returns the pause after the failure of this number: random, and longer with each failure.
pub(crate) fn pause(failure: u32, longest: Duration) -> Duration {
    let most = Duration::from_millis(10).saturating_mul(1 << failure.min(16)).min(longest);
    most.mul_f64(random_fraction())
}

/// Returns a fraction that differs between writers: two that wait equally long would meet again.
fn random_fraction() -> f64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    f64::from(nanos % 1000) / 1000.0
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
