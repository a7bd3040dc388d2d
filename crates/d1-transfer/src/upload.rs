//! Sending blobs, several at once, each only if it is missing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt, StreamExt, TryStreamExt};
use registry_backend::{BlobSource, RegistryBackend, WriteHint, Written};

use crate::counted::Counted;
use crate::progress::{RunningPhase, total};
use crate::{Error, Event, Observer, Phase, Result};

/// A blob to be sent.
pub(crate) struct Upload<'a> {
    pub(crate) source: &'a dyn BlobSource,
    /// What people know it by.
    pub(crate) title: String,
}

/// Sends blobs to one store and counts what happened.
pub(crate) struct Uploader<'a> {
    to: &'a dyn RegistryBackend,
    observer: Arc<dyn Observer>,
    hint: WriteHint,
    totals: Totals,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of blobs.
    pub blobs: u64,
    /// Number of bytes.
    pub bytes: u64,
}

impl<'a> Uploader<'a> {
    pub(crate) fn new(to: &'a dyn RegistryBackend, observer: &Arc<dyn Observer>, hint: WriteHint) -> Self {
        Self { to, observer: Arc::clone(observer), hint, totals: Totals::default() }
    }

    /// Stores blobs, each digest once, as many at once as the store likes.
    pub(crate) async fn upload_all(&mut self, mut uploads: Vec<Upload<'_>>) -> Result<()> {
        let mut seen = HashSet::new();
        uploads.retain(|upload| seen.insert(upload.source.digest().clone()));
        let began = Instant::now();
        self.upload_once(&uploads).await?;
        let lifetime = self.to.capabilities().unreferenced_blob_lifetime;
        if lifetime.is_some_and(|lifetime| began.elapsed() > lifetime / 2) {
            // The store may have removed the first ones, to which nothing refers yet, while the last ones were sent.
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
        let written = self.to.write_blob(&counted, &self.hint).await;
        let written = written.map_err(|source| Error::Upload { title: upload.title.clone(), source })?;
        let (size, bytes) = (upload.source.size(), counted.counted());
        phase.advance(1, size.saturating_sub(bytes));
        let digest = upload.source.digest();
        self.observer.event(&Event::Blob { title: &upload.title, digest, size, outcome: written.into() });
        Ok(Totals { blobs: u64::from(written == Written::Uploaded), bytes })
    }
}
