//! The content of the registry: repositories, uploads in progress, and blobs in temporary files, so that large ones need no memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use oci_model::{Descriptor, Digest, DigestAlgorithm, DigestHasher, Manifest, ManifestRef, RawManifest, Tag};
use scripted_http::Pieces;
use tempfile::TempDir;

/// All that the registry holds.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) spool: Spool,
    state: Mutex<State>,
    next_upload: AtomicU64,
    /// How long a manifest without a tag stays, or `None` if forever.
    untagged_lifetime: Option<Duration>,
    /// How long a collection spares a blob that no manifest names.
    blob_lease: Option<Duration>,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    uploads: HashMap<String, Arc<Upload>>,
    /// How much later it is here than on the clock.
    later: Duration,
}

/// One repository.
#[derive(Clone, Debug, Default)]
pub(super) struct Repository {
    pub(super) blobs: HashMap<Digest, u64>,
    pub(super) manifests: HashMap<Digest, RawManifest>,
    /// In the order in which the tags were first written.
    pub(super) tags: Vec<(Tag, Digest)>,
    /// Tags that were deleted and not written again.
    pub(super) deleted_tags: HashSet<Tag>,
    /// Until when manifests stay that no tag names, where they do not stay forever.
    kept_until: HashMap<Digest, Instant>,
    /// Until when a collection spares blobs.
    leased_until: HashMap<Digest, Instant>,
}

/// An upload in progress.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) repository: String,
    /// Held while a request adds to it.
    pub(super) content: tokio::sync::Mutex<Growing>,
    /// Counts the requests that changed it; a registry may put it into the location.
    pub(super) version: AtomicU64,
    /// Size in bytes, for those who ask while the content is held.
    pub(super) size: AtomicU64,
    /// How many `PATCH` requests added to it, and how many of them had `Content-Range`.
    pub(super) patches: AtomicU64,
    pub(super) ranged_patches: AtomicU64,
    /// Set when a chunk was smaller than the smallest that is announced: only the last one may be.
    pub(super) had_small_chunk: std::sync::atomic::AtomicBool,
}

impl Store {
    pub(super) fn new(untagged_lifetime: Option<Duration>, blob_lease: Option<Duration>) -> io::Result<Self> {
        Ok(Self {
            spool: Spool::new()?,
            state: Mutex::default(),
            next_upload: AtomicU64::new(1),
            untagged_lifetime,
            blob_lease,
        })
    }

    /// Makes it later.
    pub(super) fn pass_time(&self, time: Duration) {
        self.state().later += time;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a repository; one that was never written to is empty.
    pub(super) fn look<T>(&self, repository: &str, look: impl FnOnce(&Repository) -> T) -> T {
        let mut state = self.state();
        let now = Instant::now() + state.later;
        match state.repositories.get_mut(repository) {
            Some(found) => {
                self.expire(found, now);
                look(found)
            }
            None => look(&Repository::default()),
        }
    }

    /// Changes a repository, which is made if it is not there.
    pub(super) fn change<T>(&self, repository: &str, change: impl FnOnce(&mut Repository) -> T) -> T {
        let mut state = self.state();
        let now = Instant::now() + state.later;
        let found = state.repositories.entry(repository.to_owned()).or_default();
        self.expire(found, now);
        change(found)
    }

    /// Removes the manifests whose time is over.
    fn expire(&self, repository: &mut Repository, now: Instant) {
        if self.untagged_lifetime.is_none() {
            return;
        }
        let mut kept: HashSet<Digest> = HashSet::new();
        let tagged = repository.tags.iter().map(|(_, digest)| digest);
        let still = repository.kept_until.iter().filter(|(_, until)| now < **until).map(|(digest, _)| digest);
        let mut front: Vec<Digest> = tagged.chain(still).cloned().collect();
        for (digest, raw) in &repository.manifests {
            // A manifest with a subject stays forever.
            if raw.parse().is_ok_and(|manifest| manifest.subject().is_some()) {
                front.push(digest.clone());
            }
        }
        while let Some(digest) = front.pop() {
            let children = repository.manifests.get(&digest).and_then(|raw| raw.parse().ok());
            let children = children.map(|manifest: Manifest| manifest.children().to_vec());
            front.extend(children.into_iter().flatten().map(|child| child.digest));
            kept.insert(digest);
        }
        repository.manifests.retain(|digest, _| kept.contains(digest));
    }

    /// Returns the names of all repositories, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.state().repositories.keys().cloned().collect()
    }

