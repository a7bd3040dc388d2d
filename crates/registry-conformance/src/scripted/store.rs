//! What the registry holds: repositories, and uploads in progress.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci_model::{Descriptor, Digest, Manifest, ManifestRef, RawManifest, Tag};

use super::spool::{Growing, Spool};

/// All that the registry holds.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) spool: Spool,
    state: Mutex<State>,
    next_upload: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    uploads: HashMap<String, Arc<Upload>>,
}

/// One repository.
#[derive(Clone, Debug, Default)]
pub(super) struct Repository {
    pub(super) blobs: HashMap<Digest, u64>,
    pub(super) manifests: HashMap<Digest, RawManifest>,
    /// In the order in which the tags were first written.
    pub(super) tags: Vec<(Tag, Digest)>,
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
    /// Set when a chunk was smaller than the smallest that is announced: only the last one may be.
    pub(super) had_small_chunk: std::sync::atomic::AtomicBool,
}

impl Store {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { spool: Spool::new()?, state: Mutex::default(), next_upload: AtomicU64::new(1) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a repository; one that was never written to is empty.
    pub(super) fn look<T>(&self, repository: &str, look: impl FnOnce(&Repository) -> T) -> T {
        match self.state().repositories.get(repository) {
            Some(found) => look(found),
            None => look(&Repository::default()),
        }
    }

    /// Changes a repository, which is made if it is not there.
    pub(super) fn change<T>(&self, repository: &str, change: impl FnOnce(&mut Repository) -> T) -> T {
        change(self.state().repositories.entry(repository.to_owned()).or_default())
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
        self.change(repository, |repository| repository.blobs.insert(digest.clone(), content.size()));
        Ok(())
    }

    /// Stores a manifest, and makes the tag name it if `at` is a tag.
    pub(super) fn store_manifest(&self, repository: &str, at: &ManifestRef, manifest: &RawManifest) {
        self.change(repository, |repository| {
            repository.manifests.insert(manifest.digest().clone(), manifest.clone());
            let ManifestRef::Tag(tag) = at else { return };
            match repository.tags.iter_mut().find(|(known, _)| known == tag) {
                Some((_, digest)) => *digest = manifest.digest().clone(),
                None => repository.tags.push((tag.clone(), manifest.digest().clone())),
            }
        });
    }

    /// Removes all blobs to which no manifest refers.
    pub(super) fn collect(&self) {
        for repository in self.state().repositories.values_mut() {
            let used: HashSet<Digest> = repository
                .manifests
                .values()
                .filter_map(|raw| raw.parse().ok())
                .flat_map(|manifest| {
                    manifest.blobs().into_iter().map(|blob| blob.digest.clone()).collect::<Vec<_>>()
                })
                .collect();
            repository.blobs.retain(|digest, _| used.contains(digest));
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

    /// The first blob or child of a manifest that is not there.
    pub(super) fn missing(&self, manifest: &Manifest) -> Option<Digest> {
        let blobs = manifest.blobs().into_iter().map(|blob| &blob.digest);
        let children = manifest.children().iter().map(|child| &child.digest);
        blobs
            .filter(|digest| !self.blobs.contains_key(digest))
            .chain(children.filter(|digest| !self.manifests.contains_key(digest)))
            .next()
            .cloned()
    }

    /// The manifests whose subject is this digest, in the order of their digests.
    pub(super) fn referrers(&self, subject: &Digest) -> Vec<Descriptor> {
        let mut found: Vec<_> = self
            .manifests
            .values()
            .filter_map(|raw| {
                let manifest = raw.parse().ok()?;
                manifest.subject().filter(|descriptor| descriptor.digest == *subject)?;
                let mut descriptor = raw.descriptor();
                descriptor.artifact_type = manifest.effective_artifact_type().cloned();
                descriptor.annotations = manifest.annotations().clone();
                Some(descriptor)
            })
            .collect();
        found.sort_by(|left, right| left.digest.cmp(&right.digest));
        found
    }
}
