//! A vendor's own interface beside the registry: it shows and changes a repository where the registry's protocol has no
//! way.

use std::time::SystemTime;

use async_trait::async_trait;
use oci_model::{Digest, RepositoryName, Tag};
use registry_backend::{Result, TagEntry};
use serde::Serialize;

/// A vendor's own way to delete manifests, where the registry has none.
#[async_trait]
pub trait ManifestDeleter: Send + Sync {
    /// Deletes a manifest, and all tags that name it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](registry_backend::ErrorKind::NotFound) if the manifest does not exist.
    async fn delete_manifest(&self, digest: &Digest) -> Result<()>;
}

/// A vendor's own list of tags, where it states digests that the registry's list lacks.
#[async_trait]
pub trait TagLister: Send + Sync {
    /// Returns all tags with their digests, in any order.
    ///
    /// # Errors
    ///
    /// If the interface does not answer the caller. The registry's own list then counts.
    async fn tags_with_digests(&self) -> Result<Vec<TagEntry>>;
}

/// A vendor's own list of the repositories of a namespace.
#[async_trait]
pub trait RepositoryLister: Send + Sync {
    /// Returns the repositories that the account may see, sorted by name.
    ///
    /// # Errors
    ///
    /// If the interface does not answer the caller.
    async fn repositories(&self) -> Result<Vec<RepositoryName>>;
}

/// One repository by its vendor's interface.
///
/// Each method fails with [`Unsupported`](registry_backend::ErrorKind::Unsupported) where the vendor has no such operation. The reason then
/// says how people do it. All fail with [`NotFound`](registry_backend::ErrorKind::NotFound) if the repository does not exist or the account may
/// not see it, and with [`Denied`](registry_backend::ErrorKind::Denied) if the account lacks the right.
#[async_trait]
pub trait VendorRepository: Send + Sync {
    /// Returns the facts about the repository.
    async fn show(&self) -> Result<RepositoryFacts>;

    /// Creates the repository.
    async fn create(&self, visibility: Visibility, description: &str) -> Result<()>;

    /// Changes who may read the repository.
    async fn set_visibility(&self, visibility: Visibility) -> Result<()>;

    /// Sets the time at which a tag ends; `None` is never.
    async fn set_tag_expiry(&self, tag: &Tag, end: Option<SystemTime>) -> Result<()>;

    /// Restores deleted content. Returns the digest if it is known.
    async fn restore(&self, what: &Deleted) -> Result<Option<Digest>>;

    /// Deletes the repository with all its content.
    async fn delete(&self) -> Result<()>;
}

/// Deleted content that a vendor can restore for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deleted {
    /// The whole repository.
    Repository,
    /// A tag, at the manifest that it named last, or at this manifest.
    Tag(Tag, Option<Digest>),
    /// A manifest, with the tags that it had.
    Manifest(Digest),
}

/// Who may read a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Accounts that have the right.
    Private,
}

/// Facts about a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RepositoryFacts {
    /// `public` or `private`, or another word of the vendor such as GitHub's `internal`.
    pub visibility: String,
    /// Text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The page for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The page where a person changes the visibility, if the interface cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility_page: Option<String>,
    /// The number of tags or versions, if the vendor states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<u64>,
    /// Whether the repository can be written, if the vendor states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_writable: Option<bool>,
    /// How long deleted content can be restored, in seconds, if the vendor states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restorable_seconds: Option<u64>,
}

impl Visibility {
    /// Returns the word that Quay and GitHub use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}
