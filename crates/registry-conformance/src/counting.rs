//! A backend that counts what is asked of the one behind it, to prove what a caller does not do.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{
    BlobRead, BlobSource, Capabilities, PruneOptions, PruneReport, Pruner, RegistryBackend, Relisted,
    RepositoryAdmin, Result, TagEntry, WriteHint, Written,
};

use crate::Operation;
use crate::operation::{inner_admin, inner_pruner, listed};

/// Records every call, and the bytes read of each blob and manifest.
#[derive(Debug)]
pub struct CountingBackend {
    inner: Arc<dyn RegistryBackend>,
    log: Arc<Mutex<Log>>,
}

/// One recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The operation.
    pub operation: Operation,
    /// The digest or tag that it was about; empty for those about the whole repository.
    pub target: String,
    /// The range that was asked for, if one was.
    pub range: Option<Range<u64>>,
}

#[derive(Debug, Default)]
struct Log {
    calls: Vec<Call>,
    bytes_read: BTreeMap<Digest, u64>,
    uploaded: Vec<Digest>,
}

impl CountingBackend {
    /// Wraps a backend.
    pub fn new(inner: Arc<dyn RegistryBackend>) -> Self {
        Self { inner, log: Arc::default() }
    }

    /// Returns all calls in their order.
    pub fn calls(&self) -> Vec<Call> {
        self.log().calls.clone()
    }

    /// Returns the number of calls of one operation.
    pub fn count(&self, operation: Operation) -> usize {
        self.log().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// Returns how many bytes of each blob and manifest were read, by digest.
    pub fn bytes_read(&self) -> BTreeMap<Digest, u64> {
        self.log().bytes_read.clone()
    }

    /// Returns the blobs whose bytes were sent, in the order in which they were stored.
    pub fn uploaded(&self) -> Vec<Digest> {
        self.log().uploaded.clone()
    }

    /// Forgets what was recorded so far.
    pub fn reset(&self) {
        *self.log() = Log::default();
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    fn record(&self, operation: Operation, target: impl fmt::Display, range: Option<Range<u64>>) {
        self.log().calls.push(Call { operation, target: target.to_string(), range });
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    // Every change is one push or addition: a panic elsewhere leaves nothing half-done.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl RegistryBackend for CountingBackend {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        self.record(Operation::StatBlob, digest, None);
        self.inner.stat_blob(digest).await
    }

    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        self.record(Operation::ReadBlob, digest, range.clone());
        let BlobRead { range, blob_size, stream } = self.inner.read_blob(digest, range).await?;
        let (log, digest) = (self.log.clone(), digest.clone());
        let stream = stream.inspect(move |piece| {
            if let Ok(piece) = piece {
                *lock(&log).bytes_read.entry(digest.clone()).or_default() += piece.len() as u64;
            }
        });
        Ok(BlobRead { range, blob_size, stream: stream.boxed() })
    }

    async fn write_blob(&self, blob: &dyn BlobSource, hint: &WriteHint) -> Result<Written> {
        self.record(Operation::WriteBlob, blob.digest(), None);
        let written = self.inner.write_blob(blob, hint).await?;
        if written == Written::Uploaded {
            self.log().uploaded.push(blob.digest().clone());
        }
        Ok(written)
    }

    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        self.record(Operation::StatManifest, at, None);
        self.inner.stat_manifest(at).await
    }

    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        self.record(Operation::ReadManifest, at, None);
        let raw = self.inner.read_manifest(at).await?;
        *self.log().bytes_read.entry(raw.digest().clone()).or_default() += raw.bytes().len() as u64;
        Ok(raw)
    }

    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        self.record(Operation::WriteManifest, at, None);
        self.inner.write_manifest(at, manifest).await
    }

    fn tags(&self) -> BoxStream<'_, Result<TagEntry>> {
        self.record(Operation::Tags, "", None);
        self.inner.tags()
    }

    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        self.record(Operation::Referrers, subject, None);
        self.inner.referrers(subject, artifact_type)
    }

    fn admin(&self) -> Option<&dyn RepositoryAdmin> {
        self.inner.admin().map(|_| self as _)
    }
}

#[async_trait]
impl RepositoryAdmin for CountingBackend {
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        self.record(Operation::DeleteManifest, digest, None);
        inner_admin(&*self.inner, Operation::DeleteManifest)?.delete_manifest(digest).await
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        self.record(Operation::DeleteTag, tag, None);
        inner_admin(&*self.inner, Operation::DeleteTag)?.delete_tag(tag).await
    }

    fn pruner(&self) -> Option<&dyn Pruner> {
        self.inner.admin()?.pruner().map(|_| self as _)
    }
}

#[async_trait]
impl Pruner for CountingBackend {
    async fn prune(&self, options: &PruneOptions) -> Result<PruneReport> {
        self.record(Operation::Prune, "", None);
        inner_pruner(&*self.inner)?.prune(options).await
    }

    fn listed(&self) -> BoxStream<'_, Result<Descriptor>> {
        listed(&*self.inner)
    }

    async fn relist(&self) -> Result<Relisted> {
        inner_pruner(&*self.inner)?.relist().await
    }
}

impl fmt::Display for CountingBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}
