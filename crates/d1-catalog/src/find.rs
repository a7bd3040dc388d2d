//! Searching the tagged artifacts of a repository.

use std::sync::Arc;

use bagit::Algorithm;
use d1_model::Identifier;
use d1_package::{Entry, PackageView};
use d1_transfer::parts::{Met, Tagged, Walked, concerns_content, walk, walk_described};
use d1_transfer::{Event, ListedFile, Observer, OpenPackage};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use oci_model::{Descriptor, ImageManifest, Manifest, Tag};
use registry_backend::RegistryBackend;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::artifact::ArtifactSummary;
use crate::error::{Error, Result};
use crate::search::SearchQuery;

/// A query. An artifact matches if it satisfies every field that is set.
///
/// ```
/// use d1_catalog::{Query, parse_time};
///
/// let mut query = Query::default();
/// query.title = Some("mooring".to_owned());
/// query.from = parse_time("2024-01-01");
/// query.to = parse_time("2025-01-01");
/// assert!(query.from < query.to);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Query {
    /// Identifier of the package, its resource map, its series, or an object in it.
    pub identifier: Option<Identifier>,
    /// A part of the title. Case does not matter.
    pub title: Option<String>,
    /// Object format identifier of the object, or of one in the package.
    pub format_id: Option<String>,
    /// Content digest of a package: all packages with equal content match.
    pub content_digest: Option<String>,
    /// Only artifacts created at this time or later. Artifacts without a date never match.
    pub from: Option<Timestamp>,
    /// Only artifacts created before this time. Artifacts without a date never match.
    pub to: Option<Timestamp>,
    /// Only artifacts with a file, or objects, that have this digest.
    pub digest: Option<(Algorithm, Vec<u8>)>,
    /// The content of science metadata. Only a catalogue knows it.
    pub content: SearchQuery,
    /// Whether to list the objects that match instead of the artifacts that hold them.
    pub objects: bool,
    /// Whether a manifest stays unread where the list of tags answers the query. Its kind and its size are then unknown.
    pub brief: bool,
}

impl Query {
    /// Compares title, content and creation time.
    pub(crate) fn fits_whole(&self, artifact: &ArtifactSummary) -> bool {
        let fits_title = self.title.as_ref().is_none_or(|wanted| {
            let title = artifact.title.as_deref().unwrap_or_default();
            title.to_lowercase().contains(&wanted.to_lowercase())
        });
        let fits_content = self
            .content_digest
            .as_ref()
            .is_none_or(|wanted| artifact.state.content_digest.as_ref() == Some(wanted));
        fits_title && fits_content && self.fits_time(artifact.created.as_deref())
    }

    /// Tells whether a manifest has to be read, beyond its description in the list of tags.
    fn needs_manifest(&self, described: &ArtifactSummary) -> bool {
        if self.is_ruled_out(described) {
            return false;
        }
        let is_answered = self.brief
            && !self.objects
            && self.digest.is_none()
            // Without a title, that of the only file counts.
            && described.title.is_some()
            && self.names(described)
            && self.fits_format(described.format_id.as_deref());
        !is_answered
    }

    /// Tells whether all annotations of a manifest show that it does not match.
    fn is_ruled_out(&self, described: &ArtifactSummary) -> bool {
        let mut known = self.clone();
        known.title = known.title.filter(|_| described.title.is_some());
        !known.fits_whole(described)
    }

    fn fits_time(&self, created: Option<&str>) -> bool {
        if self.from.is_none() && self.to.is_none() {
            return true;
        }
        let Some(created) = created.and_then(parse_time) else { return false };
        self.from.is_none_or(|from| created >= from) && self.to.is_none_or(|to| created < to)
    }

    /// Tells whether the artifact itself states the identifier of the query.
    pub(crate) fn names(&self, artifact: &ArtifactSummary) -> bool {
        self.identifier
            .as_ref()
            .is_none_or(|wanted| artifact.is_named(wanted.as_str()) || artifact.is_of_series(wanted.as_str()))
    }

    pub(crate) fn fits_identifier(&self, identifier: Option<&str>) -> bool {
        self.identifier.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == identifier)
    }

    /// Compares a digest. `digest_of` returns the digests that are known.
    pub(crate) fn fits_digest<'d>(&self, digest_of: impl Fn(Algorithm) -> Option<&'d [u8]>) -> bool {
        self.digest.as_ref().is_none_or(|(algorithm, wanted)| digest_of(*algorithm) == Some(wanted))
    }

    pub(crate) fn fits_format(&self, format_id: Option<&str>) -> bool {
        self.format_id.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == format_id)
    }
}

