//! A layout in a directory of the local file system.
//!
//! A blob grows under a temporary name in `ingest/`, as with `oras`. Once its digest proves right, it is synced and renamed. The
//! directories of the blobs are synced before an index lists them. The index is replaced in one step by the holder of an exclusive lock
//! on `.index.lock`.

mod blobs;
mod files;
mod index_file;
mod open;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use oci_model::Digest;
use registry_backend::{Access, BlobRead, BlobSource, Result};
use tokio::sync::{Mutex, OnceCell, oneshot};

pub(crate) use blobs::read_file;
pub(crate) use files::blocking;

use crate::index::Index;
use crate::storage::{IndexUpdate, Presence, Storage, StoredBlob};
use files::{Paths, failure};
use index_file::{IndexFile, IndexLock, IndexThread, Mode, Readers, Update};

/// How long an update waits for those who hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

const READ_INDEX: &str = "read the index of";

/// A layout in a directory.
#[derive(Debug)]
pub(crate) struct Directory {
    paths: Paths,
    index: Arc<IndexFile>,
    thread: IndexThread,
    readers: Arc<Readers>,
    /// Set once the layout is known to exist.
    created: OnceCell<()>,
    /// Set once the temporary files of killed writers are gone.
    swept: OnceCell<()>,
    /// Writers of this process wait here, in order, before one of them asks for the lock.
    queue: Arc<Mutex<()>>,
    patience: Duration,
}

impl Directory {
    /// Opens the layout at the path. If it may be created, the first write creates it.
    pub(crate) async fn open(root: PathBuf, access: Access) -> Result<Self> {
        Self::open_with_patience(root, access, LOCK_PATIENCE).await
    }

    async fn open_with_patience(root: PathBuf, access: Access, patience: Duration) -> Result<Self> {
        let paths = Paths::new(root);
        let opened = paths.clone();
        let exists = blocking("open", move || open::open(&opened, access)).await?;
        let created = if exists { OnceCell::new_with(Some(())) } else { OnceCell::new() };
        let index = Arc::new(IndexFile::new(paths.clone()));
        let (thread, swept, queue) = (IndexThread::default(), OnceCell::new(), Arc::default());
        Ok(Self { paths, index, thread, readers: Arc::default(), created, swept, queue, patience })
    }

    /// Creates the layout unless it exists.
    async fn create(&self) -> Result<()> {
        let create = || async {
            self.blocking("create", open::create_root).await?;
            let lock = self.lock(Mode::Exclusive).await?;
            self.blocking("create", move |paths| open::create(paths, &lock)).await
        };
        self.created.get_or_try_init(create).await.copied()
    }

    /// Removes the temporary files of killed writers, once, without those that a write may continue. A failure does not matter here:
    /// pruning reports it.
    async fn sweep(&self) {
        let remove = || async {
            let _ = self.blocking("clean up", blobs::sweep).await;
        };
        self.swept.get_or_init(remove).await;
    }

    async fn lock(&self, mode: Mode) -> Result<IndexLock> {
        IndexLock::acquire(&self.paths, mode, self.patience).await
    }

    /// Runs the work with the paths on a thread for blocking work.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Paths) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let paths = self.paths.clone();
        blocking(operation, move || work(&paths)).await
    }
}

#[async_trait]
impl Storage for Directory {
    async fn index(&self) -> Result<Arc<Index>> {
        let may_be_absent = !self.created.initialized();
        let (sender, answer) = oneshot::channel();
        if self.readers.join(sender) {
            let (index, readers) = (Arc::clone(&self.index), Arc::clone(&self.readers));
            let read = move || readers.answer(|| Ok(index.read(may_be_absent)?.0));
            let done = self.thread.run(READ_INDEX, read).await;
            done.inspect_err(|_| self.readers.send_away())?;
        }
        if let Ok(index) = answer.await {
            return Ok(index);
        }
        // The common read failed. Errors have one owner, so each reader finds its own.
        let index = Arc::clone(&self.index);
        self.thread.run(READ_INDEX, move || Ok(index.read(may_be_absent)?.0)).await
    }

    fn known_index(&self) -> Option<Arc<Index>> {
        None
    }

    async fn begin_update(&self) -> Result<Box<dyn IndexUpdate>> {
        self.create().await?;
        let turn = Arc::clone(&self.queue).lock_owned().await;
        let lock = self.lock(Mode::Exclusive).await?;
        let index = Arc::clone(&self.index);
        let begin = move || Update::begin(index, lock, turn);
        Ok(Box::new(self.thread.run("update the index of", begin).await?))
    }

    async fn replace_lost_index(&self) -> Result<()> {
        self.create().await?;
        let lock = self.lock(Mode::Exclusive).await?;
        self.blocking("create the index of", move |paths| open::replace_lost_index(paths, &lock)).await
    }

    fn update_excludes_others(&self) -> bool {
        true
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let digest = digest.clone();
        self.blocking("stat blob", move |paths| blobs::size(paths, &digest)).await
    }

    async fn read(&self, digest: &Digest, range: Option<std::ops::Range<u64>>) -> Result<BlobRead> {
        blobs::read(&self.paths, digest, range).await
    }

    async fn store(&self, blob: &dyn BlobSource) -> Result<()> {
        self.create().await?;
        self.sweep().await;
        blobs::store(&self.paths, blob).await
    }

    /// Directories link and clone files, where they can, when they store a blob.
    async fn copy(&self, _blob: &dyn BlobSource) -> Result<bool> {
        Ok(false)
    }

    async fn sync(&self) -> Result<()> {
        self.blocking("sync", |paths| {
            blobs::sync_names(paths).map_err(|error| failure("sync", paths, &paths.blobs(), error))
        })
        .await
    }

    async fn renew(&self, digest: &Digest, size: u64) -> Result<Presence> {
        let known = digest.clone();
        if self.blocking("stat blob", move |paths| blobs::size(paths, &known)).await? != Some(size) {
            return Ok(Presence::Absent);
        }
        // Pruning removes blobs under the exclusive lock. So under a shared one a blob is either gone or renewed in time.
        let lock = self.lock(Mode::Shared).await?;
        let digest = digest.clone();
        self.blocking("write blob", move |paths| Ok(blobs::renew(paths, &digest, size, &lock))).await
    }

    async fn presence(&self, blobs: &[(Digest, u64)]) -> Result<Vec<Presence>> {
        let blobs = blobs.to_vec();
        self.blocking("stat blob", move |paths| {
            let presence = |(digest, size): &(Digest, u64)| {
                let exists = blobs::size(paths, digest)? == Some(*size);
                Ok(if exists { Presence::Kept } else { Presence::Absent })
            };
            blobs.iter().map(presence).collect()
        })
        .await
    }

    async fn list(&self) -> Result<Vec<StoredBlob>> {
        self.blocking("list the blobs of", blobs::list).await
    }

    async fn removable_before(&self, grace: Duration) -> Result<SystemTime> {
        // Writers renew the blobs that they rely on, so the age alone decides.
        Ok(SystemTime::now().checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH))
    }

    async fn remove_partial(&self, before: SystemTime, only_count: bool) -> Result<u64> {
        self.blocking("clean up", move |paths| blobs::remove_partial(paths, before, only_count)).await
    }
}
