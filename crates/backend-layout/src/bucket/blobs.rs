//! Blobs as objects: reading, storing, listing and removing them.

use std::ops::Range;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    Error as StoreError, GetOptions, GetRange, GetResult, MultipartUpload, ObjectMeta, ObjectStoreExt,
    PutPayload, UploadPart,
};
use oci_model::Digest;
use registry_backend::{BlobRead, BlobSource, ByteStream, Error, ErrorKind, Result};

use super::shared::{PARALLEL, Shared, failure};
use crate::storage::{Batch, BlobCheck, StoredBlob, absent, next_batch, outside};

const READ: &str = "read blob";
const WRITE: &str = "write blob";
const REMOVE: &str = "remove blob";

/// The size in bytes of a part, and of the largest blob that is sent in one request, unless there would be too many parts.
const PART_BYTES: u64 = 8 * 1024 * 1024;

/// The most parts of a blob; S3 accepts 10,000. All parts but the last have the same size, as some imitations of S3 require.
const MOST_PARTS: u64 = 9_000;

/// How many parts of one blob are under way at once.
const PARALLEL_PARTS: usize = 2;

/// Returns the store's metadata of a blob, if the blob exists.
pub(super) async fn head(
    shared: &Shared,
    operation: &'static str,
    digest: &Digest,
) -> Result<Option<ObjectMeta>> {
    match shared.store.head(&shared.blob(digest)).await {
        Ok(meta) => Ok(Some(meta)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(failure(operation, digest, error)),
    }
}

/// Opens a range of a blob.
pub(super) async fn read(shared: &Shared, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
    let asked = match &range {
        None => None,
        // HTTP has no form for such a range, or stores answer it with an error that does not state the size of the blob.
        Some(range) if range.start >= range.end => return without_bytes(shared, digest, range.clone()).await,
        Some(range) => Some(GetRange::Bounded(range.clone())),
    };
    let options = GetOptions { range: asked, ..GetOptions::default() };
    let found = match shared.store.get_opts(&shared.blob(digest), options).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Err(absent(READ, digest)),
        Err(error) => return Err(range_failure(shared, digest, range, error).await),
    };
    let blob_size = found.meta.size;
    let range = range.unwrap_or(0..blob_size);
    if range.end > blob_size {
        return Err(outside(digest, &range, blob_size));
    }
    if found.range != range {
        return Err(Error::new(ErrorKind::Protocol, READ, digest)
            .because(format!("expected bytes {range:?}, found {:?}", found.range)));
    }
    Ok(BlobRead { stream: exactly(digest.clone(), range.end - range.start, found), range, blob_size })
}

async fn without_bytes(shared: &Shared, digest: &Digest, range: Range<u64>) -> Result<BlobRead> {
    let meta = head(shared, READ, digest).await?.ok_or_else(|| absent(READ, digest))?;
    if range.start > range.end || range.end > meta.size {
        return Err(outside(digest, &range, meta.size));
    }
    Ok(BlobRead { range, blob_size: meta.size, stream: stream::empty().boxed() })
}

/// Returns the contract's error for a range outside of the blob, which every store refuses in its own words.
async fn range_failure(
    shared: &Shared,
    digest: &Digest,
    range: Option<Range<u64>>,
    error: StoreError,
) -> Error {
    match (range, head(shared, READ, digest).await) {
        (Some(range), Ok(Some(meta))) if range.end > meta.size => outside(digest, &range, meta.size),
        _ => failure(READ, digest, error),
    }
}

/// Fails unless exactly this many bytes come.
fn exactly(digest: Digest, size: u64, found: GetResult) -> ByteStream {
    let pieces = found.into_stream();
    let wrong = move |digest: &Digest| {
        Error::new(ErrorKind::Protocol, READ, digest)
            .because(format!("expected {size} bytes as announced, found another number"))
    };
    stream::try_unfold((pieces, size), move |(mut pieces, left)| {
        let digest = digest.clone();
        async move {
            let piece = pieces.try_next().await.map_err(|error| failure(READ, &digest, error))?;
            match piece {
                Some(piece) => {
                    let left = left.checked_sub(piece.len() as u64).ok_or_else(|| wrong(&digest))?;
                    Ok(Some((piece, (pieces, left))))
                }
                None if left > 0 => Err(wrong(&digest)),
                None => Ok(None),
            }
        }
    })
    .boxed()
}

/// Stores a blob: a small one in one request, a large one in parts that become an object once the digest proves right.
pub(super) async fn store(shared: &Shared, blob: &dyn BlobSource) -> Result<()> {
    let check = BlobCheck::new(blob)?;
    let source =
        CheckedSource { stream: blob.open(0).await?, check, gathered: BytesMut::new(), ended: false };
    if blob.size() <= PART_BYTES {
        store_whole(shared, blob, source).await
    } else {
        store_parts(shared, blob, source).await
    }
}

async fn store_whole(shared: &Shared, blob: &dyn BlobSource, mut source: CheckedSource) -> Result<()> {
    let content = source.next_part(PART_BYTES).await?;
    source.finish().await?;
    let put = shared.store.put(&shared.blob(blob.digest()), PutPayload::from(content)).await;
    put.map(drop).map_err(|error| failure(WRITE, blob.digest(), error))
}

