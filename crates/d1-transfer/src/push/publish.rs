//! The end of every push: blobs first, then the manifest, then its tags.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use oci_model::{Digest, Manifest, ManifestRef, RawManifest};
use registry_backend::{BlobSource, RegistryBackend, WriteHint};

use crate::error::{Error, Result};
use crate::event::Observer;
use crate::kept::{keep_former, tag_to_stay};
use crate::names::title;
use crate::push::{PushOptions, PushReport};
use crate::upload::{Upload, Uploader, is_loss};

/// An artifact and its blobs.
pub(crate) struct Artifact {
    pub(crate) manifest: RawManifest,
    /// The blobs that may have to be sent. Blobs that the store has for certain are not among them.
    pub(crate) blobs: Vec<Box<dyn BlobSource>>,
    /// Number and size of its files, for the report.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) identifier: Option<String>,
}

/// Stores an artifact, unless its tags already name it.
pub(crate) async fn publish(
    backend: &dyn RegistryBackend,
    artifact: Artifact,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let Artifact { manifest, files, bytes, identifier, .. } = &artifact;
    let mut options = options.clone();
    if options.tags.is_empty() {
        options.tags.extend(tag_to_stay(backend, manifest, observer));
    }
    let options = &options;
    let mut report = PushReport::new(manifest, &options.tags, (*files, *bytes), identifier.clone())?;
    // A tag may outlive blobs of its artifact.
    report.unchanged = is_there(backend, &artifact.manifest, options).await?
        && has_all_blobs(backend, &artifact.manifest).await?;
    // A push that packs everything again also checks that everything is still stored.
    if report.unchanged && !options.repack && !options.repair {
        return Ok(report);
    }
    if options.dry_run {
        estimate(backend, &artifact, &mut report).await?;
        return Ok(report);
    }
    let mut uploader = Uploader::new(backend, observer, WriteHint::default()).repairing(options.repair);
    uploader.upload_all(uploads(&artifact)).await?;
    store_manifest(backend, &artifact.manifest, options, observer).await?;
    let totals = uploader.totals();
    (report.sent_blobs, report.sent_bytes) = (totals.blobs, totals.bytes);
    Ok(report)
}

async fn store_manifest(
    backend: &dyn RegistryBackend,
    manifest: &RawManifest,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    if options.tags.is_empty() {
        backend.write_manifest(&ManifestRef::Digest(manifest.digest().clone()), manifest).await?;
    }
    for tag in &options.tags {
        if !options.forget_moved {
            keep_former(backend, tag, manifest.digest(), observer).await?;
        }
        backend.write_manifest(&ManifestRef::Tag(tag.clone()), manifest).await?;
    }
    Ok(())
}

/// Tells whether all names of the artifact name exactly this manifest, and its bytes are right.
async fn is_there(
    backend: &dyn RegistryBackend,
    manifest: &RawManifest,
    options: &PushOptions,
) -> Result<bool> {
    let digest = [ManifestRef::Digest(manifest.digest().clone())];
    let tags: Vec<_> = options.tags.iter().cloned().map(ManifestRef::Tag).collect();
    let names = if tags.is_empty() { &digest[..] } else { &tags };
    let Some((first, others)) = names.split_first() else { return Ok(false) };
    match backend.read_manifest(first).await {
        Ok(found) if found.digest() == manifest.digest() => {}
        Ok(_) => return Ok(false),
        Err(error) if is_loss(error.kind()) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    for name in others {
        match backend.stat_manifest(name).await? {
            Some(found) if found.digest == *manifest.digest() => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Tells whether the store has all blobs of a manifest, each in its size.
async fn has_all_blobs(backend: &dyn RegistryBackend, manifest: &RawManifest) -> Result<bool> {
    let Ok(manifest) = manifest.parse() else { return Ok(false) };
    let parallel = backend.capabilities().parallel_blobs.max(1);
    let blobs: Vec<(Digest, u64)> =
        manifest.blobs().into_iter().map(|blob| (blob.digest.clone(), blob.size)).collect();
    let look = |(digest, size)| async move {
        Ok::<_, Error>(backend.stat_blob(&digest).await?.is_some_and(|found| found == size))
    };
    let mut found = futures::stream::iter(blobs).map(look).buffer_unordered(parallel);
    while let Some(is_there) = found.try_next().await? {
        if !is_there {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Counts the blobs that a push would send.
async fn estimate(backend: &dyn RegistryBackend, artifact: &Artifact, report: &mut PushReport) -> Result<()> {
    let mut seen = HashSet::new();
    for source in &artifact.blobs {
        if seen.insert(source.digest()) && backend.stat_blob(source.digest()).await?.is_none() {
            report.sent_blobs += 1;
            report.sent_bytes += source.size();
        }
    }
    Ok(())
}

/// Returns the blobs with their titles.
fn uploads(artifact: &Artifact) -> Vec<Upload<'_>> {
    let manifest = artifact.manifest.parse().ok();
    let blobs = manifest.iter().flat_map(Manifest::blobs);
    let titles: HashMap<&Digest, &str> = blobs.map(|blob| (&blob.digest, title(blob))).collect();
    let title = |digest: &Digest| titles.get(digest).copied().unwrap_or(digest.as_str()).to_owned();
    artifact
        .blobs
        .iter()
        .map(|source| Upload { source: source.as_ref(), title: title(source.digest()) })
        .collect()
}