    /// Tells whether anything was ever written to a repository.
    pub(super) fn knows(&self, repository: &str) -> bool {
        self.state().repositories.contains_key(repository)
    }

    /// Returns the size of a blob in any repository.
    pub(super) fn blob_anywhere(&self, digest: &Digest) -> Option<u64> {
        self.state().repositories.values().find_map(|repository| repository.blobs.get(digest).copied())
    }

    /// Opens an upload.
    pub(super) fn start_upload(&self, repository: &str) -> io::Result<Arc<Upload>> {
        let number = self.next_upload.fetch_add(1, Ordering::Relaxed);
        let upload = Arc::new(Upload {
            id: format!("00000000-0000-4000-8000-{number:012x}"),
            repository: repository.to_owned(),
            content: tokio::sync::Mutex::new(self.spool.create()?),
            version: AtomicU64::new(0),
            size: AtomicU64::new(0),
            patches: AtomicU64::new(0),
            ranged_patches: AtomicU64::new(0),
            had_small_chunk: false.into(),
        });
        self.state().uploads.insert(upload.id.clone(), upload.clone());
        Ok(upload)
    }

    pub(super) fn upload(&self, repository: &str, id: &str) -> Option<Arc<Upload>> {
        self.state().uploads.get(id).filter(|upload| upload.repository == repository).cloned()
    }

    pub(super) fn end_upload(&self, id: &str) -> bool {
        self.state().uploads.remove(id).is_some()
    }

    pub(super) fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Stores content as a blob.
    pub(super) fn store_blob(&self, repository: &str, digest: &Digest, content: &Growing) -> io::Result<()> {
        content.keep_as(&self.spool.blob_path(digest))?;
        self.link_blob(repository, digest, content.size());
        Ok(())
    }

    /// Links a blob to a repository, with a new lease.
    pub(super) fn link_blob(&self, repository: &str, digest: &Digest, size: u64) {
        let until = self.blob_lease.map(|lease| Instant::now() + self.state().later + lease);
        self.change(repository, |repository| {
            repository.blobs.insert(digest.clone(), size);
            repository.leased_until.extend(until.map(|until| (digest.clone(), until)));
        });
    }

    /// Stores a manifest, and makes the tag name it if `at` is a tag.
    pub(super) fn store_manifest(&self, repository: &str, at: &ManifestRef, manifest: &RawManifest) {
        let until = self.untagged_lifetime.map(|lifetime| Instant::now() + self.state().later + lifetime);
        self.change(repository, |repository| {
            repository.manifests.insert(manifest.digest().clone(), manifest.clone());
            let ManifestRef::Tag(tag) = at else {
                repository.kept_until.extend(until.map(|until| (manifest.digest().clone(), until)));
                return;
            };
            repository.deleted_tags.remove(tag);
            match repository.tags.iter_mut().find(|(known, _)| known == tag) {
                Some((_, digest)) => *digest = manifest.digest().clone(),
                None => repository.tags.push((tag.clone(), manifest.digest().clone())),
            }
        });
    }

    /// Removes all blobs to which no manifest refers, without those that have a lease if these are spared.
    pub(super) fn collect(&self, spares_leased: bool) {
        let mut state = self.state();
        let now = Instant::now() + state.later;
        for repository in state.repositories.values_mut() {
            let used: HashSet<Digest> = repository
                .manifests
                .values()
                .filter_map(|raw| raw.parse().ok())
                .flat_map(|manifest| {
                    manifest.blobs().into_iter().map(|blob| blob.digest.clone()).collect::<Vec<_>>()
                })
                .collect();
            let leases = &repository.leased_until;
            let is_spared =
                |digest: &Digest| spares_leased && leases.get(digest).is_some_and(|until| now < *until);
            repository.blobs.retain(|digest, _| used.contains(digest) || is_spared(digest));
        }
    }
}

impl Repository {
    pub(super) fn find(&self, at: &ManifestRef) -> Option<&RawManifest> {
        let digest = match at {
            ManifestRef::Digest(digest) => digest,
            ManifestRef::Tag(tag) => {
                self.tags.iter().find(|(known, _)| known == tag).map(|(_, digest)| digest)?
            }
        };
        self.manifests.get(digest)
    }

