//! Listing what an object store holds, and removing from it.

use std::time::SystemTime;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt};
use registry_backend::Result;

use super::failure::failure;
use super::read::head;
use super::{PARALLEL, Shared};
use crate::storage::StoredBlob;

const OPERATION: &str = "remove blob";

/// Lists all blobs; objects whose names are no digests are nobody's business here.
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
    // It has to be exactly where a blob is, not deeper.
    (shared.blob(&digest) == meta.location).then(|| StoredBlob {
        digest,
        size: meta.size,
        modified: meta.last_modified.into(),
    })
}

/// Removes the blobs that are still there and were not stored again after `before`.
pub(super) async fn remove(
    shared: &Shared,
    blobs: Vec<StoredBlob>,
    before: SystemTime,
) -> Result<Vec<StoredBlob>> {
    let removals = blobs.into_iter().map(|blob| async move {
        let meta = head(shared, OPERATION, &blob.digest).await?;
        if meta.is_none_or(|meta| SystemTime::from(meta.last_modified) > before) {
            return Ok(None);
        }
        let deleted = shared.store.delete(&shared.blob(&blob.digest)).await;
        deleted.map_err(|error| failure(OPERATION, &blob.digest, error))?;
        Ok(Some(blob))
    });
    let removed: Vec<Option<StoredBlob>> = stream::iter(removals).buffered(PARALLEL).try_collect().await?;
    Ok(removed.into_iter().flatten().collect())
}
