//! From an identifier to the one artifact that is meant by it.

use std::sync::Arc;

use d1_model::Identifier;
use d1_transfer::parts::{Tagged, concerns_content};
use d1_transfer::{Event, Observer};
use futures::TryStreamExt;
use oci_model::{Digest, ManifestRef};
use registry_backend::RegistryBackend;

use super::search::search;
use super::versions::{Obsoletes, head_of_series, newest};
use super::{ArtifactKind, ArtifactSummary, Found, Query, tag_of};
use crate::{Error, Result};

/// What is wanted of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The package that has it, or holds the object that has it.
    Package,
    /// The bytes of the object that has it: of which package does not matter, if all have the same.
    Bytes,
}

/// An artifact that was found by an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Located {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Whether the tag of the identifier named it, so that nothing had to be searched.
    pub by_tag: bool,
}

/// Finds the artifact that has an identifier, or holds the object that has it.
///
/// What the identifier's tag names comes first, if it states this identifier; that it states another one is a warning.
/// Else all tagged artifacts are searched. Artifacts that state the identifier themselves come before the head of a series
/// of this name, and that before packages that hold an object of this name. Of several versions of a package the newest is
/// meant.
///
/// # Errors
///
/// [`Error::NotInRepository`] if nothing has the identifier; [`Error::Ambiguous`] if several artifacts have it that are no
/// versions of each other; if the store fails.
pub async fn locate(
    backend: &dyn RegistryBackend,
    identifier: &Identifier,
    purpose: Purpose,
    observer: &Arc<dyn Observer>,
) -> Result<Located> {
    let named = by_tag(backend, identifier, observer).await?;
    if let Some(digest) = named {
        return Ok(Located { digest, by_tag: true });
    }
    let query = Query { identifier: Some(identifier.clone()), ..Query::default() };
    let mut searched = search(backend, &query, None, observer);
    let (mut obsoletes, mut found) = (Obsoletes::new(), Vec::new());
    while let Some(next) = searched.try_next().await? {
        let ArtifactSummary { identifier, obsoletes: older, .. } = next.artifact;
        if let (Some(newer), Some(older)) = (identifier, older) {
            obsoletes.entry(newer).or_insert(older);
        }
        found.extend(next.found);
    }
    let chosen = choose(&found, identifier.as_str(), purpose, &obsoletes);
    match (chosen, found.as_slice()) {
        (Some(chosen), _) => Ok(Located { digest: chosen.digest.clone(), by_tag: false }),
        (None, []) => {
            Err(Error::NotInRepository { identifier: identifier.clone(), place: backend.to_string() })
        }
        (None, several) => Err(Error::Ambiguous {
            identifier: identifier.clone(),
            candidates: several.iter().map(|found| describe(&found.artifact)).collect(),
        }),
    }
}

/// Returns what the identifier's tag names, if it states the identifier as its own or its resource map's.
async fn by_tag(
    backend: &dyn RegistryBackend,
    identifier: &Identifier,
    observer: &Arc<dyn Observer>,
) -> Result<Option<Digest>> {
    let Some(tag) = tag_of(identifier) else { return Ok(None) };
    let raw = match backend.read_manifest(&ManifestRef::Tag(tag.clone())).await {
        // The search warns of what is not as it should be.
        Err(error) if concerns_content(error.kind()) => return Ok(None),
        raw => raw?,
    };
    let Ok(manifest) = raw.parse() else { return Ok(None) };
    let artifact = ArtifactSummary::of(&Tagged { tag, raw, manifest });
    if artifact.is_named(identifier.as_str()) {
        return Ok(Some(artifact.digest));
    }
    // A tag of a series may have been left behind by it, and that of an object names whatever holds it: both are searched.
    if !artifact.is_of_series(identifier.as_str()) {
        let states = match &artifact.identifier {
            Some(stated) => format!("names `{stated}`, which is something else"),
            None => "names an artifact that states no identifier".to_owned(),
        };
        let text = format!("the tag {} of `{identifier}` {states}; all tags are searched", artifact.tag);
        observer.event(&Event::Warning(&text));
    }
    Ok(None)
}

/// Chooses the artifact that is meant, if that is clear.
fn choose<'a>(
    found: &'a [Found],
    identifier: &str,
    purpose: Purpose,
    obsoletes: &Obsoletes,
) -> Option<&'a ArtifactSummary> {
    let artifacts = || found.iter().map(|found| &found.artifact);
    let named: Vec<_> = artifacts().filter(|artifact| artifact.is_named(identifier)).collect();
    if !named.is_empty() {
        return only(&named)
            .or_else(|| newest(&named, obsoletes))
            .or_else(|| only(&preferred(&named, purpose)));
    }
    let series: Vec<_> = artifacts().filter(|artifact| artifact.is_of_series(identifier)).collect();
    if !series.is_empty() {
        return only(&series).or_else(|| head_of_series(&series, obsoletes));
    }
    let holding: Vec<_> = artifacts().collect();
    let any = || {
        let mut contents =
            found.iter().map(|found| found.object.as_ref().and_then(|object| object.sha256.as_ref()));
        let first = contents.next().flatten()?;
        let are_same = purpose == Purpose::Bytes && contents.all(|other| other == Some(first));
        are_same.then(|| found.first().map(|found| &found.artifact)).flatten()
    };
    only(&holding).or_else(|| newest(&holding, obsoletes)).or_else(any)
}

fn only<'a>(artifacts: &[&'a ArtifactSummary]) -> Option<&'a ArtifactSummary> {
    match artifacts {
        [only] => Some(only),
        _ => None,
    }
}

/// Returns the artifacts of the kind that is wanted: an object may be stored by itself and name a package as well.
fn preferred<'a>(artifacts: &[&'a ArtifactSummary], purpose: Purpose) -> Vec<&'a ArtifactSummary> {
    let kind = match purpose {
        Purpose::Package => ArtifactKind::Package,
        Purpose::Bytes => ArtifactKind::Object,
    };
    artifacts.iter().copied().filter(|artifact| artifact.kind == kind).collect()
}

fn describe(artifact: &ArtifactSummary) -> String {
    let identifier = artifact.identifier.as_ref().map(|identifier| format!(" [{identifier}]"));
    format!("{} {}{}", artifact.tag, artifact.digest, identifier.unwrap_or_default())
}
