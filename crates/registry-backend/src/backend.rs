//! The trait itself.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use futures::stream::BoxStream;
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, RawManifest, RepositoryName, Tag};

use crate::{BlobRead, BlobSource, Capabilities, RepositoryAdmin, Result};

/// One repository of OCI artifacts, wherever it is.
///
/// Implementors fulfil every promise below; `registry-conformance` has a check for each. No method has a default:
/// conveniences for callers are in [`RegistryBackendExt`](crate::RegistryBackendExt). Methods may be called
/// concurrently.
#[async_trait]
pub trait RegistryBackend: fmt::Display + fmt::Debug + Send + Sync {
    /// Returns limits and hints, which do not change while the value lives.
    fn capabilities(&self) -> &Capabilities;

    /// Returns the size of a blob in bytes, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked; absence is no error.
    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Opens a blob, or a range of its bytes, for reading.
    ///
    /// The answer says which range comes: a store without range reads sends the whole blob. The stream yields exactly
    /// the bytes of that range or ends in an error. The bytes are *not* hashed here: who needs the whole blob hashes
    /// it as it passes ([`verified`](crate::verified)).
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the blob is not there; [`Invalid`](crate::ErrorKind::Invalid) if the
    /// range does not lie within the blob.
    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead>;

    /// Stores a blob unless it is there already.
    ///
    /// Nothing is visible under the digest before all bytes are stored and found to have it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the source's bytes do not have the size or the digest that it states;
    /// [`TooLarge`](crate::ErrorKind::TooLarge) above [`Capabilities::max_blob_bytes`]; what the source returns.
    async fn write_blob(&self, blob: &dyn BlobSource, hint: &WriteHint) -> Result<Written>;

    /// Returns the descriptor of a manifest, with at least type, digest and size, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked; absence is no error.
    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>>;

    /// Returns a manifest's bytes, verified for size and digest.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound); [`Invalid`](crate::ErrorKind::Invalid) if the bytes stored are not the
    /// manifest's; [`TooLarge`](crate::ErrorKind::TooLarge) above [`oci_model::MANIFEST_READ_LIMIT`].
    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest>;

    /// Stores a manifest, and makes the tag name it if `at` is a tag.
    ///
    /// A tag moves in one step, and only to a manifest whose blobs and children are all there. A manifest that has a
    /// `subject` is afterwards listed among the subject's [`referrers`](Self::referrers).
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the bytes are no valid manifest or `at` is another digest;
    /// [`Incomplete`](crate::ErrorKind::Incomplete) if a blob or child is missing;
    /// [`TooLarge`](crate::ErrorKind::TooLarge) above [`Capabilities::max_manifest_bytes`].
    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()>;

    /// Lists all tags, each once, in any order.
    fn tags(&self) -> BoxStream<'_, Result<Tag>>;

    /// Lists the manifests whose `subject` is this digest, each once, with artifact type and annotations; only those
    /// of one artifact type if it is given. A subject that is not there has no referrers.
    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>>;

    /// Returns what the store lets a caller administer, if anything.
    fn admin(&self) -> Option<&dyn RepositoryAdmin>;
}

/// What a caller knows about a blob that may save sending it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriteHint {
    /// Another repository of the same registry that has the blob and from which it can be mounted.
    pub mount_from: Option<RepositoryName>,
}

impl WriteHint {
    /// Returns the hint with a repository to mount from.
    #[must_use]
    pub fn with_mount_from(mut self, repository: RepositoryName) -> Self {
        self.mount_from = Some(repository);
        self
    }
}

/// How a blob came to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    /// It was there before.
    AlreadyThere,
    /// It was linked from another repository without sending it.
    Mounted,
    /// Its bytes were sent.
    Uploaded,
}
