//! A repository in memory, for tests and as the shortest example of the contract.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, DigestHasher, Manifest, ManifestRef, MediaType, RawManifest, Tag};

use crate::{
    BlobRead, BlobSource, Capabilities, Error, ErrorKind, Pruner, RegistryBackend, RepositoryAdmin, Result,
    TagEntry, WriteHint, Written,
};

/// A repository in memory.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    capabilities: Capabilities,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, Bytes>,
    manifests: HashMap<Digest, RawManifest>,
    tags: BTreeMap<Tag, Digest>,
}

impl MemoryBackend {
    /// Returns an empty repository.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an empty repository with these limits, for tests of callers that must respect them.
    pub fn with_capabilities(capabilities: Capabilities) -> Self {
        Self { capabilities, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one insertion or removal: a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, at: &ManifestRef) -> Option<&RawManifest> {
        let digest = match at {
            ManifestRef::Digest(digest) => digest,
            ManifestRef::Tag(tag) => self.tags.get(tag)?,
        };
        self.manifests.get(digest)
    }

    fn missing_content(&self, manifest: &Manifest) -> Option<Digest> {
        let blob = manifest.blobs().into_iter().find(|blob| !self.blobs.contains_key(&blob.digest));
        let child = || manifest.children().iter().find(|child| !self.manifests.contains_key(&child.digest));
        blob.or_else(child).map(|missing| missing.digest.clone())
    }
}

#[async_trait]
impl RegistryBackend for MemoryBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.state().blobs.get(digest).map(|bytes| bytes.len() as u64))
    }

    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        let blob = self.state().blobs.get(digest).cloned();
        let blob = blob.ok_or_else(|| Error::new(ErrorKind::NotFound, "read blob", digest))?;
        let blob_size = blob.len() as u64;
        let range = range.unwrap_or(0..blob_size);
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else {
            return Err(outside(digest, &range, blob_size));
        };
        if start > end || end > blob.len() {
            return Err(outside(digest, &range, blob_size));
        }
        let stream = futures::stream::iter([Ok(blob.slice(start..end))]).boxed();
        Ok(BlobRead { range, blob_size, stream })
    }

    async fn write_blob(&self, blob: &dyn BlobSource, hint: &WriteHint) -> Result<Written> {
        let digest = blob.digest();
        let invalid = |reason| Error::new(ErrorKind::Invalid, "write blob", digest).because(reason);
        if !hint.replace && self.stat_blob(digest).await?.is_some() {
            return Ok(Written::AlreadyThere);
        }
        if self.capabilities.max_blob_bytes.is_some_and(|limit| blob.size() > limit) {
            return Err(Error::new(ErrorKind::TooLarge, "write blob", digest));
        }
        let mut hasher = DigestHasher::matching(digest)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "write blob", digest))?;
        let mut bytes = BytesMut::new();
        let mut stream = blob.open(0).await?;
        while let Some(chunk) = stream.try_next().await? {
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > blob.size() {
                return Err(invalid(format!("expected {} bytes, found more", blob.size())));
            }
        }
        if bytes.len() as u64 != blob.size() {
            return Err(invalid(format!("expected {} bytes, found {}", blob.size(), bytes.len())));
        }
        let actual = hasher.finish();
        if actual != *digest {
            return Err(invalid(format!("found bytes with the digest {actual}")));
        }
        self.state().blobs.insert(digest.clone(), bytes.freeze());
        Ok(Written::Uploaded)
    }

    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        Ok(self.state().find(at).map(RawManifest::descriptor))
    }

    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        let found = self.state().find(at).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "read manifest", at))
    }

    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        let fail = |kind| Error::new(kind, "write manifest", at);
        if manifest.bytes().len() as u64 > self.capabilities.max_manifest_bytes {
            return Err(fail(ErrorKind::TooLarge));
        }
        let parsed = manifest.parse().map_err(|error| fail(ErrorKind::Invalid).caused_by(error))?;
        if matches!(at, ManifestRef::Digest(digest) if digest != manifest.digest()) {
            return Err(fail(ErrorKind::Invalid).because(format!("the manifest is {}", manifest.digest())));
        }
        let mut state = self.state();
        if let Some(missing) = state.missing_content(&parsed) {
            return Err(fail(ErrorKind::Incomplete).because(format!("{missing} is missing")));
        }
        state.manifests.insert(manifest.digest().clone(), manifest.clone());
        if let ManifestRef::Tag(tag) = at {
            state.tags.insert(tag.clone(), manifest.digest().clone());
        }
        Ok(())
    }

    fn tags(&self) -> BoxStream<'_, Result<TagEntry>> {
        let entry = |(tag, digest): (&Tag, &Digest)| TagEntry::new(tag.clone()).with_digest(digest.clone());
        let tags: Vec<_> = self.state().tags.iter().map(|found| Ok(entry(found))).collect();
        futures::stream::iter(tags).boxed()
    }

    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        let state = self.state();
        let mut found: Vec<Descriptor> = Vec::new();
        for raw in state.manifests.values() {
            let Ok(manifest) = raw.parse() else { continue };
            if manifest.subject().is_none_or(|descriptor| descriptor.digest != *subject) {
                continue;
            }
            let kind = manifest.effective_artifact_type();
            if artifact_type.is_some() && kind != artifact_type {
                continue;
            }
            let mut descriptor = raw.descriptor();
            descriptor.artifact_type = kind.cloned();
            descriptor.annotations = manifest.annotations().clone();
            found.push(descriptor);
        }
        found.sort_by(|left, right| left.digest.cmp(&right.digest));
        futures::stream::iter(found.into_iter().map(Ok)).boxed()
    }

    fn admin(&self) -> Option<&dyn RepositoryAdmin> {
        Some(self)
    }
}

#[async_trait]
impl RepositoryAdmin for MemoryBackend {
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let mut state = self.state();
        if state.manifests.remove(digest).is_none() {
            return Err(Error::new(ErrorKind::NotFound, "delete manifest", digest));
        }
        state.tags.retain(|_, tagged| tagged != digest);
        Ok(())
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        match self.state().tags.remove(tag) {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::NotFound, "delete tag", tag)),
        }
    }

    fn pruner(&self) -> Option<&dyn Pruner> {
        None
    }
}

fn outside(digest: &Digest, range: &Range<u64>, blob_size: u64) -> Error {
    Error::new(ErrorKind::Invalid, "read blob", digest)
        .because(format!("bytes {} to {} do not lie within its {blob_size} bytes", range.start, range.end))
}

impl fmt::Display for MemoryBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("memory")
    }
}
