//! Copying artifacts from one store to another.

use std::collections::HashSet;
use std::sync::Arc;

use d1_package::annotations::D1_NOT_PUBLIC;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, RawManifest, RepositoryName, Tag};
use registry_backend::{ErrorKind, RegistryBackend, Subjects, WriteHint};
use serde::Serialize;

use crate::kept::{keep_former, tag_to_stay};
use crate::known::Known;
use crate::names::title;
use crate::source::BackendSource;
use crate::tagged::{ReferrerBudget, referrers};
use crate::tombstone::Tombstones;
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
    /// Whether to copy artifacts that hold objects which were withdrawn from the target.
    pub include_withdrawn: bool,
    /// Whether an artifact of the target whose tag moves may become unreadable, in a store that forgets it. By default it keeps a
    /// tag that is derived from its digest.
    pub forget_moved: bool,
    /// Whether to copy artifacts with objects that not everybody may read.
    pub include_private: bool,
}

/// The result of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CopyReport {
    /// Digest of the artifact.
    pub digest: Digest,
    /// Tags of the copy.
    pub tags: Vec<Tag>,
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

/// How many referrers are written at once, and about how many bytes they have.
const BATCH_MANIFESTS: usize = 1000;
const BATCH_BYTES: usize = 32 << 20;

/// Copies the artifact `at` from one store to another: blobs first, then manifests, then tags. Manifests are
/// copied byte for byte.
///
/// # Errors
///
/// Fails if the artifact does not exist, or either store fails. [`Error::Withdrawn`] if it holds an object that was withdrawn from the
/// target. [`Error::NotPublic`] if it says that not everybody may read its objects. No tag has moved then.
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
    let tombstones = if options.include_withdrawn { Tombstones::Ignored } else { Tombstones::Asked };
    let root = from.read_manifest(at).await?;
    copy_known(
        from,
        root,
        to,
        options,
        observer,
        Facts { known: &Known::default(), tombstones, subjects: None },
    )
    .await
}

/// The facts about both stores that the copies of one run share, so that none asks again.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The blobs that earlier copies stored in the target.
    pub(crate) known: &'a Known,
    /// The tombstones of the target.
    pub(crate) tombstones: Tombstones<'a>,
    /// The manifests of the source that may have referrers. All, if it is `None`.
    pub(crate) subjects: Option<&'a Subjects>,
}

