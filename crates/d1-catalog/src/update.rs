//! Bringing a catalogue up to date with a repository.

use std::sync::Arc;

use d1_package::annotations::{D1_ARCHIVED, D1_FORMAT_ID, D1_LICENSE, D1_OBSOLETED_BY};
use d1_package::{LayerKind, PackageView};
use d1_transfer::parts::{AttachedDocument, Tagged, concerns_content, run_blocking};
use d1_transfer::{Event, Observer, OpenPackage, with_causes};
use futures::future::FutureExt;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use oci_model::annotations::{AUTHORS, DESCRIPTION, LICENSES};
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, Tag};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend, TagEntry};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::artifact::ArtifactSummary;
use crate::documents::{Documents, attached, read_documents};
use crate::error::Result;
use crate::find::{INDEX_BYTES_AT_ONCE, PERMIT_BYTES, permits};
use crate::members;
use crate::store::Catalog;

/// Options of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateOptions {
    /// The name of the repository in the catalogue. Without one, it is the name that the backend displays.
    pub name: Option<String>,
    /// Whether to ask again for the system metadata of single objects. They change without their object, and each
    /// object costs a request.
    pub referrers: bool,
}

/// The result of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct UpdateReport {
    /// Number of tags in the repository.
    pub tags: u64,
    /// Number of artifacts that are new in the catalogue.
    pub added: u64,
    /// Number of artifacts that were removed, because no tag names them.
    pub removed: u64,
    /// Number of artifacts that were in the catalogue before.
    pub unchanged: u64,
    /// Number of tags whose manifest cannot be read.
    pub unreadable: u64,
}

/// A tag of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) tag: Tag,
    pub(crate) digest: Option<Digest>,
}

/// The work of an update.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) repository: i64,
    /// The first tag of each manifest that the catalogue lacks.
    pub(crate) missing: Vec<Listed>,
    /// Single objects whose system metadata are asked for: row and digest of the manifest.
    pub(crate) objects: Vec<(i64, Digest)>,
    pub(crate) is_current: bool,
}

/// The content of an artifact, or the reason why a tag names none.
#[derive(Debug)]
pub(crate) enum Collected {
    Artifact(Box<CollectedArtifact>),
    Unreadable {
        tag: Tag,
        fault: String,
    },
    /// The tag moved since it was listed: the next update finds it.
    Moved,
    /// The system metadata of a single object, asked for again.
    SystemMetadata {
        artifact: i64,
        attached: Box<Option<AttachedDocument>>,
    },
}

#[derive(Debug)]
pub(crate) struct CollectedArtifact {
    pub(crate) summary: ArtifactSummary,
    pub(crate) described: bool,
    pub(crate) archived: bool,
    pub(crate) obsoleted_by: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) authors: Option<String>,
    pub(crate) layers: Vec<CollectedLayer>,
    pub(crate) view: Option<PackageView>,
    pub(crate) fault: Option<String>,
    pub(crate) documents: Documents,
}

#[derive(Debug)]
pub(crate) struct CollectedLayer {
    pub(crate) descriptor: Descriptor,
    pub(crate) format_id: Option<String>,
    pub(crate) members: Option<Vec<u8>>,
}

/// How many artifacts one transaction adds.
const BATCH: usize = 64;

/// How many batches wait for the database.
const BATCHES_IN_FLIGHT: usize = 2;

impl Catalog {
    /// Brings the catalogue up to date with a repository: lists its tags, reads new artifacts, and removes artifacts that
    /// no tag names any more.
    ///
    /// An update that is cut off keeps all finished batches. For artifacts and documents that cannot be read, the observer gets
    /// a warning.
    ///
    /// # Errors
    ///
    /// If the repository or the catalogue cannot be read, or the catalogue cannot be written.
    pub async fn update(
        &self,
        backend: &dyn RegistryBackend,
        options: &UpdateOptions,
        observer: &Arc<dyn Observer>,
    ) -> Result<UpdateReport> {
        let _only = self.updating().await;
        let listed = list(backend).await?;
        let tags = listed.len() as u64;
        let name = options.name.clone().unwrap_or_else(|| backend.to_string());
        let (catalog, referrers) = (self.clone(), options.referrers);
        let plan = run_blocking(move || catalog.plan(&name, &listed, referrers)).await?;
        let Plan { repository, missing, objects, is_current } = plan;
        let collecting = Collecting::new(backend, observer);
        let batches = collecting.all(missing, objects).ready_chunks(BATCH);
        let written = batches.map(|batch| async {
            let (batch, catalog) = (batch.into_iter().collect::<Result<Vec<_>>>()?, self.clone());
            run_blocking(move || catalog.add(repository, &batch)).await
        });
        let added =
            written.buffered(BATCHES_IN_FLIGHT).try_fold(0, |sum, added| async move { Ok(sum + added) });
        let added = added.await?;
        let catalog = self.clone();
        let mut report = run_blocking(move || catalog.finish(repository, is_current && added == 0)).await?;
        report.tags = tags;
        report.added = added;
        report.unchanged = report.unchanged.saturating_sub(added);
        Ok(report)
    }
}

/// How many tags of a repository are read.
const MOST_TAGS: usize = 10_000_000;

/// Lists the tags with their digests. A list without digests costs a request for each tag.
async fn list(backend: &dyn RegistryBackend) -> Result<Vec<Listed>> {
    let parallel = backend.capabilities().manifests_at_once();
    let listed = backend.tags().take(MOST_TAGS).map_ok(|TagEntry { tag, digest, .. }| async move {
        if digest.is_some() {
            return Ok(Listed { tag, digest });
        }
        let found = backend.stat_manifest(&ManifestRef::Tag(tag.clone())).await;
        match found {
            Ok(found) => Ok(Listed { tag, digest: found.map(|descriptor| descriptor.digest) }),
            Err(error) if concerns_content(error.kind()) => Ok(Listed { tag, digest: None }),
            Err(error) => Err(error),
        }
    });
    Ok(listed.try_buffered(parallel).try_collect().await?)
}

