//! The versions of a package, from the first to the last, and what moved between them.

mod chain;
mod moved;

use std::sync::Arc;

use d1_package::annotations::D1_IDENTIFIER;
use d1_transfer::parts::{Met, walk};
use d1_transfer::{Event, Observer};
use futures::TryStreamExt;
use oci_model::{Digest, ManifestRef, Tag};
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::{Error, Result};
use chain::{Link, Links};

/// The versions of a package that a repository knows of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct History {
    /// The versions, each after the one that it replaces.
    pub versions: Vec<Version>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Version {
    /// Its identifier.
    pub identifier: String,
    /// Whether the history was asked for by this one.
    pub asked: bool,
    /// The identifier of the version that this one replaces, as it states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obsoletes: Option<String>,
    /// Whether the version that it says to replace comes after it: the statements go round in a circle.
    #[serde(skip_serializing_if = "is_false")]
    pub circular: bool,
    /// What the repository has of it; nothing if only another version names it.
    #[serde(flatten)]
    pub stored: Option<StoredVersion>,
}

/// A version that is in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct StoredVersion {
    /// Digest of the manifest.
    pub digest: Digest,
    /// A tag that names it; without one it is the artifact that was asked for, by its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// When it was made, as the annotation `org.opencontainers.image.created` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Series identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_id: Option<String>,
    /// Title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Other artifacts that state the same identifier.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Digest>,
    /// Number of its blobs that the version which it replaces has as well.
    pub shared_blobs: u64,
    /// Number of its other blobs.
    pub new_blobs: u64,
    /// Their size in bytes.
    pub new_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Returns all versions that are connected with the artifact `at`: those that it replaces, and those that replace it.
///
/// Only what replaces a version knows of it, so all tags of the repository are read, once; and the manifests of the versions
/// once more, for their blobs.
///
/// # Errors
///
/// [`Error::NoIdentifier`] if the artifact states no identifier; if it is not there; if the store fails.
pub async fn history(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    observer: &Arc<dyn Observer>,
) -> Result<History> {
    let raw = backend.read_manifest(at).await?;
    let manifest = raw.parse().map_err(|error| {
        registry_backend::Error::new(registry_backend::ErrorKind::Invalid, "read manifest", at)
            .caused_by(error)
    })?;
    let asked = manifest.annotations().get(D1_IDENTIFIER).cloned();
    let asked = asked.ok_or_else(|| Error::NoIdentifier { digest: raw.digest().clone() })?;
    let mut links = Links::default();
    links.add(&asked, Link::of(raw.digest(), None, &manifest));
    let mut artifacts = walk(backend, None);
    while let Some(met) = artifacts.try_next().await? {
        match met {
            Met::Artifact(tagged) => {
                let identifier = tagged.manifest.annotations().get(D1_IDENTIFIER);
                if let Some(identifier) = identifier {
                    links.add(identifier, Link::of(tagged.raw.digest(), Some(&tagged.tag), &tagged.manifest));
                }
            }
            Met::Unreadable { tag, error } => {
                observer.event(&Event::Warning(&format!("`{tag}` is passed over: {error}")));
            }
        }
    }
    drop(artifacts);
    let mut versions = links.connected_with(&asked);
    moved::count(backend, &mut versions, observer).await?;
    Ok(History { versions })
}
