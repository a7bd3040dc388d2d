//! The backend value: which storage it has, and how it is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use oci_model::{Digest, Location};
use registry_backend::{Access, Capabilities, Error, ErrorKind, PruneOptions, Result};

use crate::bucket::Bucket;
use crate::directory::Directory;
use crate::manifests::LinkCache;
use crate::queue::Queue;
use crate::reach::Reached;
use crate::referrers::Referring;
use crate::storage::{Presence, Storage};

/// An OCI image layout as a repository.
///
/// It is used within a tokio runtime that has its timer enabled.
#[derive(Debug)]
pub struct LayoutBackend {
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) capabilities: Capabilities,
    pub(crate) links: LinkCache,
    pub(crate) reached: Reached,
    pub(crate) referring: Referring,
    pub(crate) queue: Queue,
    name: String,
    access: Access,
}

impl LayoutBackend {
    /// Opens the layout in a directory. With [`Access::Create`] it is made by the first write if it is not there.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if there is no layout and it is not to be made; [`Invalid`](ErrorKind::Invalid)
    /// if the path is taken by something else or the layout is damaged; [`Denied`](ErrorKind::Denied) or
    /// [`Io`](ErrorKind::Io) if it cannot be read, or written to where that is asked for.
    pub async fn open_directory(path: impl Into<PathBuf>, access: Access) -> Result<Self> {
        let path = path.into();
        let name = Location::Directory(path.clone()).to_string();
        let storage = Directory::open(path, access).await?;
        Ok(Self::new(Box::new(storage), name, access, 1))
    }

    /// Opens the layout under a prefix of an object store; `name` is what people know the place by. With
    /// [`Access::Create`] it is made by the first write if it is not there.
    ///
    /// # Errors
    ///
    /// As [`open_directory`](Self::open_directory); [`Unsupported`](ErrorKind::Unsupported) if it is to be written to and
    /// the store has no conditional put.
    pub async fn with_store(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        name: impl Into<String>,
        access: Access,
    ) -> Result<Self> {
        let name = name.into();
        let storage = Bucket::open(store, prefix, name.clone(), access).await?;
        // Each request waits for an answer from afar.
        Ok(Self::new(Box::new(storage), name, access, 4))
    }

    /// Makes an empty layout in memory.
    ///
    /// # Errors
    ///
    /// None is known to happen.
    pub async fn in_memory() -> Result<Self> {
        Self::with_store(Arc::new(InMemory::new()), Path::default(), "memory", Access::Create).await
    }

    pub(crate) fn new(
        storage: Box<dyn Storage>,
        name: String,
        access: Access,
        least_parallel: usize,
    ) -> Self {
        let mut capabilities = Capabilities::default();
        let cores = std::thread::available_parallelism().map_or(least_parallel, usize::from);
        capabilities.parallel_blobs = cores.max(least_parallel);
        // Somebody may prune meanwhile.
        capabilities.unreferenced_blob_lifetime = Some(PruneOptions::default().grace);
        Self {
            storage,
            capabilities,
            links: LinkCache::default(),
            reached: Reached::default(),
            referring: Referring::default(),
            queue: Queue::default(),
            name,
            access,
        }
    }

    /// Refuses what changes a layout that was opened for reading.
    pub(crate) fn check_writable(&self, operation: &'static str, target: impl fmt::Display) -> Result<()> {
        if self.access == Access::Read {
            return Err(Error::new(ErrorKind::Denied, operation, target)
                .because(format!("{self} was opened for reading only")));
        }
        Ok(())
    }

    /// Tells whether a blob is there and stays until a push that relies on it has ended.
    pub(crate) async fn keep(&self, digest: &Digest, size: u64) -> Result<bool> {
        match self.storage.renew(digest, size).await? {
            Presence::Absent => Ok(false),
            Presence::Kept => Ok(true),
            Presence::KeptIfReferenced => self.is_reached(&self.storage.index().await?, digest).await,
        }
    }
}

impl fmt::Display for LayoutBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}
