//! Sending blobs, several at once, each only if it is missing.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt};
use registry_backend::{BlobSource, RegistryBackend, WriteHint, Written};

use crate::counted::Counted;
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
pub(crate) struct Totals {
    pub(crate) sent_blobs: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) kept_blobs: u64,
}

impl<'a> Uploader<'a> {
    pub(crate) fn new(to: &'a dyn RegistryBackend, observer: &Arc<dyn Observer>, hint: WriteHint) -> Self {
        Self { to, observer: Arc::clone(observer), hint, totals: Totals::default() }
    }

    /// Stores all blobs, as many at once as the store likes; returns for each how it got there.
    pub(crate) async fn upload_all(&mut self, uploads: &[Upload<'_>]) -> Result<Vec<Written>> {
        let bytes = uploads.iter().map(|upload| upload.source.size()).sum();
        let phase = Phase::Upload;
        self.observer.event(&Event::Began { phase, items: uploads.len() as u64, bytes });
        let parallel = self.to.capabilities().parallel_blobs.max(1);
        let one = &*self;
        let sending: Vec<_> = uploads.iter().map(|upload| one.upload(upload).boxed()).collect();
        let written: Vec<(Written, u64)> =
            futures::stream::iter(sending).buffered(parallel).try_collect().await?;
        self.observer.event(&Event::Ended { phase });
        for (written, sent) in &written {
            match written {
                Written::Uploaded => self.totals.sent_blobs += 1,
                Written::AlreadyThere | Written::Mounted => self.totals.kept_blobs += 1,
            }
            self.totals.sent_bytes += sent;
        }
        Ok(written.into_iter().map(|(written, _)| written).collect())
    }

    /// Returns what was sent so far.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    async fn upload(&self, upload: &Upload<'_>) -> Result<(Written, u64)> {
        let observer = Arc::clone(&self.observer);
        let advance = move |bytes| observer.event(&Event::Advanced { phase: Phase::Upload, items: 0, bytes });
        let counted = Counted::new(upload.source, Arc::new(advance));
        let written = self.to.write_blob(&counted, &self.hint).await;
        let written = written.map_err(|source| Error::Upload { title: upload.title.clone(), source })?;
        let (size, sent) = (upload.source.size(), counted.counted());
        let bytes = size.saturating_sub(sent);
        self.observer.event(&Event::Advanced { phase: Phase::Upload, items: 1, bytes });
        let digest = upload.source.digest();
        self.observer.event(&Event::Blob { title: &upload.title, digest, size, outcome: written.into() });
        Ok((written, sent))
    }
}