/// As [`copy`], for a caller that copies many artifacts from one store to another.
pub(crate) async fn copy_known(
    from: &dyn RegistryBackend,
    root: RawManifest,
    to: &dyn RegistryBackend,
    options: &CopyOptions,
    observer: &Arc<dyn Observer>,
    facts: Facts<'_>,
) -> Result<CopyReport> {
    let mut hint = WriteHint::default();
    if let Some(repository) = &options.mount_from {
        hint = hint.with_mount_from(repository.clone());
    }
    let mut copying = Copying {
        from,
        to,
        uploader: Uploader::new(to, observer, hint).repairing(options.repair),
        include_private: options.include_private,
        facts,
        named_by_tag: None,
        seen: HashSet::new(),
        subjects: Vec::new(),
        budget: ReferrerBudget::default(),
        blobs: 0,
    };
    // The referrers of the children of an index are listed when the children are known.
    let is_listed = options.referrers && parse(&root)?.children().is_empty();
    let mut found = Vec::new();
    if is_listed {
        copying.subjects.push(root.digest().clone());
        found = copying.list_referrers().await?;
    }
    let has_referrers = options.referrers && !(is_listed && found.is_empty());
    // Without referrers, one request stores the manifest and its tag.
    if !has_referrers && !options.tags.is_empty() && root.digest().sha256_bytes().is_some() {
        copying.named_by_tag = Some(root.digest().clone());
    }
    copying.artifact(root.clone(), 0).await?;
    if is_listed {
        copying.subjects.clear();
    }
    if has_referrers {
        copying.referrers(found).await?;
    }
    let mut tags = options.tags.clone();
    if tags.is_empty() {
        tags.extend(tag_to_stay(to, &root, observer));
    }
    for tag in &tags {
        if !options.forget_moved {
            keep_former(to, tag, root.digest(), observer).await?;
        }
        write_tag(to, tag, &root).await?;
    }
    let sent_bytes = copying.uploader.totals().bytes;
    Ok(CopyReport {
        digest: root.digest().clone(),
        tags,
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
    uploader: Uploader<'a>,
    include_private: bool,
    facts: Facts<'a>,
    /// The root, if the write of a tag stores it. Referrers come after their subject, so that it is stored by digest before them.
    named_by_tag: Option<Digest>,
    /// All manifests that were copied.
    seen: HashSet<Digest>,
    /// Those whose referrers are still to be listed.
    subjects: Vec<Digest>,
    /// The referrers that may still be listed.
    budget: ReferrerBudget,
    blobs: u64,
}

impl Copying<'_> {
    /// Copies one manifest with everything below it.
    fn artifact(&mut self, raw: RawManifest, depth: usize) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.note(raw.digest())?;
            let manifest = parse(&raw)?;
            require_public(&raw, &manifest, self.include_private)?;
            if let Manifest::Image(image) = &manifest {
                self.facts.tombstones.refuse(self.from, self.to, &raw, image).await?;
            }
            self.children(&manifest, depth).await?;
            self.upload(&[&manifest]).await?;
            if self.named_by_tag.as_ref() == Some(raw.digest()) {
                return Ok(());
            }
            Ok(self.to.write_manifest(&ManifestRef::Digest(raw.digest().clone()), &raw).await?)
        })
    }

    /// Notes a manifest that is copied now.
    fn note(&mut self, digest: &Digest) -> Result<()> {
        if self.seen.len() >= MANIFEST_LIMIT {
            return Err(Error::TooDeep { digest: digest.clone() });
        }
        self.seen.insert(digest.clone());
        self.subjects.push(digest.clone());
        Ok(())
    }

    /// Copies the manifests that an index lists, unless they were copied before.
    async fn children(&mut self, manifest: &Manifest, depth: usize) -> Result<()> {
        for child in manifest.children() {
            if self.seen.contains(&child.digest) {
                continue;
            }
            if depth >= DEPTH_LIMIT {
                return Err(Error::TooDeep { digest: child.digest.clone() });
            }
            let raw = self.from.read_manifest(&ManifestRef::Digest(child.digest.clone())).await?;
            self.artifact(raw, depth + 1).await?;
        }
        Ok(())
    }

    /// Sends the blobs of manifests.
    async fn upload(&mut self, manifests: &[&Manifest]) -> Result<()> {
        let mut left: Vec<&Descriptor> = manifests.iter().flat_map(|manifest| manifest.blobs()).collect();
        self.blobs += left.len() as u64;
        loop {
            let claim = self.facts.known.claim(left.iter().map(|blob| &blob.digest));
            let (ours, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|blob| claim.has(&blob.digest));
            self.send(&ours).await?;
            claim.stored();
            // The copies that send the others never wait while they have a claim.
            let digests: Vec<&Digest> = others.iter().map(|blob| &blob.digest).collect();
            if self.facts.known.wait(&digests).await {
                return Ok(());
            }
            left = others;
        }
    }

    async fn send(&mut self, blobs: &[&Descriptor]) -> Result<()> {
        let sources: Vec<_> =
            blobs.iter().map(|descriptor| BackendSource { backend: self.from, descriptor }).collect();
        let uploads =
            sources.iter().map(|source| Upload { source, title: title(source.descriptor).to_owned() });
        self.uploader.upload_all(uploads.collect()).await
    }

    /// Copies the referrers that were found and those of all manifests that were copied, then the referrers of these.
    async fn referrers(&mut self, mut found: Vec<Digest>) -> Result<()> {
        for _ in 0..DEPTH_LIMIT {
            found.extend(self.list_referrers().await?);
            if found.is_empty() {
                return Ok(());
            }
            let parallel = self.from.capabilities().manifests_at_once();
            let from = self.from;
            let read = |digest| async move { from.read_manifest(&ManifestRef::Digest(digest)).await };
            let mut reading = stream::iter(std::mem::take(&mut found)).map(read).buffered(parallel);
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(raw) = reading.try_next().await? {
                bytes += raw.bytes().len();
                batch.push(raw);
                if batch.len() >= BATCH_MANIFESTS || bytes >= BATCH_BYTES {
                    self.batch(std::mem::take(&mut batch)).await?;
                    bytes = 0;
                }
            }
            drop(reading);
            self.batch(batch).await?;
        }
        match self.list_referrers().await?.pop() {
            None => Ok(()),
            Some(digest) => Err(Error::TooDeep { digest }),
        }
    }

    /// Lists the referrers of all manifests whose referrers were not listed yet, without those that were copied.
    async fn list_referrers(&mut self) -> Result<Vec<Digest>> {
        let mut subjects = std::mem::take(&mut self.subjects);
        subjects.retain(|subject| self.facts.subjects.is_none_or(|may_be_one| may_be_one(subject)));
        let parallel = self.from.capabilities().manifests_at_once();
        let (from, budget) = (self.from, &self.budget);
        let list = |subject: Digest| async move { referrers(from, &subject, None, budget).await };
        let mut listing = stream::iter(subjects).map(list).buffered(parallel);
        let (mut found, mut known) = (Vec::new(), HashSet::new());
        while let Some(more) = listing.try_next().await? {
            let digests = more.into_iter().map(|referrer| referrer.digest);
            found
                .extend(digests.filter(|digest| !self.seen.contains(digest) && known.insert(digest.clone())));
        }
        Ok(found)
    }

    /// Copies referrers. Those that list no others are written at once, so that a layout lists them in few replacements of its
    /// index.
    async fn batch(&mut self, batch: Vec<RawManifest>) -> Result<()> {
        let (mut single, mut indexes) = (Vec::new(), Vec::new());
        for raw in batch {
            let manifest = parse(&raw)?;
            require_public(&raw, &manifest, self.include_private)?;
            if manifest.children().is_empty() {
                self.note(raw.digest())?;
                single.push((raw, manifest));
            } else {
                indexes.push(raw);
            }
        }
        let manifests: Vec<&Manifest> = single.iter().map(|(_, manifest)| manifest).collect();
        self.upload(&manifests).await?;
        let to = self.to;
        let write = |raw: RawManifest| async move {
            to.write_manifest(&ManifestRef::Digest(raw.digest().clone()), &raw).await
        };
        let writes = stream::iter(single).map(|(raw, _)| write(raw)).buffer_unordered(BATCH_MANIFESTS);
        writes.try_collect::<Vec<()>>().await?;
        for raw in indexes {
            // Another one may have listed it.
            if !self.seen.contains(raw.digest()) {
                self.artifact(raw, 0).await?;
            }
        }
        Ok(())
    }
}

/// Refuses an artifact that says that not everybody may read its objects, unless such artifacts are wanted.
pub(crate) fn require_public(raw: &RawManifest, manifest: &Manifest, include_private: bool) -> Result<()> {
    match manifest.annotations().get(D1_NOT_PUBLIC) {
        Some(count) if !include_private => {
            let (artifact, count) = (raw.digest().to_string(), count.parse().unwrap_or(1));
            Err(Error::NotPublic { artifact, count })
        }
        _ => Ok(()),
    }
}

pub(crate) fn parse(raw: &RawManifest) -> Result<Manifest> {
    let invalid = |error| {
        registry_backend::Error::new(ErrorKind::Invalid, "copy manifest", raw.digest()).caused_by(error)
    };
    Ok(raw.parse().map_err(invalid)?)
}
