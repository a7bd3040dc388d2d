//! Reading blobs from an object store.

use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error as StoreError, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStoreExt};
use oci_model::Digest;
use registry_backend::{BlobRead, ByteStream, Error, ErrorKind, Result};

use super::Shared;
use super::failure::failure;
use crate::storage::{absent, outside};

const OPERATION: &str = "read blob";

/// Returns what the store knows of a blob, if it is there.
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
        // Such ranges have no form in HTTP, or are answered with an error that does not say how large the blob is.
        Some(range) if range.start >= range.end => return without_bytes(shared, digest, range.clone()).await,
        Some(range) => Some(GetRange::Bounded(range.clone())),
    };
    let options = GetOptions { range: asked, ..GetOptions::default() };
    let found = match shared.store.get_opts(&shared.blob(digest), options).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Err(absent(OPERATION, digest)),
        Err(error) => return Err(judge(shared, digest, range, error).await),
    };
    let blob_size = found.meta.size;
    let range = range.unwrap_or(0..blob_size);
    if range.end > blob_size {
        return Err(outside(digest, &range, blob_size));
    }
    if found.range != range {
        return Err(Error::new(ErrorKind::Protocol, OPERATION, digest)
            .because(format!("the store sends bytes {:?} instead of {range:?}", found.range)));
    }
    Ok(BlobRead { stream: exactly(digest.clone(), range.end - range.start, found), range, blob_size })
}

async fn without_bytes(shared: &Shared, digest: &Digest, range: Range<u64>) -> Result<BlobRead> {
    let meta = head(shared, OPERATION, digest).await?.ok_or_else(|| absent(OPERATION, digest))?;
    if range.start > range.end || range.end > meta.size {
        return Err(outside(digest, &range, meta.size));
    }
    Ok(BlobRead { range, blob_size: meta.size, stream: stream::empty().boxed() })
}

/// A range that starts behind the end is refused by the store in words of its own.
async fn judge(shared: &Shared, digest: &Digest, range: Option<Range<u64>>, error: StoreError) -> Error {
    match (range, head(shared, OPERATION, digest).await) {
        (Some(range), Ok(Some(meta))) if range.end > meta.size => outside(digest, &range, meta.size),
        _ => failure(OPERATION, digest, error),
    }
}

/// Makes sure that exactly these many bytes come.
fn exactly(digest: Digest, size: u64, found: GetResult) -> ByteStream {
    let pieces = found.into_stream();
    let wrong = move |digest: &Digest| {
        Error::new(ErrorKind::Protocol, OPERATION, digest)
            .because(format!("not the {size} bytes came that were announced"))
    };
    stream::try_unfold((pieces, size), move |(mut pieces, left)| {
        let digest = digest.clone();
        async move {
            let piece = pieces.try_next().await.map_err(|error| failure(OPERATION, &digest, error))?;
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
