//! The end of every push: blobs first, then the manifest, then its tags.

use std::collections::HashSet;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use oci_model::{Descriptor, Digest, DigestAlgorithm, DigestHasher, Manifest, ManifestRef, RawManifest};
use registry_backend::{BlobSource, RegistryBackend, WriteHint};

use super::sources::Sources;
use crate::byte_stream::CHUNK_BYTES;
use crate::copy::title;
use crate::upload::{Upload, Uploader};
use crate::{Error, Observer, PushOptions, PushReport, PushedLayer, Result};

/// Everything that has to be in the store for an artifact to be there.
pub(crate) struct Artifact {
    pub(crate) manifest: RawManifest,
    /// The blobs that may have to be sent; those that are known to be there already are not among them.
    pub(crate) blobs: Vec<Blob>,
    /// Number and size of the files in it, for the report.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) identifier: Option<String>,
}

/// A blob of an artifact.
pub(crate) struct Blob(Box<dyn BlobSource>);

impl Blob {
    pub(crate) fn new(source: Box<dyn BlobSource>) -> Self {
        Self(source)
    }
}

/// Stores an artifact, unless its tags name it already.
pub(crate) async fn publish(
    backend: &dyn RegistryBackend,
    artifact: Artifact,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let parsed = artifact.manifest.parse().map_err(|error| {
        registry_backend::Error::new(registry_backend::ErrorKind::Invalid, "push", artifact.manifest.digest())
            .caused_by(error)
    })?;
    let mut report = report(&artifact, &parsed, options);
    report.unchanged = is_there(backend, &artifact.manifest, options).await?;
    if report.unchanged {
        return Ok(report);
    }
    let titles = Titles::of(&parsed);
    if options.dry_run {
        estimate(backend, &artifact, &mut report).await?;
        return Ok(report);
    }
    let mut uploader = Uploader::new(backend, observer, WriteHint::default());
    let began = Instant::now();
    let uploads = uploads(&artifact, &titles);
    uploader.upload_all(&uploads).await?;
    // A store that removes unreferenced blobs may have removed the first ones while the last ones were sent.
    if backend
        .capabilities()
        .unreferenced_blob_lifetime
        .is_some_and(|lifetime| began.elapsed() > lifetime / 2)
    {
        uploader.upload_all(&uploads).await?;
    }
    store_manifest(backend, &artifact.manifest, options).await?;
    let totals = uploader.totals();
    (report.sent_blobs, report.sent_bytes) = (totals.sent_blobs, totals.sent_bytes);
    Ok(report)
}

async fn store_manifest(
    backend: &dyn RegistryBackend,
    manifest: &RawManifest,
    options: &PushOptions,
) -> Result<()> {
    if options.tags.is_empty() {
        backend.write_manifest(&ManifestRef::Digest(manifest.digest().clone()), manifest).await?;
    }
    for tag in &options.tags {
        backend.write_manifest(&ManifestRef::Tag(tag.clone()), manifest).await?;
    }
    Ok(())
}

/// Tells whether the store has exactly this under all its names.
async fn is_there(
    backend: &dyn RegistryBackend,
    manifest: &RawManifest,
    options: &PushOptions,
) -> Result<bool> {
    let digest = [ManifestRef::Digest(manifest.digest().clone())];
    let tags: Vec<_> = options.tags.iter().cloned().map(ManifestRef::Tag).collect();
    let names = if tags.is_empty() { &digest[..] } else { &tags };
    for name in names {
        match backend.stat_manifest(name).await? {
            Some(found) if found.digest == *manifest.digest() => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Finds out what would be sent.
async fn estimate(backend: &dyn RegistryBackend, artifact: &Artifact, report: &mut PushReport) -> Result<()> {
    let mut seen = HashSet::new();
    for Blob(source) in &artifact.blobs {
        if seen.insert(source.digest()) && backend.stat_blob(source.digest()).await?.is_none() {
            report.sent_blobs += 1;
            report.sent_bytes += source.size();
        }
    }
    Ok(())
}

/// Returns the blobs, each digest once, with what people know them by.
fn uploads<'a>(artifact: &'a Artifact, titles: &Titles) -> Vec<Upload<'a>> {
    let mut seen = HashSet::new();
    let once = artifact.blobs.iter().filter(|Blob(source)| seen.insert(source.digest()));
    once.map(|Blob(source)| Upload { source: source.as_ref(), title: titles.title(source.digest()) })
        .collect()
}

/// What people know blobs by.
struct Titles(std::collections::HashMap<Digest, String>);

impl Titles {
    fn of(manifest: &Manifest) -> Self {
        Self(manifest.blobs().into_iter().map(|blob| (blob.digest.clone(), title(blob))).collect())
    }

    fn title(&self, digest: &Digest) -> String {
        self.0.get(digest).cloned().unwrap_or_else(|| digest.to_string())
    }
}

fn report(artifact: &Artifact, manifest: &Manifest, options: &PushOptions) -> PushReport {
    let layers: &[Descriptor] = match manifest {
        Manifest::Image(image) => &image.layers,
        Manifest::Index(_) => &[],
    };
    let artifact_type = manifest.effective_artifact_type().cloned();
    PushReport {
        digest: artifact.manifest.digest().clone(),
        size: artifact.manifest.bytes().len() as u64,
        artifact_type: artifact_type.unwrap_or_else(|| artifact.manifest.media_type().clone()),
        tags: options.tags.clone(),
        identifier: artifact.identifier.clone(),
        files: artifact.files,
        bytes: artifact.bytes,
        layers: layers
            .iter()
            .map(|layer| PushedLayer {
                title: title(layer),
                media_type: layer.media_type.clone(),
                digest: layer.digest.clone(),
                size: layer.size,
            })
            .collect(),
        sent_blobs: 0,
        sent_bytes: 0,
        unchanged: false,
    }
}

/// Hashes a range of a file: a part of one that is too large for one blob.
pub(crate) fn hash_range(sources: &Sources, path: &str, range: &Range<u64>) -> Result<Digest> {
    let failed = |error| Error::io("read", path, error);
    let mut file = sources.open(path).map_err(failed)?;
    io::copy(&mut file.by_ref().take(range.start), &mut io::sink()).map_err(failed)?;
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    let mut left = range.end - range.start;
    let mut chunk = vec![0; CHUNK_BYTES];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let count = chunk.get_mut(..wanted).map_or(Ok(0), |space| file.read(space)).map_err(failed)?;
        if count == 0 {
            return Err(Error::content(path, "it became shorter while it was pushed"));
        }
        hasher.update(chunk.get(..count).unwrap_or_default());
        left -= count as u64;
    }
    Ok(hasher.finish())
}
