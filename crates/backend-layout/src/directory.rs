//! A layout in a directory of the local file system.
//!
//! Blobs gather under a temporary name in `ingest/`, where `oras` gathers them too, and are synced and renamed when their
//! digest is right. The directories that hold them are synced before an index names them. The index is replaced in one
//! step by the holder of an exclusive lock on `.index.lock`.

mod failure;
mod index_file;
mod keeper;
mod lock;
mod open;
mod partial;
mod paths;
mod read;
mod sweep;
#[cfg(test)]
mod tests;
mod update;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use oci_model::Digest;
use registry_backend::{Access, BlobRead, BlobSource, Result};
use tokio::sync::{Mutex, OnceCell};

use crate::blocking::blocking;
use crate::index::Index;
use crate::storage::{IndexUpdate, Presence, Storage, StoredBlob};
use index_file::IndexFile;
use keeper::Keeper;
use lock::{Lock, Mode};
use paths::Paths;

/// How long an update waits for those who hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// A layout in a directory.
#[derive(Debug)]
pub(crate) struct Directory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    paths: Paths,
    index: IndexFile,
    keeper: Keeper,
    /// Set once the layout is known to be there.
    made: OnceCell<()>,
    /// Writers of this process wait here, in order, before one of them asks for the lock.
    queue: Arc<Mutex<()>>,
    patience: Duration,
}

impl Directory {
    /// Opens the layout at the path. One that may be created is made by the first write.
    pub(crate) async fn open(root: PathBuf, access: Access) -> Result<Self> {
        Self::open_with_patience(root, access, LOCK_PATIENCE).await
    }

    async fn open_with_patience(root: PathBuf, access: Access, patience: Duration) -> Result<Self> {
        let paths = Paths::new(root);
        let opened = paths.clone();
        let is_there = blocking("open", move || open::open(&opened, access)).await?;
        let made = if is_there { OnceCell::new_with(Some(())) } else { OnceCell::new() };
        let index = IndexFile::new(paths.index());
        let (keeper, queue) = (Keeper::default(), Arc::default());
        Ok(Self { shared: Arc::new(Shared { paths, index, keeper, made, queue, patience }) })
    }

    /// Makes the layout unless it is there.
    async fn make(&self) -> Result<()> {
        let make = || async {
            let paths = self.shared.paths.clone();
            blocking("create", move || open::make_root(&paths)).await?;
            let lock = self.lock(Mode::Exclusive).await?;
            let paths = self.shared.paths.clone();
            blocking("create", move || open::make(&paths, lock)).await
        };
        self.shared.made.get_or_try_init(make).await.copied()
    }

    async fn lock(&self, mode: Mode) -> Result<Lock> {
        Lock::acquire(&self.shared.paths, mode, self.shared.patience).await
    }

    /// Runs the work with the paths on a thread for blocking work.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Paths) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        blocking(operation, move || work(&shared.paths)).await
    }
}

#[async_trait]
impl Storage for Directory {
    async fn index(&self) -> Result<Arc<Index>> {
        let shared = Arc::clone(&self.shared);
        let may_be_absent = !shared.made.initialized();
        let read = move || Ok(shared.index.read(&shared.paths, may_be_absent)?.0);
        self.shared.keeper.run("read the index of", read).await
    }

    async fn begin_update(&self) -> Result<Box<dyn IndexUpdate>> {
        self.make().await?;
        let turn = Arc::clone(&self.shared.queue).lock_owned().await;
        let lock = self.lock(Mode::Exclusive).await?;
        let shared = Arc::clone(&self.shared);
        let begin = move || update::Update::begin(shared, lock, turn);
        Ok(Box::new(self.shared.keeper.run("update the index of", begin).await?))
    }

    fn update_excludes_others(&self) -> bool {
        true
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let digest = digest.clone();
        self.blocking("stat blob", move |paths| read::size(paths, &digest)).await
    }

    async fn read(&self, digest: &Digest, range: Option<std::ops::Range<u64>>) -> Result<BlobRead> {
        read::read(&self.shared.paths, digest, range).await
    }

    async fn store(&self, blob: &dyn BlobSource) -> Result<()> {
        self.make().await?;
        write::store(&self.shared.paths, blob).await
    }

    async fn renew(&self, digest: &Digest, size: u64) -> Result<Presence> {
        let known = digest.clone();
        if self.blocking("stat blob", move |paths| read::size(paths, &known)).await? != Some(size) {
            return Ok(Presence::Absent);
        }
        // Whoever removes holds the lock alone: what is renewed under it is either gone before or seen to be young.
        let lock = self.lock(Mode::Shared).await?;
        let digest = digest.clone();
        self.blocking("write blob", move |paths| Ok(write::renew(paths, &digest, size, lock))).await
    }

    async fn presence(&self, blobs: &[(Digest, u64)]) -> Result<Vec<Presence>> {
        let blobs = blobs.to_vec();
        self.blocking("stat blob", move |paths| {
            let presence = |(digest, size): &(Digest, u64)| {
                let is_there = read::size(paths, digest)? == Some(*size);
                Ok(if is_there { Presence::Kept } else { Presence::Absent })
            };
            blobs.iter().map(presence).collect()
        })
        .await
    }

    async fn list(&self) -> Result<Vec<StoredBlob>> {
        self.blocking("list the blobs of", sweep::list).await
    }

    async fn remove_partial(&self, before: SystemTime, only_count: bool) -> Result<u64> {
        self.blocking("clear up", move |paths| sweep::remove_partial(paths, before, only_count)).await
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