/// Parses a date and time of an annotation: RFC 3339, or a date alone, which means its first moment in UTC.
///
/// ```
/// use d1_catalog::parse_time;
///
/// assert_eq!(parse_time("2024-09-18"), parse_time("2024-09-18T00:00:00Z"));
/// assert_eq!(parse_time("last summer"), None);
/// ```
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil = if text.contains(['T', 't', ' ']) {
        text.parse::<DateTime>().ok()?
    } else {
        text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight())
    };
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// Returns a sort key for the creation time. Artifacts without a date come first.
pub(crate) fn made(created: Option<&str>) -> Option<SignedDuration> {
    created.and_then(parse_time).map(Timestamp::as_duration)
}

/// An artifact or object that matches a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Found {
    /// The artifact.
    #[serde(flatten)]
    pub artifact: ArtifactSummary,
    /// The matching object: each one if objects are listed, otherwise the one by whose identifier the artifact
    /// was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ListedFile>,
}

/// Searches all tagged artifacts and lists matches as they are found, in the order of the store's tags. If the
/// query has an identifier, the artifact that its tag names comes first.
///
/// The search reads every manifest that may match, unless the list of tags answers the query. It reads an index only if the manifest
/// cannot answer the query. For an artifact that cannot be read, the observer gets a warning.
///
/// # Errors
///
/// [`Error::NeedsCatalog`] if the query asks for the content of science metadata. Also fails if the repository does not exist,
/// or the store fails.
///
/// ```
/// use std::sync::Arc;
///
/// use d1_catalog::{Query, find};
/// use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use futures::TryStreamExt;
/// use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("temperature.csv"), "15,7.2\n")?;
/// let backend = MemoryBackend::new();
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let mut options = PushOptions::new(std::env::temp_dir());
/// options.tags = vec!["v1".parse()?];
/// options.created = Some("2024-09-18T12:00:00Z".to_owned());
/// push_directory(&backend, folder.path(), &options, &observer).await?;
///
/// let mut query = Query::default();
/// query.from = d1_catalog::parse_time("2024-09-01");
/// let found: Vec<_> = find(&backend, &query, &observer).try_collect().await?;
/// assert_eq!(found[0].artifact.tag.as_str(), "v1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find<'a>(
    backend: &'a dyn RegistryBackend,
    query: &'a Query,
    observer: &'a Arc<dyn Observer>,
) -> BoxStream<'a, Result<Found>> {
    if !query.content.is_empty() {
        return stream::once(std::future::ready(Err(Error::NeedsCatalog))).boxed();
    }
    let first = query.identifier.as_ref().and_then(tag_of);
    let reads = |tag: &Tag, descriptor: &Descriptor| {
        query.needs_manifest(&ArtifactSummary::of_descriptor(tag.clone(), descriptor))
    };
    search_in(walk_described(backend, first, reads), backend, query, observer)
        .map_ok(|searched| stream::iter(searched.found.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// Returns the tag that an identifier maps to.
pub(crate) fn tag_of(identifier: &Identifier) -> Option<Tag> {
    identifier.tag().parse().ok()
}

/// How many bytes of indexes are read at once. A larger index is read alone.
pub(crate) const INDEX_BYTES_AT_ONCE: u64 = 64 << 20;

/// How many bytes of an index one permit stands for.
pub(crate) const PERMIT_BYTES: u64 = 64 << 10;

/// An artifact, and its matches.
#[derive(Debug)]
pub(crate) struct Searched {
    pub(crate) artifact: ArtifactSummary,
    pub(crate) found: Vec<Found>,
}

/// Searches all tagged artifacts, beginning with the one that the tag `first` names.
pub(crate) fn search<'a>(
    backend: &'a dyn RegistryBackend,
    query: &'a Query,
    first: Option<Tag>,
    observer: &'a Arc<dyn Observer>,
) -> BoxStream<'a, Result<Searched>> {
    search_in(walk(backend, first).map_ok(Walked::Met).boxed(), backend, query, observer)
}

fn search_in<'a>(
    walked: BoxStream<'a, d1_transfer::Result<Walked>>,
    backend: &'a dyn RegistryBackend,
    query: &'a Query,
    observer: &'a Arc<dyn Observer>,
) -> BoxStream<'a, Result<Searched>> {
    let permits = usize::try_from(INDEX_BYTES_AT_ONCE / PERMIT_BYTES).unwrap_or(1);
    let search = Arc::new(Search { backend, query, observer, indexes: Semaphore::new(permits) });
    let parallel = backend.capabilities().manifests_at_once();
    walked
        .map_err(Error::from)
        .map_ok(move |walked| {
            let search = Arc::clone(&search);
            async move { search.of(walked).await }
        })
        .try_buffered(parallel)
        .try_filter_map(|searched| std::future::ready(Ok(searched)))
        .boxed()
}

