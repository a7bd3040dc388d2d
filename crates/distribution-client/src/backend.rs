//! A repository as a backend of the contract.

use std::ops::Range;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, RawManifest};
use registry_backend::{
    BlobRead, BlobSource, Capabilities, RegistryBackend, RepositoryAdmin, Result, Subjects, TagEntry,
    WriteHint, Written,
};

use crate::lists::is_fallback_tag;
use crate::repository::Repository;

#[async_trait]
impl RegistryBackend for Repository {
    fn capabilities(&self) -> &Capabilities {
        &self.profile().capabilities
    }

    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        Self::stat_blob(self, digest).await
    }

    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        Self::read_blob(self, digest, range).await
    }

    async fn write_blob(&self, blob: &dyn BlobSource, hint: &WriteHint) -> Result<Written> {
        Self::write_blob(self, blob, hint).await
    }

    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        Self::stat_manifest(self, at).await
    }

    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        Self::read_manifest(self, at).await
    }

    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        Self::write_manifest(self, at, manifest).await
    }

    fn tags(&self) -> BoxStream<'_, Result<TagEntry>> {
        let listed = Self::tags(self).map_ok(TagEntry::new);
        let Some(lister) = self.lister() else { return listed.boxed() };
        let tags = async move {
            match lister.tags_with_digests().await {
                Ok(mut tags) => {
                    tags.retain(|entry| !is_fallback_tag(&entry.tag));
                    stream::iter(tags).map(Ok).boxed()
                }
                Err(error) => {
                    tracing::debug!(%error, "the vendor's interface does not list the tags");
                    listed.boxed()
                }
            }
        };
        tags.flatten_stream().boxed()
    }

    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        Self::referrers(self, subject, artifact_type)
    }

    async fn subjects(&self) -> Result<Option<Subjects>> {
        Self::subjects(self).await
    }

    fn admin(&self) -> Option<&dyn RepositoryAdmin> {
        Some(self)
    }
}
