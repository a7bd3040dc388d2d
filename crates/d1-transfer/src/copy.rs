//! Copying artifacts from one store to another.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use oci_model::{Digest, Manifest, ManifestRef, RawManifest, RepositoryName, Tag};
use registry_backend::{ErrorKind, RegistryBackend, WriteHint};
use serde::Serialize;

use crate::names::title;
use crate::source::BackendSource;
use crate::tagged::referrers;
use crate::upload::{Upload, Uploader};
use crate::{Error, Observer, Result};

/// Options of a copy.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Tags of the copy. Without any, only its digest names it.
    pub tags: Vec<Tag>,
    /// Whether to copy the artifacts that refer to it too, and those that refer to these.
    pub referrers: bool,
    /// The source repository, if both are on one registry. Its blobs are mounted.
    pub mount_from: Option<RepositoryName>,
    /// Whether to read blobs that the target has, and to replace damaged ones.
    pub repair: bool,
}

/// The result of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CopyReport {
    /// Digest of the artifact.
    pub digest: Digest,
    /// Number of manifests that the target now has, including the artifact's own.
    pub manifests: u64,
    /// Number of blobs that the manifests name.
    pub blobs: u64,
    /// Number of bytes sent.
    pub sent_bytes: u64,
}

/// How deep indexes and referrers may nest. It bounds the work that a hostile store can cause.
const DEPTH_LIMIT: usize = 16;

/// How many manifests one copy may read.
const MANIFEST_LIMIT: usize = 1_000_000;

/// Copies the artifact `at` from one store to another: blobs first, then manifests, then tags. Manifests are
/// copied byte for byte.
///
/// # Errors
///
/// Fails if the artifact does not exist, or either store fails. No tag has moved then.
///
/// ```
/// # use std::sync::Arc;
/// # use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use d1_transfer::{CopyOptions, copy};
/// use registry_backend::{MemoryBackend, RegistryBackendExt};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("temperature.csv"), "15,7.2\n")?;
/// # let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let (from, to) = (MemoryBackend::new(), MemoryBackend::new());
/// # let pushed = push_directory(&from, folder.path(), &PushOptions::new(std::env::temp_dir()), &observer).await?;
/// let mut options = CopyOptions::default();
/// options.tags = vec!["v1".parse()?];
/// let copied = copy(&from, &pushed.digest.clone().into(), &to, &options, &observer).await?;
/// assert_eq!(copied.digest, pushed.digest);
/// assert_eq!(to.resolve(&options.tags[0].clone().into()).await?.digest, pushed.digest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn copy(
    from: &dyn RegistryBackend,
    at: &ManifestRef,
    to: &dyn RegistryBackend,
    options: &CopyOptions,
    observer: &Arc<dyn Observer>,
) -> Result<CopyReport> {
    let root = from.read_manifest(at).await?;
    let mut hint = WriteHint::default();
    if let Some(repository) = &options.mount_from {
        hint = hint.with_mount_from(repository.clone());
    }
    let mut copying = Copying {
        from,
        to,
        options,
        uploader: Uploader::new(to, observer, hint).repairing(options.repair),
        seen: HashSet::new(),
        blobs: 0,
    };
    copying.artifact(root.clone(), 0).await?;
    for tag in &options.tags {
        write_tag(to, tag, &root).await?;
    }
    let sent_bytes = copying.uploader.totals().bytes;
    Ok(CopyReport {
        digest: root.digest().clone(),
        manifests: copying.seen.len() as u64,
        blobs: copying.blobs,
        sent_bytes,
    })
}

/// Makes a tag name a manifest. If the store names the manifest by another digest, the tag becomes what it was before.
///
/// Registries compute the SHA-256 of a manifest that is written to a tag, whatever its own digest is.
async fn write_tag(to: &dyn RegistryBackend, tag: &Tag, manifest: &RawManifest) -> Result<()> {
    let at = ManifestRef::Tag(tag.clone());
    if manifest.digest().sha256_bytes().is_some() {
        return Ok(to.write_manifest(&at, manifest).await?);
    }
    let before = to.stat_manifest(&at).await?;
    let Err(failure) = to.write_manifest(&at, manifest).await else { return Ok(()) };
    let now = to.stat_manifest(&at).await?;
    if now.map(|now| now.digest) != before.as_ref().map(|before| before.digest.clone()) {
        match (before, to.admin()) {
            (Some(before), _) => {
                let old = to.read_manifest(&ManifestRef::Digest(before.digest)).await?;
                to.write_manifest(&at, &old).await?;
            }
            (None, Some(admin)) => admin.delete_tag(tag).await?,
            (None, None) => {}
        }
    }
    Err(failure.into())
}

struct Copying<'a> {
    from: &'a dyn RegistryBackend,
    to: &'a dyn RegistryBackend,
    options: &'a CopyOptions,
    uploader: Uploader<'a>,
    seen: HashSet<Digest>,
    blobs: u64,
}

impl Copying<'_> {
    /// Copies one manifest with everything below it, then its referrers.
    fn artifact(&mut self, raw: RawManifest, depth: usize) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.seen.insert(raw.digest().clone());
            let manifest = raw.parse().map_err(|error| {
                registry_backend::Error::new(ErrorKind::Invalid, "copy manifest", raw.digest())
                    .caused_by(error)
            })?;
            self.content(&manifest, depth).await?;
            self.to.write_manifest(&ManifestRef::Digest(raw.digest().clone()), &raw).await?;
            if self.options.referrers {
                self.referrers(raw.digest(), depth).await?;
            }
            Ok(())
        })
    }

    async fn content(&mut self, manifest: &Manifest, depth: usize) -> Result<()> {
        for child in manifest.children() {
            self.below(child.digest.clone(), depth).await?;
        }
        let blobs = manifest.blobs();
        self.blobs += blobs.len() as u64;
        let sources: Vec<_> =
            blobs.iter().map(|&descriptor| BackendSource { backend: self.from, descriptor }).collect();
        let uploads = sources.iter().zip(&blobs);
        let uploads =
            uploads.map(|(source, descriptor)| Upload { source, title: title(descriptor).to_owned() });
        self.uploader.upload_all(uploads.collect()).await
    }

    /// Copies a manifest that another one names, unless it was copied before.
    async fn below(&mut self, digest: Digest, depth: usize) -> Result<()> {
        if self.seen.contains(&digest) {
            return Ok(());
        }
        if depth >= DEPTH_LIMIT || self.seen.len() >= MANIFEST_LIMIT {
            return Err(Error::TooDeep { digest });
        }
        let raw = self.from.read_manifest(&ManifestRef::Digest(digest)).await?;
        self.artifact(raw, depth + 1).await
    }

    async fn referrers(&mut self, subject: &Digest, depth: usize) -> Result<()> {
        for referrer in referrers(self.from, subject, None).await? {
            self.below(referrer.digest, depth).await?;
        }
        Ok(())
    }
}
