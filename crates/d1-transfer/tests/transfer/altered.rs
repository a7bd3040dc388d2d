//! A store in which something has happened to blobs, as on a failing disk.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, RawManifest};
use registry_backend::{
    BlobRead, BlobSource, Capabilities, Error, ErrorKind, RegistryBackend, RepositoryAdmin, Result, TagEntry,
    WriteHint, Written,
};
use tokio::sync::mpsc::UnboundedSender;

/// Passes everything on, except for blobs that were altered.
#[derive(Debug)]
pub(crate) struct Altered {
    inner: Arc<dyn RegistryBackend>,
    /// The content instead. `None` if the blob is lost.
    blobs: Mutex<HashMap<Digest, Option<Bytes>>>,
    /// Reading a blob of at least this size never ends; this hears of it.
    stuck: Option<(u64, UnboundedSender<()>)>,
}

impl Altered {
    pub(crate) fn new(inner: Arc<dyn RegistryBackend>) -> Self {
        Self { inner, blobs: Mutex::default(), stuck: None }
    }

    /// Flips a bit of a blob.
    pub(crate) async fn flipped(inner: Arc<dyn RegistryBackend>, digest: &Digest, position: usize) -> Self {
        Self::new(inner).flip(digest, position).await
    }

    pub(crate) async fn flip(self, digest: &Digest, position: usize) -> Self {
        let mut bytes = whole(&*self.inner, digest).await;
        bytes[position] ^= 0x10;
        self.with(digest, Some(bytes))
    }

    /// Puts something else in the place of a blob, or loses it.
    pub(crate) fn with(self, digest: &Digest, content: Option<Vec<u8>>) -> Self {
        self.blobs.lock().unwrap().insert(digest.clone(), content.map(Bytes::from));
        self
    }

    /// Never ends a blob of at least this size once its bytes have come, and tells when it comes to that.
    pub(crate) fn stuck_behind(mut self, size: u64, tell: UnboundedSender<()>) -> Self {
        self.stuck = Some((size, tell));
        self
    }

    fn altered(&self, digest: &Digest) -> Option<Option<Bytes>> {
        self.blobs.lock().unwrap().get(digest).cloned()
    }
}

/// Reads a whole blob.
pub(crate) async fn whole(backend: &dyn RegistryBackend, digest: &Digest) -> Vec<u8> {
    let read = backend.read_blob(digest, None).await.unwrap();
    let pieces: Vec<Bytes> = read.stream.try_collect().await.unwrap();
    pieces.concat()
}

#[async_trait]
impl RegistryBackend for Altered {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.altered(digest) {
            Some(altered) => Ok(altered.map(|bytes| bytes.len() as u64)),
            None => self.inner.stat_blob(digest).await,
        }
    }

    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        // A store without range reads sends everything.
        let range = range.filter(|_| self.capabilities().range_reads);
        let Some(altered) = self.altered(digest) else {
            let mut read = self.inner.read_blob(digest, range).await?;
            if let Some((_, tell)) = self.stuck.clone().filter(|(size, _)| read.blob_size >= *size) {
                let stuck = futures::stream::poll_fn(move |_| {
                    let _ = tell.send(());
                    Poll::Pending
                });
                read.stream = read.stream.chain(stuck).boxed();
            }
            return Ok(read);
        };
        let bytes = altered.ok_or_else(|| Error::new(ErrorKind::NotFound, "read blob", digest))?;
        let blob_size = bytes.len() as u64;
        let range = range.unwrap_or(0..blob_size);
        let index = |position| usize::try_from(position).unwrap().min(bytes.len());
        let part = bytes.slice(index(range.start)..index(range.end));
        let pieces: Vec<Result<Bytes>> =
            part.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(BlobRead { range, blob_size, stream: futures::stream::iter(pieces).boxed() })
    }

    async fn write_blob(&self, blob: &dyn BlobSource, hint: &WriteHint) -> Result<Written> {
        let written = self.inner.write_blob(blob, hint).await?;
        // A write restores a lost blob.
        let was_lost = self.altered(blob.digest()) == Some(None);
        if was_lost || hint.replace {
            self.blobs.lock().unwrap().remove(blob.digest());
        }
        Ok(if was_lost { Written::Uploaded } else { written })
    }

    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        self.inner.stat_manifest(at).await
    }

    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        self.inner.read_manifest(at).await
    }

    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        let parsed =
            manifest.parse().map_err(|error| Error::new(ErrorKind::Invalid, "write", at).caused_by(error))?;
        if parsed.blobs().into_iter().any(|blob| self.altered(&blob.digest) == Some(None)) {
            return Err(Error::new(ErrorKind::Incomplete, "write manifest", at));
        }
        self.inner.write_manifest(at, manifest).await
    }

    fn tags(&self) -> BoxStream<'_, Result<TagEntry>> {
        self.inner.tags()
    }

    fn referrers(&self, subject: &Digest, kind: Option<&MediaType>) -> BoxStream<'_, Result<Descriptor>> {
        self.inner.referrers(subject, kind)
    }

    fn admin(&self) -> Option<&dyn RepositoryAdmin> {
        None
    }
}

impl fmt::Display for Altered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}
