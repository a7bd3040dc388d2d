//! Sending blobs, several at once, each only if it is missing.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, TryStreamExt};
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, ErrorKind, RegistryBackend, WriteHint, Written, verified};

use crate::error::{Error, Result};
use crate::event::{Event, Observer, Phase, RunningPhase, total};

/// A blob to send.
pub(crate) struct Upload<'a> {
    pub(crate) source: &'a dyn BlobSource,
    /// Its title.
    pub(crate) title: String,
}

/// Sends blobs to one store, and counts them.
pub(crate) struct Uploader<'a> {
    to: &'a dyn RegistryBackend,
    observer: Arc<dyn Observer>,
    hint: WriteHint,
    /// Whether to read blobs that the store has, and to replace damaged ones.
    repair: bool,
    totals: Totals,
}

/// Number and size of sent blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of blobs.
    pub blobs: u64,
    /// Number of bytes.
    pub bytes: u64,
}

impl<'a> Uploader<'a> {
    pub(crate) fn new(to: &'a dyn RegistryBackend, observer: &Arc<dyn Observer>, hint: WriteHint) -> Self {
        Self { to, observer: Arc::clone(observer), hint, repair: false, totals: Totals::default() }
    }

    /// Reads every blob that the store has, and replaces it if it is damaged.
    pub(crate) fn repairing(mut self, repair: bool) -> Self {
        self.repair = repair;
        self
    }

    /// Stores blobs, each digest once, several at a time.
    pub(crate) async fn upload_all(&mut self, mut uploads: Vec<Upload<'_>>) -> Result<()> {
        let mut seen = HashSet::new();
        uploads.retain(|upload| seen.insert(upload.source.digest().clone()));
        let began = Instant::now();
        self.upload_once(&uploads).await?;
        let lifetime = self.to.capabilities().unreferenced_blob_lifetime;
        if lifetime.is_some_and(|lifetime| began.elapsed() > lifetime / 2) {
            // The store may have removed the first blobs, which no manifest names yet, while the last ones were
            // sent.
            self.upload_once(&uploads).await?;
        }
        Ok(())
    }

    /// Returns what was sent so far.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    async fn upload_once(&mut self, uploads: &[Upload<'_>]) -> Result<()> {
        let (items, bytes) = (uploads.len() as u64, total(uploads.iter().map(|upload| upload.source.size())));
        let phase = RunningPhase::begin(&self.observer, Phase::Upload, items, bytes);
        let (one, phase) = (&*self, &phase);
        let sending: Vec<_> = uploads.iter().map(|upload| one.upload(upload, phase).boxed()).collect();
        let parallel = self.to.capabilities().parallel_blobs.max(1);
        let sent: Vec<Totals> =
            futures::stream::iter(sending).buffer_unordered(parallel).try_collect().await?;
        for Totals { blobs, bytes } in sent {
            self.totals.blobs += blobs;
            self.totals.bytes += bytes;
        }
        Ok(())
    }

    async fn upload(&self, upload: &Upload<'_>, phase: &RunningPhase) -> Result<Totals> {
        let observer = Arc::clone(&self.observer);
        let advance = move |bytes| observer.event(&Event::Advanced { phase: Phase::Upload, items: 0, bytes });
        let counted = Counted::new(upload.source, Arc::new(advance));
        let (digest, size) = (upload.source.digest(), upload.source.size());
        let failed = |source| Error::Upload { title: upload.title.clone(), source };
        let mut hint = self.hint.clone();
        let is_lost = self.repair && !is_whole(self.to, digest, size).await?;
        if is_lost {
            hint = hint.replacing();
        }
        let written = self.to.write_blob(&counted, &hint).await.map_err(failed)?;
        if is_lost && !is_whole(self.to, digest, size).await? {
            return Err(failed(keeps_damaged(digest)));
        }
        let bytes = counted.counted();
        phase.advance(1, size.saturating_sub(counted.passed()));
        self.observer.event(&Event::Blob { title: &upload.title, digest, size, outcome: written.into() });
        Ok(Totals { blobs: u64::from(written == Written::Uploaded), bytes })
    }
}