    /// The first blob or child of a manifest that is not there. Layers that must not be distributed may be elsewhere
    /// (image-spec layer.md, "Non-Distributable Layers"), if the registry allows it.
    pub(super) fn missing(&self, manifest: &Manifest, may_be_elsewhere: bool) -> Option<Digest> {
        let is_elsewhere = |blob: &&Descriptor| {
            let kind = blob.media_type.as_str();
            may_be_elsewhere && (kind.contains(".nondistributable.") || kind.contains(".foreign."))
        };
        let blobs = manifest.blobs().into_iter().filter(|blob| !is_elsewhere(blob)).map(|blob| &blob.digest);
        let children = manifest.children().iter().map(|child| &child.digest);
        blobs
            .filter(|digest| !self.blobs.contains_key(digest))
            .chain(children.filter(|digest| !self.manifests.contains_key(digest)))
            .next()
            .cloned()
    }

    /// Tells whether a manifest has a subject.
    pub(super) fn has_subject(&self, digest: &Digest) -> bool {
        let raw = self.manifests.get(digest);
        raw.and_then(|raw| raw.parse().ok()).is_some_and(|manifest: Manifest| manifest.subject().is_some())
    }

    /// The manifests whose subject is this digest, in the order of their digests.
    pub(super) fn referrers(&self, subject: &Digest, uses_config_type: bool) -> Vec<Descriptor> {
        let mut found: Vec<_> = self
            .manifests
            .values()
            .filter_map(|raw| {
                let manifest = raw.parse().ok()?;
                manifest.subject().filter(|descriptor| descriptor.digest == *subject)?;
                let mut descriptor = raw.descriptor();
                descriptor.artifact_type = match &manifest {
                    Manifest::Image(image) if !uses_config_type => image.artifact_type.clone(),
                    _ => manifest.effective_artifact_type().cloned(),
                };
                descriptor.annotations = manifest.annotations().clone();
                Some(descriptor)
            })
            .collect();
        found.sort_by(|left, right| left.digest.cmp(&right.digest));
        found
    }
}

/// A folder that vanishes with the registry.
#[derive(Debug)]
pub(super) struct Spool {
    folder: TempDir,
    next: AtomicU64,
}

/// A file that grows, and the digest of what is in it.
#[derive(Debug)]
pub(super) struct Growing {
    path: PathBuf,
    file: File,
    hasher: DigestHasher,
    size: u64,
}

/// A state to which a growing file can be set back.
pub(super) struct Mark {
    hasher: DigestHasher,
    size: u64,
}

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            folder: tempfile::Builder::new().prefix("scripted-registry-").tempdir()?,
            next: AtomicU64::new(0),
        })
    }

    /// Opens a new empty file.
    pub(super) fn create(&self) -> io::Result<Growing> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("upload-{number}"));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Growing { path, file, hasher: DigestHasher::new(DigestAlgorithm::Sha256), size: 0 })
    }

    /// Where the content with a digest is.
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join(format!("{}-{}", digest.algorithm_name(), digest.encoded()))
    }
}

impl Growing {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    // Blocking writes: they go to the page cache of a development machine.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { hasher: self.hasher.clone(), size: self.size }
    }

    pub(super) fn set_back(&mut self, mark: Mark) -> io::Result<()> {
        self.file.set_len(mark.size)?;
        self.file.seek(SeekFrom::Start(mark.size))?;
        self.hasher = mark.hasher;
        self.size = mark.size;
        Ok(())
    }

    /// Returns the digest of the content with the algorithm of `like`, or `None` if it is unknown.
    pub(super) fn digest_like(&mut self, like: &Digest) -> io::Result<Option<Digest>> {
        if like.algorithm() == Some(DigestAlgorithm::Sha256) {
            return Ok(Some(self.hasher.clone().finish()));
        }
        let Some(mut hasher) = DigestHasher::matching(like) else { return Ok(None) };
        self.file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = self.file.read(&mut buffer)?;
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
                return Ok(Some(hasher.finish()));
            };
            hasher.update(read);
        }
    }

    /// Cuts the content while its digest stays that of the whole.
    pub(super) fn spoil(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    /// Moves the file to its final place.
    pub(super) fn keep_as(&self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // It was renamed, or is of no use; the folder is removed as a whole in any case.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads a part of a file.
pub(super) fn read(path: &Path, start: u64, length: u64) -> io::Result<Pieces> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    Ok(futures::stream::try_unfold((file, length), |(mut file, left)| async move {
        let mut buffer = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(128 * 1024)];
        let count = file.read(&mut buffer)?;
        buffer.truncate(count);
        let next = left.saturating_sub(count as u64);
        Ok((count > 0).then(|| (Bytes::from(buffer), (file, next))))
    })
    .boxed())
}