fn warn(observer: &Arc<dyn Observer>, tag: &Tag, error: &dyn std::error::Error) {
    let mut text = format!("`{tag}` is skipped: {error}");
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
    async fn of(&self, walked: Walked) -> Result<Option<Searched>> {
        match walked {
            Walked::Met(Met::Artifact(tagged)) => self.look_at(*tagged).await.map(Some),
            Walked::Met(Met::Unreadable { tag, error }) => {
                warn(self.observer, &tag, &error);
                Ok(None)
            }
            Walked::Described(tag, descriptor) => Ok(Some(self.described(tag, &descriptor))),
        }
    }

    /// Returns an artifact that the list of tags describes well enough for the query.
    fn described(&self, tag: Tag, descriptor: &Descriptor) -> Searched {
        let artifact = ArtifactSummary::of_descriptor(tag, descriptor);
        let fits = !self.query.is_ruled_out(&artifact);
        let found = fits.then(|| Found { artifact: artifact.clone(), object: None });
        Searched { artifact, found: found.into_iter().collect() }
    }

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

    /// Returns every matching object.
    async fn objects(&self, artifact: &ArtifactSummary, tagged: Tagged) -> Result<Vec<Found>> {
        let Some(view) = self.view(tagged).await? else { return Ok(Vec::new()) };
        let fits = |file: &ListedFile| {
            file.identifier.is_some()
                && (self.query.fits_identifier(file.identifier.as_deref())
                    || self.query.fits_identifier(file.series_id.as_deref()))
                && self.query.fits_format(file.format_id.as_deref())
        };
        let objects = view
            .entries()
            .filter(|entry| entry.object.is_some())
            .filter(|entry| self.query.fits_digest(|algorithm| entry.digest(algorithm)))
            .map(|entry| ListedFile::from(&entry));
        let found = |object| Found { artifact: artifact.clone(), object: Some(object) };
        Ok(objects.filter(fits).map(found).collect())
    }

    /// Returns the artifact if it matches, with the object by which it matches.
    async fn whole(&self, artifact: &ArtifactSummary, tagged: Tagged) -> Result<Option<Found>> {
        let is_named = self.query.names(artifact);
        let has_format = self.query.fits_format(artifact.format_id.as_deref())
            || layers(&tagged.manifest).any(|format_id| self.query.fits_format(Some(format_id)));
        if is_named && has_format && self.query.digest.is_none() {
            return Ok(Some(Found { artifact: artifact.clone(), object: None }));
        }
        let Some(view) = self.view(tagged).await? else { return Ok(None) };
        let identifier = self.query.identifier.as_ref().filter(|_| !is_named);
        let mut object = identifier.and_then(|wanted| view.entry_by_identifier(wanted.as_str()));
        if identifier.is_some() && object.is_none() {
            return Ok(None);
        }
        if self.query.digest.is_some() {
            let fits = |entry: &Entry<'_>| self.query.fits_digest(|algorithm| entry.digest(algorithm));
            let Some(first) = view.entries().find(fits) else { return Ok(None) };
            object.get_or_insert(first);
        }
        let mut formats =
            view.entries().map(|entry| entry.object.and_then(|object| object.format_id.as_deref()));
        if !has_format && !formats.any(|format_id| self.query.fits_format(format_id)) {
            return Ok(None);
        }
        Ok(Some(Found { artifact: artifact.clone(), object: object.map(|entry| ListedFile::from(&entry)) }))
    }

    /// Returns the files of an artifact, or nothing if its index cannot be read.
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

/// Returns how many permits reading the index of an artifact takes.
pub(crate) fn permits(manifest: &ImageManifest) -> u32 {
    let bytes = if PackageView::has_index(manifest) { manifest.config.size } else { 0 };
    u32::try_from(bytes.min(INDEX_BYTES_AT_ONCE) / PERMIT_BYTES).unwrap_or(1).max(1)
}

/// Returns the format identifiers in the annotations of the layers.
fn layers(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.layers().iter().filter_map(|layer| layer.annotation(d1_package::annotations::D1_FORMAT_ID))
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn times_are_rfc_3339_or_a_date() {
        for (text, expected) in [
            ("2025-11-07", Some("2025-11-07T00:00:00Z")),
            ("2025-11-07T12:30:00Z", Some("2025-11-07T12:30:00Z")),
            ("2025-11-07T12:30:00.5+02:00", Some("2025-11-07T10:30:00.5Z")),
            ("2025-11-07T12:30:00", Some("2025-11-07T12:30:00Z")),
            ("yesterday", None),
            ("2025-13-01", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text).map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
    }
}
