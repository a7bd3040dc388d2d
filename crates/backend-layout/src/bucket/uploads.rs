//! Uploads in parts: those that this process has begun, those that a store lists, and how many parts are under way.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{Error as StoreError, MultipartId, Result as StoreResult};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A part that takes longer says that fewer at once would do: the connection is the limit, not the store.
const SLOW_PART: Duration = Duration::from_secs(20);

/// A part that takes less time says that more at once may help.
const FAST_PART: Duration = Duration::from_secs(5);

/// The uploads that this process has begun and not ended. A store keeps the parts of an upload that nobody ends, and listings of
/// objects do not show them.
#[derive(Clone, Default)]
pub(crate) struct OpenUploads(Arc<Mutex<Begun>>);

#[derive(Default)]
struct Begun {
    last: u64,
    uploads: HashMap<u64, Upload>,
}

#[derive(Clone)]
struct Upload {
    store: Arc<dyn MultipartStore>,
    path: Path,
    id: MultipartId,
}

impl OpenUploads {
    /// Remembers an upload until the returned value says that it ended.
    pub(super) fn add(&self, store: Arc<dyn MultipartStore>, path: Path, id: MultipartId) -> OpenUpload {
        let mut begun = self.lock();
        begun.last += 1;
        let number = begun.last;
        let upload = Upload { store, path, id };
        begun.uploads.insert(number, upload.clone());
        OpenUpload { all: self.clone(), number, upload }
    }

    /// Aborts all uploads that have not ended.
    #[cfg(feature = "remote")]
    pub(crate) async fn abort(&self) {
        let uploads: Vec<_> = self.lock().uploads.drain().map(|(_, upload)| upload).collect();
        futures::future::join_all(uploads.into_iter().map(Upload::abort)).await;
    }

    fn lock(&self) -> MutexGuard<'_, Begun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    async fn abort(self) {
        match self.store.abort_multipart(&self.path, &self.id).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => tracing::warn!(path = %self.path, %error, "cannot abort an interrupted upload"),
        }
    }
}

impl fmt::Debug for OpenUploads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OpenUploads({})", self.lock().uploads.len())
    }
}

/// One upload that has begun. It is aborted if the value is dropped before it ended.
pub(super) struct OpenUpload {
    all: OpenUploads,
    number: u64,
    upload: Upload,
}

impl OpenUpload {
    pub(super) fn store(&self) -> &Arc<dyn MultipartStore> {
        &self.upload.store
    }

    pub(super) fn path(&self) -> &Path {
        &self.upload.path
    }

    pub(super) fn id(&self) -> &MultipartId {
        &self.upload.id
    }

    /// Takes note that the store has put the parts together, or no longer has them.
    pub(super) fn ended(self) {
        self.all.lock().uploads.remove(&self.number);
    }

    pub(super) async fn abort(self) {
        self.upload.clone().abort().await;
        self.ended();
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        if !self.all.lock().uploads.contains_key(&self.number) {
            return;
        }
        // Without a runtime, the upload stays remembered for `OpenUploads::abort`.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (all, number, upload) = (self.all.clone(), self.number, self.upload.clone());
        runtime.spawn(async move {
            upload.abort().await;
            all.lock().uploads.remove(&number);
        });
    }
}

/// An upload that some process has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BegunUpload {
    pub(crate) path: Path,
    pub(crate) id: MultipartId,
    pub(crate) begun: Option<SystemTime>,
}

/// A part of an upload that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredPart {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// In bytes.
    pub(crate) size: u64,
    /// The store's tag for its content.
    pub(crate) tag: String,
}

/// A store that lists uploads which have not ended, and copies between its buckets.
#[async_trait]
pub(crate) trait UploadListing: fmt::Debug + Send + Sync {
    /// Lists the uploads of objects whose paths begin with `prefix`.
    async fn begun(&self, prefix: &str) -> StoreResult<Vec<BegunUpload>>;

    /// Lists the parts of an upload.
    async fn parts(&self, path: &Path, id: &str) -> StoreResult<Vec<StoredPart>>;

    /// Tells whether a stored part is known to have this content.
    fn is_stored(&self, part: &StoredPart, content: &[u8]) -> bool;

    /// Copies an object from another bucket of the same server.
    async fn copy_from(&self, bucket: &str, from: &Path, to: &Path) -> StoreResult<()>;
}

/// Limits the parts under way: fewer at once where each takes long.
#[derive(Debug)]
pub(super) struct PartGate {
    places: Arc<Semaphore>,
    limit: Mutex<usize>,
    most: usize,
}

impl PartGate {
    pub(super) fn new(most: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), limit: Mutex::new(most), most }
    }

    /// Waits until a part may be sent.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes the semaphore.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Takes note of how long a part took, and frees its place.
    pub(super) fn leave(&self, place: Option<OwnedSemaphorePermit>, took: Duration) {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if took > SLOW_PART && *limit > 1 {
            *limit -= 1;
            if let Some(place) = place {
                place.forget();
            }
        } else if took < FAST_PART && *limit < self.most {
            *limit += 1;
            self.places.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slow_parts_make_fewer_and_fast_ones_more_again() {
        let gate = PartGate::new(3);
        for expected in [2, 1, 1, 1] {
            let place = gate.enter().await;
            gate.leave(place, Duration::from_secs(60));
            assert_eq!(gate.places.available_permits(), expected);
        }
        for expected in [2, 3, 3] {
            let place = gate.enter().await;
            gate.leave(place, Duration::from_secs(1));
            assert_eq!(gate.places.available_permits(), expected);
        }
    }
}
