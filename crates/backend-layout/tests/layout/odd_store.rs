//! An object store in memory with ages and faults as a test wants them.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backend_layout::object_store::memory::InMemory;
use backend_layout::object_store::multipart::{MultipartStore, PartId};
use backend_layout::object_store::path::Path;
use backend_layout::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

/// How the store takes a put with a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConditionalPut {
    Works,
    /// It says that it cannot.
    Unsupported,
    /// It stores in any case.
    Ignored,
}

#[derive(Debug)]
pub(crate) struct OddStore {
    pub(crate) inner: InMemory,
    conditional: ConditionalPut,
    /// How many updates are still refused as if another writer had been faster.
    pub(crate) refusals: AtomicU64,
    /// Uploads in parts that were begun.
    pub(crate) uploads: AtomicU64,
    /// How often the index was put.
    pub(crate) replacements: AtomicU64,
    pub(crate) aborts: AtomicU64,
    aged: Mutex<HashMap<Path, Duration>>,
    /// When objects were put, where a test makes hours pass.
    put_after: Mutex<HashMap<Path, Duration>>,
    begun: (tokio::time::Instant, std::time::Instant),
    behind: Mutex<Duration>,
}

impl OddStore {
    pub(crate) fn new(conditional: ConditionalPut) -> Self {
        Self {
            inner: InMemory::new(),
            conditional,
            refusals: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
            replacements: AtomicU64::new(0),
            aborts: AtomicU64::new(0),
            aged: Mutex::default(),
            put_after: Mutex::default(),
            begun: (tokio::time::Instant::now(), std::time::Instant::now()),
            behind: Mutex::default(),
        }
    }

    /// Makes an object look older, until it is stored again.
    pub(crate) fn age(&self, path: &Path, by: Duration) {
        self.aged.lock().unwrap().insert(path.clone(), by);
    }

    pub(crate) fn set_clock_behind(&self, by: Duration) {
        *self.behind.lock().unwrap() = by;
    }

    /// Returns how much more time has passed for tokio than for the clock on the wall.
    fn made_to_pass(&self) -> Duration {
        self.begun.0.elapsed().saturating_sub(self.begun.1.elapsed())
    }

    fn date(&self) -> impl Fn(ObjectMeta) -> ObjectMeta + use<> {
        let aged = self.aged.lock().unwrap().clone();
        let put_after = self.put_after.lock().unwrap().clone();
        let behind = *self.behind.lock().unwrap();
        move |mut meta| {
            meta.last_modified += put_after.get(&meta.location).copied().unwrap_or_default();
            meta.last_modified -= behind + aged.get(&meta.location).copied().unwrap_or_default();
            meta
        }
    }
}

#[async_trait]
impl ObjectStore for OddStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        let is_update = matches!(options.mode, PutMode::Update(_));
        if is_update && self.conditional == ConditionalPut::Unsupported {
            let operation = "put_opts".to_owned();
            return Err(Error::NotImplemented { operation, implementer: self.to_string() });
        }
        if is_update && self.conditional == ConditionalPut::Ignored {
            options.mode = PutMode::Overwrite;
        }
        let refuse = |left: u64| left.checked_sub(1);
        let is_index = location.filename() == Some("index.json");
        if is_update
            && is_index
            && self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_ok()
        {
            return Err(Error::Precondition {
                path: location.to_string(),
                source: "refused by the test".into(),
            });
        }
        if is_index {
            self.replacements.fetch_add(1, Ordering::Relaxed);
            // As with a real store, others get on meanwhile.
            tokio::task::yield_now().await;
        }
        let stored = self.inner.put_opts(location, payload, options).await;
        self.aged.lock().unwrap().remove(location);
        self.put_after.lock().unwrap().insert(location.clone(), self.made_to_pass());
        stored
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put_multipart".to_owned(), implementer: self.to_string() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = self.inner.get_opts(location, options).await?;
        found.meta = self.date()(found.meta);
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let date = self.date();
        self.inner.list(prefix).map(move |meta| Ok(date(meta?))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for OddStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OddStore")
    }
}

#[async_trait]
impl MultipartStore for OddStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.uploads.fetch_add(1, Ordering::Relaxed);
        self.inner.create_multipart(path).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        index: usize,
        content: PutPayload,
    ) -> Result<PartId> {
        self.inner.put_part(path, id, index, content).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.inner.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.aborts.fetch_add(1, Ordering::Relaxed);
        self.inner.abort_multipart(path, id).await
    }
}