struct Collecting<'a> {
    backend: &'a dyn RegistryBackend,
    observer: &'a Arc<dyn Observer>,
    indexes: Semaphore,
}

impl<'a> Collecting<'a> {
    fn new(backend: &'a dyn RegistryBackend, observer: &'a Arc<dyn Observer>) -> Self {
        let permits = usize::try_from(INDEX_BYTES_AT_ONCE / PERMIT_BYTES).unwrap_or(1);
        Self { backend, observer, indexes: Semaphore::new(permits) }
    }

    fn warn(&self, text: &str) {
        self.observer.event(&Event::Warning(text));
    }

    /// Reads artifacts that the catalogue lacks, and the system metadata of single objects. As a box, it makes the future of an
    /// update `Send`.
    fn all(&'a self, missing: Vec<Listed>, objects: Vec<(i64, Digest)>) -> BoxStream<'a, Result<Collected>> {
        let missing = stream::iter(missing).map(|listed| self.artifact(listed).boxed());
        let objects = stream::iter(objects).map(|(row, digest)| self.system_metadata(row, digest).boxed());
        let parallel = self.backend.capabilities().manifests_at_once();
        missing.chain(objects).buffered(parallel).boxed()
    }

    /// Reads an artifact that the catalogue lacks.
    async fn artifact(&self, Listed { tag, digest }: Listed) -> Result<Collected> {
        let at = ManifestRef::Tag(tag.clone());
        let mut read = self.backend.read_manifest(&at).await;
        if let (Ok(raw), Some(digest)) = (&read, &digest)
            && raw.digest() != digest
        {
            match self.backend.read_manifest(&ManifestRef::Digest(digest.clone())).await {
                Err(error) if concerns_content(error.kind()) => return Ok(Collected::Moved),
                other => read = other,
            }
        }
        let parsed = read.and_then(|raw| match raw.parse() {
            Ok(manifest) => Ok((raw, manifest)),
            Err(error) => Err(BackendError::new(ErrorKind::Invalid, "read manifest", &at).caused_by(error)),
        });
        let (raw, manifest) = match parsed {
            Ok(parsed) => parsed,
            Err(error) if concerns_content(error.kind()) => {
                let fault = with_causes(&error);
                self.warn(&format!("`{tag}` is skipped: {fault}"));
                return Ok(Collected::Unreadable { tag, fault });
            }
            Err(error) => return Err(error.into()),
        };
        let tagged = Tagged { tag, raw, manifest };
        self.content(tagged).await.map(|artifact| Collected::Artifact(Box::new(artifact)))
    }

    async fn content(&self, tagged: Tagged) -> Result<CollectedArtifact> {
        let summary = ArtifactSummary::of(&tagged);
        let annotations = tagged.manifest.annotations();
        let text = |key: &str| annotations.get(key).cloned();
        let mut collected = CollectedArtifact {
            described: annotations.contains_key(DESCRIPTION),
            archived: text(D1_ARCHIVED).as_deref() == Some("true"),
            obsoleted_by: text(D1_OBSOLETED_BY),
            license: text(D1_LICENSE).or_else(|| text(LICENSES)),
            authors: text(AUTHORS),
            layers: Vec::new(),
            view: None,
            fault: None,
            documents: Documents::default(),
            summary,
        };
        let Manifest::Image(image) = tagged.manifest else { return Ok(collected) };
        let _permit = self.indexes.acquire_many(permits(&image)).await;
        collected.layers = image.layers.iter().cloned().map(CollectedLayer::of).collect();
        match OpenPackage::of_manifest(self.backend, tagged.raw, image).await {
            Ok(package) => {
                collected.documents = read_documents(self.backend, &package).await?;
                for fault in &collected.documents.faults {
                    self.warn(&format!("`{}`: {fault}", tagged.tag));
                }
                collected.add_members(&package.view);
                collected.view = Some(package.view);
            }
            Err(d1_transfer::Error::Backend(error)) if !concerns_content(error.kind()) => {
                return Err(error.into());
            }
            Err(error) => {
                let fault = with_causes(&error);
                self.warn(&format!("`{}` is skipped: {fault}", tagged.tag));
                collected.fault = Some(fault);
            }
        }
        Ok(collected)
    }

    /// Asks for the system metadata of a single object.
    async fn system_metadata(&self, artifact: i64, digest: Digest) -> Result<Collected> {
        let read = d1_transfer::open_package(self.backend, &ManifestRef::Digest(digest)).await;
        match read {
            Ok(package) => {
                let attached = Box::new(attached(self.backend, &package).await?);
                Ok(Collected::SystemMetadata { artifact, attached })
            }
            Err(error) if error.of_store().is_none_or(|error| concerns_content(error.kind())) => {
                Ok(Collected::Moved)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl CollectedLayer {
    fn of(descriptor: Descriptor) -> Self {
        let format_id = descriptor.annotation(D1_FORMAT_ID).map(str::to_owned);
        Self { descriptor, format_id, members: None }
    }
}

impl CollectedArtifact {
    /// Takes over the lists of members from the index.
    fn add_members(&mut self, view: &PackageView) {
        let records = view.index().into_iter().flat_map(|index| index.layers());
        for (layer, record) in self.layers.iter_mut().zip(records) {
            if let LayerKind::Archive(archive) = &record.kind {
                layer.members = members::encode(&archive.members);
            }
        }
    }
}
