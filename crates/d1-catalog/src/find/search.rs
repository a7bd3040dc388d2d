//! Looking at one artifact after the other: its manifest, and its index where the question needs it.

use std::sync::Arc;

use d1_package::PackageView;
use d1_transfer::parts::{Met, Tagged, concerns_content, walk};
use d1_transfer::{Event, ListedFile, Observer, OpenPackage};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use oci_model::{ImageManifest, Manifest, Tag};
use registry_backend::RegistryBackend;
use tokio::sync::Semaphore;

use super::{ArtifactSummary, Found, Query};
use crate::error::{Error, Result};

/// How many bytes of indexes are read at once; a larger index is read alone.
const INDEX_BYTES_AT_ONCE: u64 = 64 << 20;

/// What one permit to read an index stands for.
const PERMIT_BYTES: u64 = 64 << 10;

/// An artifact, and what fits the query in it.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) artifact: ArtifactSummary,
    pub(super) found: Vec<Found>,
}

/// Searches all tagged artifacts. What the tag `first` names comes first.
pub(super) fn search<'a>(
    backend: &'a dyn RegistryBackend,
    query: &'a Query,
    first: Option<Tag>,
    observer: &'a Arc<dyn Observer>,
) -> BoxStream<'a, Result<Searched>> {
    let permits = usize::try_from(INDEX_BYTES_AT_ONCE / PERMIT_BYTES).unwrap_or(1);
    let search = Arc::new(Search { backend, query, observer, indexes: Semaphore::new(permits) });
    let parallel = backend.capabilities().parallel_blobs.max(1);
    walk(backend, first)
        .map_err(Error::from)
        .try_filter_map(move |met| {
            let tagged = match met {
                Met::Artifact(tagged) => Some(tagged),
                Met::Unreadable { tag, error } => {
                    warn(observer, &tag, &error);
                    None
                }
            };
            std::future::ready(Ok(tagged))
        })
        .map_ok(move |tagged| {
            let search = Arc::clone(&search);
            async move { search.look_at(*tagged).await }
        })
        .try_buffered(parallel)
        .boxed()
}

fn warn(observer: &Arc<dyn Observer>, tag: &Tag, error: &dyn std::error::Error) {
    let mut text = format!("`{tag}` is passed over: {error}");
    if let Some(source) = error.source() {
        text += &format!(": {source}");
    }
    observer.event(&Event::Warning(&text));
}

struct Search<'a> {
    backend: &'a dyn RegistryBackend,
    query: &'a Query,
    observer: &'a Arc<dyn Observer>,
    indexes: Semaphore,
}

impl Search<'_> {
    async fn look_at(&self, tagged: Tagged) -> Result<Searched> {
        let artifact = ArtifactSummary::of(&tagged);
        if !self.query.fits_whole(&artifact) {
            return Ok(Searched { artifact, found: Vec::new() });
        }
        let found = if self.query.objects {
            self.objects(&artifact, tagged).await?
        } else {
            self.whole(&artifact, tagged).await?.into_iter().collect()
        };
        Ok(Searched { artifact, found })
    }

    /// Returns every object that fits.
    async fn objects(&self, artifact: &ArtifactSummary, tagged: Tagged) -> Result<Vec<Found>> {
        let Some(view) = self.view(tagged).await? else { return Ok(Vec::new()) };
        let fits = |file: &ListedFile| {
            file.identifier.is_some()
                && self.query.fits_identifier(file.identifier.as_deref())
                && self.query.fits_format(file.format_id.as_deref())
        };
        let objects =
            view.entries().filter(|entry| entry.object.is_some()).map(|entry| ListedFile::from(&entry));
        let found = |object| Found { artifact: artifact.clone(), object: Some(object) };
        Ok(objects.filter(fits).map(found).collect())
    }

    /// Returns the artifact if it fits, with the object that it fits by.
    async fn whole(&self, artifact: &ArtifactSummary, tagged: Tagged) -> Result<Option<Found>> {
        let is_named = self.query.names(artifact);
        let has_format = self.query.fits_format(artifact.format_id.as_deref())
            || layers(&tagged.manifest).any(|format_id| self.query.fits_format(Some(format_id)));
        if is_named && has_format {
            return Ok(Some(Found { artifact: artifact.clone(), object: None }));
        }
        let Some(view) = self.view(tagged).await? else { return Ok(None) };
        let identifier = self.query.identifier.as_ref().filter(|_| !is_named);
        let object = identifier.and_then(|wanted| view.entry_by_identifier(wanted.as_str()));
        if identifier.is_some() && object.is_none() {
            return Ok(None);
        }
        let mut formats =
            view.entries().map(|entry| entry.object.and_then(|object| object.format_id.as_deref()));
        if !has_format && !formats.any(|format_id| self.query.fits_format(format_id)) {
            return Ok(None);
        }
        Ok(Some(Found { artifact: artifact.clone(), object: object.map(|entry| ListedFile::from(&entry)) }))
    }

    /// Returns the files of an artifact, or nothing if they cannot be known.
    async fn view(&self, tagged: Tagged) -> Result<Option<PackageView>> {
        let Tagged { tag, raw, manifest } = tagged;
        let Manifest::Image(image) = manifest else { return Ok(None) };
        let _permit = self.indexes.acquire_many(permits(&image)).await;
        match OpenPackage::of_manifest(self.backend, raw, image).await {
            Ok(package) => Ok(Some(package.view)),
            Err(d1_transfer::Error::Backend(error)) if !concerns_content(error.kind()) => Err(error.into()),
            Err(error) => {
                warn(self.observer, &tag, &error);
                Ok(None)
            }
        }
    }
}

/// Returns how many permits the index of an artifact takes.
fn permits(manifest: &ImageManifest) -> u32 {
    let bytes = if PackageView::has_index(manifest) { manifest.config.size } else { 0 };
    u32::try_from(bytes.min(INDEX_BYTES_AT_ONCE) / PERMIT_BYTES).unwrap_or(1).max(1)
}

/// Returns the formats that layers are annotated with.
fn layers(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.layers().iter().filter_map(|layer| layer.annotation(d1_package::annotations::D1_FORMAT_ID))
}
