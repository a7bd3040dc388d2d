//! Replacing the index of a directory.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use registry_backend::Result;
use tokio::sync::OwnedMutexGuard;

use super::Shared;
use super::failure::failure;
use super::index_file::Stamp;
use super::lock::Lock;
use super::open::write_file;
use super::partial::sync_directory;
use super::sweep;
use crate::blocking::blocking;
use crate::index::{Edit, Index};
use crate::storage::{Commit, IndexUpdate, StoredBlob};

const OPERATION: &str = "update the index of";

/// An update that holds the lock.
pub(super) struct Update {
    index: Arc<Index>,
    held: Held,
}

struct Held {
    shared: Arc<Shared>,
    stamp: Option<Stamp>,
    _lock: Lock,
    _turn: OwnedMutexGuard<()>,
}

impl Update {
    pub(super) fn begin(shared: Arc<Shared>, lock: Lock, turn: OwnedMutexGuard<()>) -> Result<Self> {
        let (index, stamp) = shared.index.read(&shared.paths, false)?;
        Ok(Self { index, held: Held { shared, stamp, _lock: lock, _turn: turn } })
    }
}

#[async_trait]
impl IndexUpdate for Update {
    fn index(&self) -> &Arc<Index> {
        &self.index
    }

    async fn commit(self: Box<Self>, edit: Edit) -> Result<Commit> {
        // The lock goes along: it is held until the index is replaced, even if nobody waits for it any more.
        let Self { index, held } = *self;
        blocking(OPERATION, move || held.replace(&index, &edit)).await
    }

    async fn remove(self: Box<Self>, blobs: Vec<StoredBlob>, before: SystemTime) -> Result<Vec<StoredBlob>> {
        let held = self.held;
        blocking("remove blob", move || sweep::remove(&held.shared.paths, blobs, before)).await
    }
}

impl Held {
    fn replace(&self, index: &Index, edit: &Edit) -> Result<Commit> {
        let paths = &self.shared.paths;
        let path = paths.index();
        self.sync_blobs()?;
        // Other programs do not know the lock: what they wrote since is not to be lost.
        if self.shared.index.stamp().ok() != self.stamp {
            return Ok(Commit::Raced);
        }
        write_file(paths, &path, index.pieces(edit))
            .map_err(|error| failure(OPERATION, paths, &path, error))?;
        sync_directory(paths.root()).map_err(|error| failure(OPERATION, paths, paths.root(), error))?;
        Ok(Commit::Done)
    }

    /// Makes the names of all blobs last: their content was synced before they got them.
    fn sync_blobs(&self) -> Result<()> {
        let paths = &self.shared.paths;
        let blobs = paths.blobs();
        let sync = || {
            let algorithms = match fs::read_dir(&blobs) {
                // There are none to sync.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                algorithms => algorithms?,
            };
            for algorithm in algorithms {
                let algorithm = algorithm?;
                if algorithm.file_type()?.is_dir() {
                    sync_directory(&algorithm.path())?;
                }
            }
            sync_directory(&blobs)
        };
        sync().map_err(|error| failure(OPERATION, paths, &blobs, error))
    }
}
