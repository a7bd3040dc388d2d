//! Tombstones: the objects that were withdrawn from a repository do not come back unasked.

use std::collections::HashSet;

use d1_model::Identifier;
use d1_package::annotations::{D1_IDENTIFIER, D1_RESOURCE_MAP};
use d1_package::is_tombstone;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Digest, ImageManifest, ManifestRef, RawManifest, Tag};
use registry_backend::{RegistryBackend, RegistryBackendExt};

use crate::error::{Error, Result};
use crate::package::OpenPackage;

/// The beginning of the tags of tombstones.
const TAG_PREFIX: &str = "withdrawn-";

/// Up to so many objects, a request for each tombstone is cheaper than the list of all tags.
const MOST_REQUESTS: usize = 100;

/// Returns the tag of the tombstone of an object.
#[must_use]
pub fn tombstone_tag(identifier: &Identifier) -> Option<Tag> {
    let digest = Digest::sha256_of(identifier.as_str().as_bytes());
    format!("{TAG_PREFIX}{}", digest.encoded().get(..32)?).parse().ok()
}

/// Tells whether a tag is that of a tombstone.
pub(crate) fn is_tombstone_tag(tag: &Tag) -> bool {
    tag.as_str().starts_with(TAG_PREFIX)
}

/// Returns the tags of all tombstones of a repository. A repository that does not exist has none.
///
/// # Errors
///
/// If the tags cannot be listed.
pub async fn tombstone_tags(backend: &dyn RegistryBackend) -> Result<HashSet<Tag>> {
    let is_tombstone = |tag: &Tag| std::future::ready(is_tombstone_tag(tag));
    Ok(backend.tags_if_any().map_ok(|entry| entry.tag).try_filter(is_tombstone).try_collect().await?)
}

/// Refuses objects that were withdrawn from a repository.
///
/// # Errors
///
/// [`Error::Withdrawn`] with one of them. Also if the repository cannot be read.
pub async fn refuse_withdrawn(backend: &dyn RegistryBackend, objects: &HashSet<&Identifier>) -> Result<()> {
    if objects.len() > MOST_REQUESTS {
        return refuse_among(&tombstone_tags(backend).await?, objects);
    }
    let look = |identifier: Identifier| async move {
        let Some(tag) = tombstone_tag(&identifier) else { return Ok(None) };
        let found = backend.stat_manifest(&ManifestRef::Tag(tag)).await?;
        Ok::<_, Error>(found.map(|_| identifier))
    };
    let parallel = backend.capabilities().manifests_at_once();
    let objects: Vec<Identifier> = objects.iter().map(|identifier| (*identifier).clone()).collect();
    let mut found = futures::stream::iter(objects).map(look).buffer_unordered(parallel);
    while let Some(withdrawn) = found.try_next().await? {
        if let Some(identifier) = withdrawn {
            return Err(Error::Withdrawn { identifier });
        }
    }
    Ok(())
}

fn refuse_among(tombstones: &HashSet<Tag>, objects: &HashSet<&Identifier>) -> Result<()> {
    let is_withdrawn =
        |identifier: &Identifier| tombstone_tag(identifier).is_some_and(|tag| tombstones.contains(&tag));
    match objects.iter().find(|identifier| is_withdrawn(identifier)) {
        Some(identifier) => Err(Error::Withdrawn { identifier: (*identifier).clone() }),
        None => Ok(()),
    }
}

/// How a copy knows the tombstones of its target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tombstones<'a> {
    /// It copies withdrawn objects too.
    Ignored,
    /// It asks the target.
    Asked,
    /// The caller has listed their tags.
    Listed(&'a HashSet<Tag>),
}

impl Tombstones<'_> {
    /// Refuses an artifact that holds an object that was withdrawn from the target.
    ///
    /// # Errors
    ///
    /// [`Error::Withdrawn`] with the object. Also if a store cannot be read.
    pub(crate) async fn refuse(
        self,
        from: &dyn RegistryBackend,
        to: &dyn RegistryBackend,
        raw: &RawManifest,
        manifest: &ImageManifest,
    ) -> Result<()> {
        let is_empty = matches!(self, Self::Listed(tags) if tags.is_empty());
        if matches!(self, Self::Ignored) || is_empty || is_tombstone(manifest.artifact_type.as_ref()) {
            return Ok(());
        }
        let held = held_objects(from, raw, manifest).await?;
        match self {
            Self::Listed(tags) => refuse_among(tags, &held.iter().collect()),
            Self::Ignored | Self::Asked => refuse_withdrawn(to, &held.iter().collect()).await,
        }
    }
}

/// Returns the identifiers of the objects that an artifact holds, and its own.
async fn held_objects(
    from: &dyn RegistryBackend,
    raw: &RawManifest,
    manifest: &ImageManifest,
) -> Result<HashSet<Identifier>> {
    let stated = [D1_IDENTIFIER, D1_RESOURCE_MAP].map(|key| manifest.annotations.get(key)?.parse().ok());
    let mut held: HashSet<Identifier> = stated.into_iter().flatten().collect();
    if held.is_empty() && manifest.subject.is_some() {
        // An attachment that is not of DataONE holds no object.
        return Ok(held);
    }
    match OpenPackage::of_manifest(from, raw.clone(), manifest.clone()).await {
        Ok(package) => {
            let objects = package.view.entries().filter_map(|entry| entry.object?.identifier.clone());
            held.extend(objects);
        }
        Err(Error::Backend(error)) if !crate::tagged::concerns_content(error.kind()) => {
            return Err(error.into());
        }
        // Of a damaged package, the annotations count.
        Err(_) => {}
    }
    Ok(held)
}
