//! Storing objects and system metadata: blobs first, then manifests, then tags; each only if it is missing.

use std::sync::Arc;

use d1_package::system_metadata_manifest;
use d1_transfer::parts::{Counted, RunningPhase, Totals};
use d1_transfer::{Event, Observer, Phase};
use oci_model::{Descriptor, Digest, ManifestRef};
use registry_backend::{BlobSource, BytesSource, RegistryBackend, WriteHint, Written};
use tokio::sync::OnceCell;

use super::Document;
use super::place::{Place, Wanted, find_place};
use crate::Result;

/// A store that objects go to, one after another or several at once.
pub(crate) struct Storing<'a> {
    pub(crate) backend: &'a dyn RegistryBackend,
    observer: Arc<dyn Observer>,
    phase: RunningPhase,
    /// The configuration that all manifests have is sent once.
    configuration: OnceCell<()>,
}

/// System metadata that refer to an object.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    /// Digest of their manifest.
    pub(crate) digest: Digest,
    pub(crate) is_new: bool,
    pub(crate) totals: Totals,
}

impl<'a> Storing<'a> {
    /// Begins with what is known about the number and size of the objects.
    pub(crate) fn begin(
        backend: &'a dyn RegistryBackend,
        observer: &Arc<dyn Observer>,
        items: u64,
        bytes: u64,
    ) -> Self {
        let phase = RunningPhase::begin(observer, Phase::Upload, items, bytes);
        Self { backend, observer: Arc::clone(observer), phase, configuration: OnceCell::new() }
    }

    /// Returns where an object is or goes.
    pub(crate) async fn find(&self, wanted: &Wanted<'_>) -> Result<Place> {
        find_place(self.backend, wanted).await
    }

    /// Notes that an object is done of which this many bytes were not sent.
    pub(crate) fn done(&self, unsent: u64) {
        self.phase.advance(1, unsent);
    }

    /// Sends the content of an object.
    pub(crate) async fn send(&self, source: &dyn BlobSource, title: &str) -> Result<Totals> {
        let observer = Arc::clone(&self.observer);
        let advance = move |bytes| observer.event(&Event::Advanced { phase: Phase::Upload, items: 0, bytes });
        let counted = Counted::new(source, Arc::new(advance));
        let written = self.write(&counted, title).await?;
        Ok(Totals { blobs: u64::from(written == Written::Uploaded), bytes: counted.counted() })
    }

    /// Stores the manifest of an object whose content is there.
    pub(crate) async fn publish(&self, place: &Place) -> Result<()> {
        self.send_configuration().await?;
        if place.tags.is_empty() {
            let at = ManifestRef::Digest(place.manifest.digest().clone());
            self.backend.write_manifest(&at, &place.manifest).await?;
        }
        for tag in &place.tags {
            self.backend.write_manifest(&ManifestRef::Tag(tag.clone()), &place.manifest).await?;
        }
        Ok(())
    }

    /// Stores system metadata as an artifact that refers to an object.
    pub(crate) async fn attach(&self, object: &Descriptor, document: &Document) -> Result<Attached> {
        let source = BytesSource::new(document.bytes.clone());
        let limit = self.backend.capabilities().max_manifest_bytes;
        let digest = source.digest().clone();
        let manifest = system_metadata_manifest(object, &document.says, digest, source.size(), limit);
        let manifest = manifest?;
        let at = ManifestRef::Digest(manifest.digest().clone());
        let digest = manifest.digest().clone();
        if self.backend.stat_manifest(&at).await?.is_some() {
            return Ok(Attached { digest, is_new: false, totals: Totals::default() });
        }
        let written = self.write(&source, "system metadata").await?;
        self.send_configuration().await?;
        self.backend.write_manifest(&at, &manifest).await?;
        let is_sent = written == Written::Uploaded;
        let totals = Totals { blobs: u64::from(is_sent), bytes: if is_sent { source.size() } else { 0 } };
        Ok(Attached { digest, is_new: true, totals })
    }

    async fn send_configuration(&self) -> Result<()> {
        let send = || async {
            let source = BytesSource::new(Descriptor::EMPTY_CONTENT);
            self.write(&source, "configuration").await.map(drop)
        };
        self.configuration.get_or_try_init(send).await.copied()
    }

    async fn write(&self, source: &dyn BlobSource, title: &str) -> Result<Written> {
        let written = self.backend.write_blob(source, &WriteHint::default()).await;
        let written =
            written.map_err(|source| d1_transfer::Error::Upload { title: title.to_owned(), source })?;
        let (digest, size) = (source.digest(), source.size());
        self.observer.event(&Event::Blob { title, digest, size, outcome: written.into() });
        Ok(written)
    }
}