async fn store_parts(shared: &Shared, blob: &dyn BlobSource, source: CheckedSource) -> Result<()> {
    let fail = |error| failure(WRITE, blob.digest(), error);
    let mut upload = shared.store.put_multipart(&shared.blob(blob.digest())).await.map_err(fail)?;
    let sent = send_parts(&mut *upload, blob, source).await;
    if sent.is_ok() {
        return upload.complete().await.map(drop).map_err(fail);
    }
    // Parts that cannot be aborted have no name: rules of the bucket expire them.
    if let Err(error) = upload.abort().await {
        tracing::warn!(digest = %blob.digest(), %error, "cannot abort an interrupted upload");
    }
    sent
}

async fn send_parts(
    upload: &mut dyn MultipartUpload,
    blob: &dyn BlobSource,
    mut source: CheckedSource,
) -> Result<()> {
    let fail = |error| failure(WRITE, blob.digest(), error);
    let part_bytes = part_bytes(blob.size());
    let mut under_way: FuturesUnordered<UploadPart> = FuturesUnordered::new();
    let mut left = blob.size();
    while left > 0 {
        let part = source.next_part(part_bytes.min(left)).await?;
        if part.is_empty() {
            break;
        }
        left = left.saturating_sub(part.len() as u64);
        under_way.push(upload.put_part(PutPayload::from(part)));
        while under_way.len() >= PARALLEL_PARTS {
            if let Some(done) = under_way.next().await {
                done.map_err(fail)?;
            }
        }
    }
    source.finish().await?;
    while let Some(done) = under_way.next().await {
        done.map_err(fail)?;
    }
    Ok(())
}

/// Returns the size of a part, which grows with the blob so that there are never too many.
fn part_bytes(size: u64) -> u64 {
    const MEBIBYTE: u64 = 1024 * 1024;
    size.div_ceil(MOST_PARTS).next_multiple_of(MEBIBYTE).max(PART_BYTES)
}

/// A source that is checked while it is read.
struct CheckedSource {
    stream: ByteStream,
    check: BlobCheck,
    gathered: BytesMut,
    ended: bool,
}

impl CheckedSource {
    /// Returns the next part: of exactly this size, or the rest.
    async fn next_part(&mut self, bytes: u64) -> Result<Bytes> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        while !self.ended && self.gathered.len() < bytes {
            self.gather(bytes.saturating_sub(self.gathered.len())).await?;
        }
        let part = self.gathered.split_to(bytes.min(self.gathered.len()));
        Ok(part.freeze())
    }

    /// Reads to the end, where nothing more should come, and checks size and digest.
    async fn finish(&mut self) -> Result<()> {
        while !self.ended {
            self.gather(1).await?;
        }
        self.check.finish()
    }

    async fn gather(&mut self, bytes: usize) -> Result<()> {
        let Batch { pieces, last } = next_batch(&mut self.stream, bytes).await?;
        for piece in pieces {
            self.check.update(&piece)?;
            self.gathered.extend_from_slice(&piece);
        }
        self.ended = last;
        Ok(())
    }
}

/// Lists all blobs. Objects whose names are not digests are ignored.
pub(super) async fn list(shared: &Shared) -> Result<Vec<StoredBlob>> {
    let blobs = shared.path("blobs");
    let listing = shared.store.list(Some(&blobs));
    let found = listing.try_filter_map(|meta| async move { Ok(stored_blob(shared, meta)) });
    found.try_collect().await.map_err(|error| failure("list the blobs of", &shared.name, error))
}

fn stored_blob(shared: &Shared, meta: ObjectMeta) -> Option<StoredBlob> {
    let mut parts = meta.location.as_ref().rsplit('/');
    let (encoded, algorithm) = (parts.next()?, parts.next()?);
    let digest = format!("{algorithm}:{encoded}").parse().ok()?;
    // Objects in deeper directories are not blobs.
    (shared.blob(&digest) == meta.location).then(|| StoredBlob {
        digest,
        size: meta.size,
        modified: meta.last_modified.into(),
    })
}

/// Removes the blobs that still exist and were not stored again after `before`.
pub(super) async fn remove(
    shared: &Shared,
    blobs: Vec<StoredBlob>,
    before: SystemTime,
) -> Result<Vec<StoredBlob>> {
    let removals = blobs.into_iter().map(|blob| async move {
        let meta = head(shared, REMOVE, &blob.digest).await?;
        if meta.is_none_or(|meta| SystemTime::from(meta.last_modified) > before) {
            return Ok(None);
        }
        let deleted = shared.store.delete(&shared.blob(&blob.digest)).await;
        deleted.map_err(|error| failure(REMOVE, &blob.digest, error))?;
        Ok(Some(blob))
    });
    let removed: Vec<Option<StoredBlob>> = stream::iter(removals).buffered(PARALLEL).try_collect().await?;
    Ok(removed.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_too_many_parts() {
        for size in [1, PART_BYTES, PART_BYTES + 1, 100 << 30, 5 << 40] {
            assert!(size.div_ceil(part_bytes(size)) <= MOST_PARTS, "{size}");
        }
        assert_eq!(part_bytes(1), PART_BYTES);
    }
}
