//! Storing blobs as objects.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::FuturesUnordered};
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, UploadPart};
use registry_backend::{BlobSource, ByteStream, Result};

use super::Shared;
use super::failure::failure;
use crate::transfer::{Batch, BlobCheck, next_batch};

const OPERATION: &str = "write blob";

/// The size of a part, and of the largest blob that is sent in one request, unless the parts would be too many.
const PART_BYTES: u64 = 8 * 1024 * 1024;

/// S3 takes 10,000 parts; all but the last have the same size, as some of its imitations want it.
const MOST_PARTS: u64 = 9_000;

/// How many parts of one blob are under way at once.
const PARALLEL_PARTS: usize = 2;

/// Stores a blob: in one request if it is small, else in parts that become an object when the digest is right.
pub(super) async fn store(shared: &Shared, blob: &dyn BlobSource) -> Result<()> {
    let check = BlobCheck::new(blob)?;
    let source = Source { stream: blob.open(0).await?, check, gathered: BytesMut::new(), ended: false };
    if blob.size() <= PART_BYTES {
        store_whole(shared, blob, source).await
    } else {
        store_parts(shared, blob, source).await
    }
}

async fn store_whole(shared: &Shared, blob: &dyn BlobSource, mut source: Source) -> Result<()> {
    let content = source.next_part(PART_BYTES).await?;
    source.finish().await?;
    let put = shared.store.put(&shared.blob(blob.digest()), PutPayload::from(content)).await;
    put.map(drop).map_err(|error| failure(OPERATION, blob.digest(), error))
}

async fn store_parts(shared: &Shared, blob: &dyn BlobSource, source: Source) -> Result<()> {
    let fail = |error| failure(OPERATION, blob.digest(), error);
    let mut upload = shared.store.put_multipart(&shared.blob(blob.digest())).await.map_err(fail)?;
    let sent = send_parts(&mut *upload, blob, source).await;
    if sent.is_ok() {
        return upload.complete().await.map(drop).map_err(fail);
    }
    // What cannot be aborted has no name either: a bucket's own rules expire it.
    if let Err(error) = upload.abort().await {
        tracing::warn!(digest = %blob.digest(), %error, "an interrupted upload could not be aborted");
    }
    sent
}

async fn send_parts(
    upload: &mut dyn MultipartUpload,
    blob: &dyn BlobSource,
    mut source: Source,
) -> Result<()> {
    let fail = |error| failure(OPERATION, blob.digest(), error);
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

/// Parts grow with the blob so that they do not become too many.
fn part_bytes(size: u64) -> u64 {
    const MEBIBYTE: u64 = 1024 * 1024;
    size.div_ceil(MOST_PARTS).next_multiple_of(MEBIBYTE).max(PART_BYTES)
}

/// A source that is checked as it is read.
struct Source {
    stream: ByteStream,
    check: BlobCheck,
    gathered: BytesMut,
    ended: bool,
}

impl Source {
    /// Returns the next part: of exactly this size, or what is left.
    async fn next_part(&mut self, bytes: u64) -> Result<Bytes> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        while !self.ended && self.gathered.len() < bytes {
            self.gather(bytes.saturating_sub(self.gathered.len())).await?;
        }
        let part = self.gathered.split_to(bytes.min(self.gathered.len()));
        Ok(part.freeze())
    }

    /// Reads to the end, where nothing more should come, and tells whether all was as stated.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_never_too_many() {
        for size in [1, PART_BYTES, PART_BYTES + 1, 100 << 30, 5 << 40] {
            assert!(size.div_ceil(part_bytes(size)) <= MOST_PARTS, "{size}");
        }
        assert_eq!(part_bytes(1), PART_BYTES);
    }
}
