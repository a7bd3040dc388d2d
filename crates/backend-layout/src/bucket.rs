//! A layout in an object store: in memory, or in a bucket.
//!
//! The index is the only object that changes. It is replaced by conditional put, so that the slower of two writers is
//! refused and tries again. There is no lock that keeps blobs from being removed meanwhile; their age does
//! ([`AGEING`]).

mod failure;
mod index_object;
mod open;
mod read;
mod sweep;
mod write;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;
use oci_model::Digest;
use registry_backend::{Access, BlobRead, BlobSource, Result};
use tokio::sync::{Mutex, OnceCell};

use crate::index::Index;
use crate::storage::{IndexUpdate, Presence, Storage, StoredBlob};
use index_object::IndexObject;

/// The age from which a blob that nothing refers to may be gone before a push that relies on it ends.
///
/// Pruning leaves what is younger than an hour unless told otherwise. A push stores blobs anew that are older than half of
/// that and that the index does not reach, and refuses to publish a manifest that needs such a blob.
const AGEING: Duration = Duration::from_secs(1800);

/// How many requests are under way at once for one operation.
const PARALLEL: usize = 16;

/// A layout in an object store.
#[derive(Debug)]
pub(crate) struct Bucket {
    shared: Arc<Shared>,
    made: OnceCell<()>,
    /// Writers of this value wait here instead of refusing one another.
    queue: Arc<Mutex<()>>,
    clock: Clock,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// What people know the place by.
    name: String,
    index: IndexObject,
}

/// The store's clock, as far as it differs from the local one.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    ahead: Duration,
    behind: Duration,
}

impl Bucket {
    /// Opens the layout under the prefix. One that may be created is made by the first write.
    pub(crate) async fn open(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        name: String,
        access: Access,
    ) -> Result<Self> {
        let index = IndexObject::default();
        let shared = Shared { store, prefix, name, index };
        let is_there = open::open(&shared, access).await?;
        let clock = if access == Access::Read { Clock::default() } else { open::probe(&shared).await? };
        let made = if is_there { OnceCell::new_with(Some(())) } else { OnceCell::new() };
        Ok(Self { shared: Arc::new(shared), made, queue: Arc::default(), clock })
    }

    async fn make(&self) -> Result<()> {
        self.made.get_or_try_init(|| open::make(&self.shared)).await.copied()
    }

    fn is_ageing(&self, modified: SystemTime) -> bool {
        self.now().duration_since(modified).is_ok_and(|age| age > AGEING)
    }
}

impl Shared {
    fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    fn blob(&self, digest: &Digest) -> Path {
        self.path("blobs").join(digest.algorithm_name()).join(digest.encoded())
    }
}

impl Clock {
    /// Compares the time at which the store says that something was stored with the local time.
    fn compare(stored: SystemTime, local: SystemTime) -> Self {
        Self {
            ahead: stored.duration_since(local).unwrap_or_default(),
            behind: local.duration_since(stored).unwrap_or_default(),
        }
    }

    fn now(self) -> SystemTime {
        let local = SystemTime::now();
        let ahead = local.checked_add(self.ahead).unwrap_or(local);
        ahead.checked_sub(self.behind).unwrap_or(ahead)
    }
}

#[async_trait]
impl Storage for Bucket {
    async fn index(&self) -> Result<Arc<Index>> {
        Ok(self.shared.index.read(&self.shared, !self.made.initialized()).await?.0)
    }

    async fn begin_update(&self) -> Result<Box<dyn IndexUpdate>> {
        self.make().await?;
        let turn = Arc::clone(&self.queue).lock_owned().await;
        let update = index_object::Update::begin(Arc::clone(&self.shared), turn).await?;
        Ok(Box::new(update))
    }

    fn update_excludes_others(&self) -> bool {
        false
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let meta = read::head(&self.shared, "stat blob", digest).await?;
        Ok(meta.map(|meta| meta.size))
    }

    async fn read(&self, digest: &Digest, range: Option<std::ops::Range<u64>>) -> Result<BlobRead> {
        read::read(&self.shared, digest, range).await
    }

    async fn store(&self, blob: &dyn BlobSource) -> Result<()> {
        self.make().await?;
        write::store(&self.shared, blob).await
    }

    async fn renew(&self, digest: &Digest, size: u64) -> Result<Presence> {
        let meta = read::head(&self.shared, "stat blob", digest).await?;
        Ok(match meta {
            Some(meta) if meta.size == size => {
                if self.is_ageing(meta.last_modified.into()) {
                    Presence::KeptIfReferenced
                } else {
                    Presence::Kept
                }
            }
            _ => Presence::Absent,
        })
    }

    async fn presence(&self, blobs: &[(Digest, u64)]) -> Result<Vec<Presence>> {
        let ask = |(digest, size): (Digest, u64)| async move { self.renew(&digest, size).await };
        stream::iter(blobs.to_vec()).map(ask).buffered(PARALLEL).try_collect().await
    }

    async fn list(&self) -> Result<Vec<StoredBlob>> {
        sweep::list(&self.shared).await
    }

    async fn remove_partial(&self, _before: SystemTime, _only_count: bool) -> Result<u64> {
        // Interrupted uploads have no names here: a bucket's own rules expire them.
        Ok(0)
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}