/// Reads a blob to its end, and tells whether it exists with this size and digest.
///
/// # Errors
///
/// Fails if the store fails for another reason than a missing or damaged blob.
pub(crate) async fn is_whole(
    store: &dyn RegistryBackend,
    digest: &Digest,
    size: u64,
) -> registry_backend::Result<bool> {
    let read = async {
        let read = store.read_blob(digest, None).await?;
        let has_size = read.blob_size == size;
        let mut stream = verified(read, digest)?;
        while stream.try_next().await?.is_some() {}
        Ok::<_, registry_backend::Error>(has_size)
    };
    match read.await {
        Err(error) if is_loss(error.kind()) => Ok(false),
        read => read,
    }
}

/// Returns the error for a store that took the right bytes of a blob, and still sends others. Docker's registry keeps the file of a
/// blob that it has (distribution 2.8, `blobWriter.moveBlob`).
pub(crate) fn keeps_damaged(digest: &Digest) -> registry_backend::Error {
    registry_backend::Error::new(ErrorKind::Invalid, "repair blob", digest).because(
        "the store took the right bytes, but still has damaged ones under this digest; its operator can remove the blob, \
         and a push to another repository of a store that keeps them apart works",
    )
}

/// Tells whether the failure of a read means that the blob is missing or altered.
pub(crate) fn is_loss(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::Invalid)
}

/// A source that reports how far it has been read. Bytes that are read again count once, and bytes that are skipped because the store
/// has them are reported but do not count.
pub struct Counted<'a> {
    source: &'a dyn BlobSource,
    count: Arc<dyn Fn(u64) + Send + Sync>,
    furthest: Arc<AtomicU64>,
    skipped: AtomicU64,
}

impl<'a> Counted<'a> {
    /// Wraps a source. `count` receives the number of bytes of each chunk that is read for the first time, and of each gap.
    pub fn new(source: &'a dyn BlobSource, count: Arc<dyn Fn(u64) + Send + Sync>) -> Self {
        Self { source, count, furthest: Arc::default(), skipped: AtomicU64::new(0) }
    }

    /// Returns the number of bytes read so far.
    pub fn counted(&self) -> u64 {
        self.passed().saturating_sub(self.skipped.load(Ordering::Relaxed))
    }

    /// Returns the furthest place so far.
    fn passed(&self) -> u64 {
        self.furthest.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl BlobSource for Counted<'_> {
    fn digest(&self) -> &Digest {
        self.source.digest()
    }

    fn size(&self) -> u64 {
        self.source.size()
    }

    async fn open(&self, offset: u64) -> registry_backend::Result<ByteStream> {
        let stream = self.source.open(offset).await?;
        let gap = offset.saturating_sub(self.furthest.fetch_max(offset, Ordering::Relaxed));
        if gap > 0 {
            self.skipped.fetch_add(gap, Ordering::Relaxed);
            (self.count)(gap);
        }
        let (count, furthest) = (Arc::clone(&self.count), Arc::clone(&self.furthest));
        let mut position = offset;
        let counted = stream.inspect(move |chunk| {
            if let Ok(bytes) = chunk {
                position += bytes.len() as u64;
                let before = furthest.fetch_max(position, Ordering::Relaxed);
                count(position.saturating_sub(before));
            }
        });
        Ok(counted.boxed())
    }

    fn nameless_file(&self) -> Option<&std::fs::File> {
        self.source.nameless_file()
    }

    fn blob_place(&self) -> Option<&str> {
        self.source.blob_place()
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use registry_backend::BytesSource;

    use super::*;

    #[tokio::test]
    async fn bytes_that_are_read_again_count_once() {
        let source = BytesSource::new(vec![7; 100]);
        let total = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&total);
        let counted =
            Counted::new(&source, Arc::new(move |bytes| _ = sum.fetch_add(bytes, Ordering::Relaxed)));
        for offset in [0, 40, 0] {
            let _: Vec<_> = counted.open(offset).await.unwrap().try_collect().await.unwrap();
        }
        assert_eq!(total.load(Ordering::Relaxed), 100);
        assert_eq!(counted.counted(), 100);
    }

    #[tokio::test]
    async fn bytes_that_the_store_has_are_reported_and_do_not_count() {
        let source = BytesSource::new(vec![7; 100]);
        let total = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&total);
        let counted =
            Counted::new(&source, Arc::new(move |bytes| _ = sum.fetch_add(bytes, Ordering::Relaxed)));
        for offset in [60, 80] {
            let _: Vec<_> = counted.open(offset).await.unwrap().try_collect().await.unwrap();
        }
        assert_eq!(total.load(Ordering::Relaxed), 100);
        assert_eq!(counted.counted(), 40);
    }
}
