//! A layout in an object store: in memory, or in a bucket.
//!
//! The index is the only object that changes. It is replaced by a conditional put, so the store refuses the slower of two writers, who
//! then tries again. No lock keeps blobs from being removed meanwhile; their age does (`AGEING`), and a [`Lease`] once a push
//! takes long.

mod blobs;
mod failure;
mod index_object;
mod lease;
mod open;
mod seen;
mod shared;
mod uploads;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use oci_model::Digest;
use registry_backend::{Access, BlobRead, BlobSource, OpenOptions, Result};
use tokio::sync::{Mutex, OnceCell};

use crate::index::Index;
use crate::storage::{IndexUpdate, Presence, Storage, StoredBlob};
use index_object::{IndexObject, Update};
use lease::Lease;
use shared::Shared;
pub use shared::Warnings;
#[cfg(feature = "remote")]
pub(crate) use shared::{BucketName, StoreClock};
pub(crate) use shared::{PartStore, Place, Tuning};
pub(crate) use uploads::OpenUploads;
#[cfg(feature = "remote")]
pub(crate) use uploads::UploadListing;
#[cfg(any(feature = "s3", feature = "gcs"))]
pub(crate) use uploads::{BegunUpload, StoredPart};

/// A layout in an object store.
#[derive(Debug)]
pub(crate) struct Bucket {
    shared: Arc<Shared>,
    index: Arc<IndexObject>,
    /// Set once the layout is known to exist.
    created: OnceCell<()>,
    /// Whether the index that was read once answers until this value replaces it.
    remembers_index: bool,
    /// Writers of this value wait here instead of overtaking one another.
    queue: Arc<Mutex<()>>,
    /// Set by the first write.
    lease: OnceCell<Lease>,
}

impl Bucket {
    /// Opens the layout in a place. If it may be created, the first write creates it.
    pub(crate) async fn open(place: Place, options: &OpenOptions) -> Result<Self> {
        let (shared, access) = (Shared::new(place), options.access);
        let (exists, is_proven) =
            futures::join!(open::open(&shared, access), open::is_proven(&shared, access));
        let exists = exists?;
        if access != Access::Read && !(is_proven && shared.place.clock.is_known()) {
            open::probe(&shared).await?;
        }
        let created = if exists { OnceCell::new_with(Some(())) } else { OnceCell::new() };
        Ok(Self {
            shared: Arc::new(shared),
            index: Arc::default(),
            created,
            remembers_index: options.remembers_lists,
            queue: Arc::default(),
            lease: OnceCell::new(),
        })
    }

    async fn create(&self) -> Result<()> {
        self.created.get_or_try_init(|| open::create(&self.shared)).await.copied()
    }

    /// Returns the lease on the blobs that this value relies on.
    async fn lease(&self) -> &Lease {
        let start = || async { Lease::start(Arc::clone(&self.shared)) };
        self.lease.get_or_init(start).await
    }
}

#[async_trait]
impl Storage for Bucket {
    async fn index(&self) -> Result<Arc<Index>> {
        match self.index.last_read() {
            Some(known) if self.remembers_index => Ok(known),
            _ => Ok(self.index.read(&self.shared, !self.created.initialized()).await?.0),
        }
    }

    fn known_index(&self) -> Option<Arc<Index>> {
        self.index.last_read()
    }

    async fn begin_update(&self) -> Result<Box<dyn IndexUpdate>> {
        self.create().await?;
        let turn = Arc::clone(&self.queue).lock_owned().await;
        let update = Update::begin(Arc::clone(&self.shared), Arc::clone(&self.index), turn).await?;
        Ok(Box::new(update))
    }

    async fn replace_lost_index(&self) -> Result<()> {
        // A layout that may be created has an index afterwards, and one that exists gets the missing index.
        open::create(&self.shared).await
    }

    fn update_excludes_others(&self) -> bool {
        false
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let meta = blobs::head(&self.shared, "stat blob", digest).await?;
        Ok(meta.map(|meta| meta.size))
    }

    async fn read(&self, digest: &Digest, range: Option<std::ops::Range<u64>>) -> Result<BlobRead> {
        blobs::read(&self.shared, digest, range).await
    }

    async fn store(&self, blob: &dyn BlobSource) -> Result<()> {
        self.create().await?;
        self.lease().await;
        blobs::store(&self.shared, blob).await?;
        // The store may not have said how an upload in parts ended. So a manifest that lists the blob asks for it.
        if blob.size() <= self.shared.place.tuning.part_bytes {
            self.shared.seen.note(blob.digest(), blob.size());
        }
        Ok(())
    }

    async fn copy(&self, blob: &dyn BlobSource) -> Result<bool> {
        let place = blob.blob_place().and_then(|place| self.shared.place.on_same_server(place));
        let Some(place) = place else {
            return Ok(false);
        };
        self.create().await?;
        self.lease().await;
        let is_copied = blobs::copy(&self.shared, blob, &place).await?;
        if is_copied {
            self.shared.seen.note(blob.digest(), blob.size());
        }
        Ok(is_copied)
    }

    async fn sync(&self) -> Result<()> {
        // The object store answers when an object is durable.
        Ok(())
    }

    async fn renew(&self, digest: &Digest, size: u64) -> Result<Presence> {
        if self.shared.seen.has(digest, size) {
            return Ok(Presence::Kept);
        }
        let meta = blobs::head(&self.shared, "stat blob", digest).await?;
        Ok(match meta {
            Some(meta) if meta.size == size => {
                if self.lease().await.covers(meta.last_modified.into()) {
                    self.shared.seen.note(digest, size);
                    Presence::Kept
                } else {
                    Presence::KeptIfReferenced
                }
            }
            _ => Presence::Absent,
        })
    }

    async fn presence(&self, blobs: &[(Digest, u64)]) -> Result<Vec<Presence>> {
        let ask = |(digest, size): (Digest, u64)| async move { self.renew(&digest, size).await };
        stream::iter(blobs.to_vec()).map(ask).buffered(self.shared.place.tuning.parallel).try_collect().await
    }

    async fn list(&self) -> Result<Vec<StoredBlob>> {
        blobs::list(&self.shared).await
    }

    async fn removable_before(&self, grace: Duration) -> Result<SystemTime> {
        let before = self.shared.now().checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(lease::earliest(&self.shared, before).await?.map_or(before, |since| since.min(before)))
    }

    async fn remove_partial(&self, before: SystemTime, only_count: bool) -> Result<u64> {
        let expired = lease::remove_expired(&self.shared, before, only_count).await?;
        Ok(expired + blobs::abort_uploads(&self.shared, before, only_count).await?)
    }
}
