//! The contract: one repository, and the promises about it.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, RawManifest, RepositoryName, Tag};

use crate::{BlobRead, BlobSource, Capabilities, RepositoryAdmin, Result};

/// One repository of OCI artifacts, in any kind of store.
///
/// Implementors keep every promise below; `registry-conformance` checks each. No method has a default:
/// [`RegistryBackendExt`](crate::RegistryBackendExt) has conveniences for callers. Callers may call methods concurrently.
/// [`MemoryBackend`](crate::MemoryBackend) is the shortest implementation.
#[async_trait]
pub trait RegistryBackend: fmt::Display + fmt::Debug + Send + Sync {
    /// Returns limits and preferences. They do not change while the value lives.
    fn capabilities(&self) -> &Capabilities;

    /// Returns the size of a blob in bytes, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If the store does not answer. A missing blob is not an error.
    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Opens a blob, or a range of its bytes, for reading.
    ///
    /// The answer states the range: a store without range reads sends the whole blob. The stream yields exactly the bytes of
    /// that range or ends in an error. The backend does *not* hash the bytes: a caller that reads the whole blob uses
    /// [`verified`](crate::verified).
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the blob does not exist; [`Invalid`](crate::ErrorKind::Invalid) if the
    /// range does not lie within the blob.
    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead>;

    /// Stores a blob, unless it exists.
    ///
    /// The blob appears under its digest when all bytes are stored and have that digest.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the source's bytes do not have the size or the digest that it states;
    /// [`TooLarge`](crate::ErrorKind::TooLarge) above [`Capabilities::max_blob_bytes`]; the errors of the source.
    async fn write_blob(&self, blob: &dyn BlobSource, hint: &WriteHint) -> Result<Written>;

    /// Returns the descriptor of a manifest, with at least type, digest and size, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If the store does not answer. A missing manifest is not an error.
    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>>;

    /// Returns a manifest's bytes, verified for size and digest.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound); [`Invalid`](crate::ErrorKind::Invalid) if the stored bytes are not the
    /// manifest's; [`TooLarge`](crate::ErrorKind::TooLarge) above [`oci_model::MANIFEST_READ_LIMIT`].
    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest>;

    /// Stores a manifest, and points the tag to it if `at` is a tag.
    ///
    /// A tag moves in one step, and only to a manifest whose blobs and children all exist. Afterwards, a manifest with a
    /// `subject` is among the subject's [`referrers`](Self::referrers).
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the bytes are not a valid manifest or `at` is another digest;
    /// [`Incomplete`](crate::ErrorKind::Incomplete) if a blob or child is missing;
    /// [`TooLarge`](crate::ErrorKind::TooLarge) above [`Capabilities::max_manifest_bytes`].
    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()>;

    /// Lists all tags, each once, in any order.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the repository does not exist, as far as the store can tell.
    fn tags(&self) -> BoxStream<'_, Result<TagEntry>>;

    /// Lists the manifests whose `subject` is this digest, each once, with artifact type and annotations; with `artifact_type`,
    /// only those of that type. A missing subject has no referrers.
    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>>;

    /// Tells in one go which manifests may have referrers at this time, so that a caller that copies many manifests need not ask
    /// [`referrers`](Self::referrers) for each. `None` if only that method tells.
    ///
    /// Registries without the referrers API keep the referrers of a subject under a tag: the list of tags names all subjects
    /// (distribution-spec, "Referrers Tag Schema").
    ///
    /// # Errors
    ///
    /// As [`tags`](RegistryBackend::tags).
    async fn subjects(&self) -> Result<Option<Subjects>> {
        Ok(None)
    }

    /// Lists the names in the store that are not tags, each with the digest of its manifest. Only image layouts have such names: other
    /// programs write full references there (image-spec annotations.md, `org.opencontainers.image.ref.name`).
    ///
    /// # Errors
    ///
    /// As [`tags`](RegistryBackend::tags).
    fn other_names(&self) -> BoxStream<'_, Result<(String, Digest)>> {
        Box::pin(futures::stream::empty())
    }

    /// Lists all tags as [`tags`](RegistryBackend::tags), each with the descriptor of its manifest if the list states artifact type and
    /// all annotations. Only image layouts do. The list is a claim: a caller that relies on it learns nothing about the manifest's bytes.
    ///
    /// # Errors
    ///
    /// As [`tags`](RegistryBackend::tags).
    fn described_tags(&self) -> BoxStream<'_, Result<(TagEntry, Option<Descriptor>)>> {
        Box::pin(self.tags().map_ok(|entry| (entry, None)))
    }

    /// Returns the administration of the repository, if the store has one.
    fn admin(&self) -> Option<&dyn RepositoryAdmin>;
}

/// Tells whether a manifest may have referrers, by its digest.
pub type Subjects = Box<dyn Fn(&Digest) -> bool + Send + Sync>;

/// A tag in the list of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagEntry {
    /// The tag.
    pub tag: Tag,
    /// The digest of the manifest that it names, if the list states it.
    pub digest: Option<Digest>,
}

impl TagEntry {
    /// Returns the entry of a tag in a list that states no digests.
    #[must_use]
    pub fn new(tag: Tag) -> Self {
        Self { tag, digest: None }
    }

    /// Returns the entry with the digest of the manifest.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }
}

/// Knowledge of the caller that may save sending a blob.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriteHint {
    /// Another repository of the same registry that has the blob and from which it can be mounted.
    pub mount_from: Option<RepositoryName>,
    /// Send the blob even if the store has it, because the stored bytes are damaged.
    pub replace: bool,
}

impl WriteHint {
    /// Returns the hint with a repository to mount from.
    #[must_use]
    pub fn with_mount_from(mut self, repository: RepositoryName) -> Self {
        self.mount_from = Some(repository);
        self
    }

    /// Returns the hint that the stored blob is damaged and must be sent again.
    #[must_use]
    pub fn replacing(mut self) -> Self {
        self.replace = true;
        self
    }
}

/// How a blob came to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    /// It existed before.
    AlreadyThere,
    /// The store linked it from another repository.
    Mounted,
    /// The backend sent its bytes.
    Uploaded,
}
