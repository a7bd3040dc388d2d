//! Finding out whether a store has an object already, and under which names it may go if not.

use d1_model::Identifier;
use d1_package::annotations::{D1_FORMAT_ID, D1_IDENTIFIER};
use d1_package::object_layer_of;
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, RawManifest, Tag};
use registry_backend::RegistryBackend;

use crate::{Error, Result};

/// An object that is to be in a store.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// The manifest that it gets if it is not there.
    pub(crate) manifest: RawManifest,
    /// Digest of its content.
    pub(crate) content: &'a Digest,
    pub(crate) identifier: &'a Identifier,
    /// Tags that were asked for; without any, the one that follows from the identifier.
    pub(crate) tags: &'a [Tag],
    /// Whether it has to have exactly this manifest, since people said what is in it.
    pub(crate) exactly: bool,
}

/// Where an object is or goes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The manifest: an older one of the same object is as good, so that newer system metadata change no object.
    pub(crate) manifest: RawManifest,
    /// The tags that name it; without any, it has its digest alone.
    pub(crate) tags: Vec<Tag>,
    /// Whether it is there already under all of these names.
    pub(crate) is_there: bool,
}

/// Finds the place of an object.
///
/// # Errors
///
/// [`Error::TagTaken`] if the tag of the identifier names something else, unless that is a package of this identifier: then
/// the object goes without a tag.
pub(crate) async fn find_place(backend: &dyn RegistryBackend, wanted: &Wanted<'_>) -> Result<Place> {
    let mut tags = match wanted.tags {
        [] => wanted.identifier.tag().parse().ok().into_iter().collect(),
        tags => tags.to_vec(),
    };
    let mut manifest = wanted.manifest.clone();
    let named = stat_all(backend, &tags).await?;
    let other = named.iter().flatten().find(|found| found.digest != *manifest.digest());
    if let (Some(tag), Some(other)) = (tags.first(), other) {
        match look_at(backend, other, wanted).await? {
            Found::Same(found) if !wanted.exactly => manifest = found,
            Found::Package if wanted.tags.is_empty() => tags.clear(),
            Found::Other(what) if wanted.tags.is_empty() => {
                let (tag, identifier) = (tag.clone(), wanted.identifier.to_string());
                return Err(Error::TagTaken { tag, identifier, what });
            }
            // A tag that was asked for goes where people want it.
            _ => {}
        }
    }
    let is_this =
        |found: &Option<Descriptor>| found.as_ref().is_some_and(|found| found.digest == *manifest.digest());
    let is_there = match tags.is_empty() {
        true => is_this(&backend.stat_manifest(&ManifestRef::Digest(manifest.digest().clone())).await?),
        false => named.iter().all(is_this),
    };
    Ok(Place { manifest, tags, is_there })
}

async fn stat_all(backend: &dyn RegistryBackend, tags: &[Tag]) -> Result<Vec<Option<Descriptor>>> {
    let mut found = Vec::with_capacity(tags.len());
    for tag in tags {
        found.push(backend.stat_manifest(&ManifestRef::Tag(tag.clone())).await?);
    }
    Ok(found)
}

/// What a tag names that is not the manifest that was looked for.
enum Found {
    /// The same object, by a manifest that was made of other system metadata.
    Same(RawManifest),
    /// The same object, by a manifest that says less.
    Lesser,
    /// A package of this identifier.
    Package,
    /// Something else, in words.
    Other(String),
}

async fn look_at(backend: &dyn RegistryBackend, found: &Descriptor, wanted: &Wanted<'_>) -> Result<Found> {
    let raw = backend.read_manifest(&ManifestRef::Digest(found.digest.clone())).await?;
    let Ok(Manifest::Image(manifest)) = raw.parse() else {
        return Ok(Found::Other("an image index".to_owned()));
    };
    if let Some(layer) = object_layer_of(&manifest, wanted.identifier) {
        return Ok(match (layer.digest == *wanted.content, layer.annotation(D1_FORMAT_ID)) {
            (true, Some(_)) => Found::Same(raw),
            (true, None) => Found::Lesser,
            (false, _) => Found::Other(format!("another object of this identifier, {}", layer.digest)),
        });
    }
    Ok(match manifest.annotations.get(D1_IDENTIFIER) {
        Some(stated) if stated == wanted.identifier.as_str() => Found::Package,
        Some(stated) => Found::Other(format!("`{stated}`")),
        None => Found::Other("an artifact without an identifier".to_owned()),
    })
}
