//! Administration of a repository, beyond reading and writing.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use oci_model::{Descriptor, Digest, Tag};

use crate::Result;

/// Deletes, and hands out the pruner.
#[async_trait]
pub trait RepositoryAdmin: Send + Sync {
    /// Deletes a manifest with all its tags, and removes it from the referrers of its subject. Its blobs stay until somebody
    /// prunes the repository or the store collects them.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if it does not exist.
    async fn delete_manifest(&self, digest: &Digest) -> Result<()>;

    /// Deletes a tag; the manifest stays.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if it does not exist.
    async fn delete_tag(&self, tag: &Tag) -> Result<()>;

    /// Returns the pruner, if removing unreferenced content is the caller's job.
    fn pruner(&self) -> Option<&dyn Pruner>;
}

/// Removes unreferenced content.
#[async_trait]
pub trait Pruner: Send + Sync {
    /// Removes blobs that no listed manifest reaches and, on request, manifests without a tag.
    ///
    /// It is safe beside a running push: content that a push stored or used within the grace period stays.
    ///
    /// # Errors
    ///
    /// If the store cannot be read as a whole. Then it removes nothing.
    async fn prune(&self, options: &PruneOptions) -> Result<PruneReport>;

    /// Lists all manifests that the store lists itself, with and without a tag, whether or not their content exists.
    fn listed(&self) -> BoxStream<'_, Result<Descriptor>>;

    /// Lists all manifests again whose content the store has, after it lost its own list. The content has no tags, so those that the
    /// store still lists stay, and the others are lost. A manifest that was deleted comes back, if it was not pruned.
    ///
    /// # Errors
    ///
    /// If the content cannot be listed or read.
    async fn relist(&self) -> Result<Relisted>;
}

/// The manifests that a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relisted {
    /// The artifacts that the store lists now, with their artifact types and annotations. Some were listed before.
    pub artifacts: Vec<Descriptor>,
    /// Number of manifests that it lists now besides: those that refer to a subject, and those that an index lists.
    pub others: u64,
    /// The manifests that cannot be listed, because content to which they refer is missing.
    pub incomplete: Vec<Digest>,
}

/// Options for pruning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Report without removing.
    pub dry_run: bool,
    /// Also remove manifests without a tag, unless an index lists them or they refer to a manifest that stays.
    pub untagged: bool,
    /// The youngest age of unreferenced content to remove, since it was stored or used.
    pub grace: Duration,
}

impl Default for PruneOptions {
    /// Removes content that is older than an hour, and keeps untagged manifests.
    fn default() -> Self {
        Self { dry_run: false, untagged: false, grace: Duration::from_secs(3600) }
    }
}

/// The removed content, or with a dry run the content to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// Removed blobs, manifests included.
    pub removed: Vec<Pruned>,
    /// Number of unreferenced blobs that stay, because they are younger than the grace period.
    pub kept_young: u64,
    /// Number of removed left-overs of interrupted writes.
    pub partial_files: u64,
}

/// One removed blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}
