//! A backend that fails as a test tells it to, to prove how callers take it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{
    BlobRead, BlobSource, Capabilities, PruneOptions, PruneReport, Pruner, RegistryBackend, Relisted,
    RepositoryAdmin, Result, TagEntry, WriteHint, Written,
};

use crate::fault::{Script, planned};
use crate::operation::{inner_admin, inner_pruner, listed};
use crate::spoil::{Spoiled, spoil};
use crate::{Fault, FaultAction, Operation};

/// Passes every call on, except where a [`Fault`] says otherwise.
///
/// On a write the stream is the one that the store reads from the source: the store sees the fault.
#[derive(Debug)]
pub struct FaultyBackend {
    inner: Arc<dyn RegistryBackend>,
    script: Script,
}

impl FaultyBackend {
    /// Wraps a backend; without faults nothing changes.
    pub fn new(inner: Arc<dyn RegistryBackend>) -> Self {
        Self { inner, script: Script::default() }
    }

    /// Adds a fault.
    #[must_use]
    pub fn with(mut self, fault: Fault) -> Self {
        self.script.faults.push(fault);
        self
    }

    /// Begins a call: fails before anything is done, or returns what is to go wrong later.
    fn begin(&self, operation: Operation, target: impl fmt::Display) -> Result<Option<FaultAction>> {
        match self.script.next(operation) {
            Some(FaultAction::Fail(kind)) => Err(planned(kind, operation.name(), target)),
            action => Ok(action),
        }
    }

    fn list<'a, T: Send + 'a>(
        &'a self,
        operation: Operation,
        target: String,
        list: impl FnOnce() -> BoxStream<'a, Result<T>>,
    ) -> BoxStream<'a, Result<T>> {
        match self.begin(operation, &target) {
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
            Ok(action) => {
                let end = finish(action, operation, target, ()).err().map(Err);
                list().chain(futures::stream::iter(end)).boxed()
            }
        }
    }
}

/// Ends a call: what it did stays done, but its answer may be lost.
fn finish<T>(
    action: Option<FaultAction>,
    operation: Operation,
    target: impl fmt::Display,
    answer: T,
) -> Result<T> {
    match action {
        Some(FaultAction::FailAfterwards(kind)) => Err(planned(kind, operation.name(), target)),
        _ => Ok(answer),
    }
}

#[async_trait]
impl RegistryBackend for FaultyBackend {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let action = self.begin(Operation::StatBlob, digest)?;
        finish(action, Operation::StatBlob, digest, self.inner.stat_blob(digest).await?)
    }

    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        let action = self.begin(Operation::ReadBlob, digest)?;
        let mut read = self.inner.read_blob(digest, range).await?;
        read.stream = spoil(read.stream, 0, action);
        finish(action, Operation::ReadBlob, digest, read)
    }

    async fn write_blob(&self, blob: &dyn BlobSource, hint: &WriteHint) -> Result<Written> {
        let action = self.begin(Operation::WriteBlob, blob.digest())?;
        let written = self.inner.write_blob(&Spoiled { source: blob, action }, hint).await?;
        finish(action, Operation::WriteBlob, blob.digest(), written)
    }

    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        let action = self.begin(Operation::StatManifest, at)?;
        finish(action, Operation::StatManifest, at, self.inner.stat_manifest(at).await?)
    }

    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        let action = self.begin(Operation::ReadManifest, at)?;
        finish(action, Operation::ReadManifest, at, self.inner.read_manifest(at).await?)
    }

    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        let action = self.begin(Operation::WriteManifest, at)?;
        self.inner.write_manifest(at, manifest).await?;
        finish(action, Operation::WriteManifest, at, ())
    }

    fn tags(&self) -> BoxStream<'_, Result<TagEntry>> {
        self.list(Operation::Tags, self.to_string(), || self.inner.tags())
    }

    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        let list = || self.inner.referrers(subject, artifact_type);
        self.list(Operation::Referrers, subject.to_string(), list)
    }

    fn admin(&self) -> Option<&dyn RepositoryAdmin> {
        self.inner.admin().map(|_| self as _)
    }
}

#[async_trait]
impl RepositoryAdmin for FaultyBackend {
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let action = self.begin(Operation::DeleteManifest, digest)?;
        inner_admin(&*self.inner, Operation::DeleteManifest)?.delete_manifest(digest).await?;
        finish(action, Operation::DeleteManifest, digest, ())
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        let action = self.begin(Operation::DeleteTag, tag)?;
        inner_admin(&*self.inner, Operation::DeleteTag)?.delete_tag(tag).await?;
        finish(action, Operation::DeleteTag, tag, ())
    }

    fn pruner(&self) -> Option<&dyn Pruner> {
        self.inner.admin()?.pruner().map(|_| self as _)
    }
}

#[async_trait]
impl Pruner for FaultyBackend {
    async fn prune(&self, options: &PruneOptions) -> Result<PruneReport> {
        let action = self.begin(Operation::Prune, self)?;
        let report = inner_pruner(&*self.inner)?.prune(options).await?;
        finish(action, Operation::Prune, self, report)
    }

    fn listed(&self) -> BoxStream<'_, Result<Descriptor>> {
        listed(&*self.inner)
    }

    async fn relist(&self) -> Result<Relisted> {
        inner_pruner(&*self.inner)?.relist().await
    }
}

impl fmt::Display for FaultyBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}
