//! The contract, method by method.

use std::ops::Range;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{
    BlobRead, BlobSource, Capabilities, Error, ErrorKind, RegistryBackend, RepositoryAdmin, Result,
    WriteHint, Written,
};

use crate::LayoutBackend;

#[async_trait]
impl RegistryBackend for LayoutBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        self.storage.size(digest).await
    }

    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        self.storage.read(digest, range).await
    }

    async fn write_blob(&self, blob: &dyn BlobSource, _hint: &WriteHint) -> Result<Written> {
        self.check_writable("write blob", blob.digest())?;
        if self.keep(blob.digest(), blob.size()).await? {
            return Ok(Written::AlreadyThere);
        }
        self.storage.store(blob).await?;
        Ok(Written::Uploaded)
    }

    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        let Some(found) = self.find(at).await? else { return Ok(None) };
        // A layout may list what it does not hold (image-spec image-layout.md, "Blobs").
        Ok(self.storage.size(&found.digest).await?.map(|_| found))
    }

    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        let target = format!("{at} in {self}");
        match self.find(at).await? {
            Some(found) => self.verified_manifest(&target, &found).await,
            None => Err(Error::new(ErrorKind::NotFound, "read manifest", target)),
        }
    }

    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        self.publish(at, manifest).await
    }

    fn tags(&self) -> BoxStream<'_, Result<Tag>> {
        let tags = async { Ok(stream::iter(self.storage.index().await?.tags().into_iter().map(Ok))) };
        stream::once(tags).try_flatten().boxed()
    }

    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        self.list_referrers(subject.clone(), artifact_type.cloned())
    }

    fn admin(&self) -> Option<&dyn RepositoryAdmin> {
        Some(self)
    }
}

impl LayoutBackend {
    /// Returns the descriptor of a manifest: tags and digests as the index lists them, digests also as nested indexes
    /// list them.
    async fn find(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        let index = self.storage.index().await?;
        if let Some(found) = index.descriptor(at) {
            return Ok(Some(found));
        }
        match at {
            ManifestRef::Tag(_) => Ok(None),
            ManifestRef::Digest(digest) => {
                Ok(self.find_nested(&index, digest).await?.map(|nested| nested.child))
            }
        }
    }
}
