//! What a store lets a caller administer beyond reading and writing.

use std::time::Duration;

use async_trait::async_trait;
use oci_model::{Digest, Tag};

use crate::Result;

/// Deleting, and what else a vendor's own interface can do.
#[async_trait]
pub trait RepositoryAdmin: Send + Sync {
    /// Deletes a manifest and all tags that name it; it is no longer listed among the referrers of its subject.
    /// Its blobs stay until they are pruned or collected.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if it is not there.
    async fn delete_manifest(&self, digest: &Digest) -> Result<()>;

    /// Deletes a tag; the manifest stays.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if it is not there.
    async fn delete_tag(&self, tag: &Tag) -> Result<()>;

    /// Returns the means to remove unreferenced content, where that is the caller's business.
    fn pruner(&self) -> Option<&dyn Pruner>;
}

/// Removing what nothing refers to.
#[async_trait]
pub trait Pruner: Send + Sync {
    /// Removes blobs that no listed manifest reaches, and, on request, manifests that have no tag.
    ///
    /// It is safe beside a running push: what a push has stored or relied on within the grace period stays.
    ///
    /// # Errors
    ///
    /// If the store cannot be read as a whole: nothing is removed on incomplete knowledge.
    async fn prune(&self, options: &PruneOptions) -> Result<PruneReport>;
}

/// What to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Report only.
    pub dry_run: bool,
    /// Remove also manifests without a tag, unless they are listed by an index or are the referrer of a manifest that
    /// stays.
    pub untagged: bool,
    /// How long ago unreferenced content must have been stored or relied on.
    pub grace: Duration,
}

impl Default for PruneOptions {
    /// Really removes, keeps untagged manifests, and leaves what is younger than an hour.
    fn default() -> Self {
        Self { dry_run: false, untagged: false, grace: Duration::from_secs(3600) }
    }
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// Removed blobs, manifests included.
    pub removed: Vec<Pruned>,
    /// Number of unreferenced blobs that stay because they are younger than the grace period.
    pub kept_young: u64,
    /// Left-overs of interrupted writes that were removed.
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
