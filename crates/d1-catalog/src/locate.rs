//! From an identifier to the one artifact that it stands for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use d1_model::Identifier;
use d1_package::annotations::{D1_IDENTIFIER, D1_RESOURCE_MAP, D1_SERIES_ID};
use d1_transfer::parts::{Tagged, concerns_content};
use d1_transfer::{Event, Observer, OpenPackage};
use futures::TryStreamExt;
use oci_model::{Digest, Manifest, ManifestRef};
use registry_backend::RegistryBackend;

use crate::artifact::{ArtifactKind, ArtifactSummary};
use crate::error::{Error, Result};
use crate::find::{Found, Query, made, search, tag_of};

/// The part of an artifact that the caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The package that has the identifier, or holds the object with the identifier.
    Package,
    /// The bytes of the object with the identifier. Any package will do if all hold the same bytes.
    Bytes,
}

/// An artifact that was found by an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Located {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Whether the tag of the identifier named it, so that no search was needed.
    pub by_tag: bool,
}

/// Finds the artifact that has an identifier, or holds the object that has it.
///
/// The artifact that the identifier's tag names comes first, if it states this identifier. If it states another
/// one, the observer gets a warning. Otherwise all tagged artifacts are searched, and the best match wins: an
/// artifact that states the identifier, the head of a series with this name, a package that holds an object
/// with this name. Among versions of one package, the newest wins.
///
/// # Errors
///
/// [`Error::NotInRepository`] if nothing has the identifier. [`Error::Ambiguous`] if several artifacts have it
/// and none replaces the others. Also fails if the store fails.
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
    only_choice(backend, &found, identifier, purpose, &obsoletes)
}

/// Returns the artifact among those that were found which the identifier stands for.
pub(crate) fn only_choice(
    backend: &dyn RegistryBackend,
    found: &[Found],
    identifier: &Identifier,
    purpose: Purpose,
    obsoletes: &Obsoletes,
) -> Result<Located> {
    let chosen = choose(found, identifier.as_str(), purpose, obsoletes);
    match (chosen, found) {
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

/// Checks that an artifact has an identifier, or holds the object that has it, and returns the digest of its manifest.
///
/// # Errors
///
/// [`Error::OtherArtifact`] if it does not. Also fails if the artifact does not exist, or the store fails.
///
/// ```
/// use std::sync::Arc;
///
/// use d1_catalog::check_identifier;
/// use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("temperature.csv"), "15,7.2\n")?;
/// let backend = MemoryBackend::new();
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let mut options = PushOptions::new(std::env::temp_dir());
/// options.tags = vec!["v1".parse()?];
/// options.identifier = Some("doi:10.5072/A2MOORING".parse()?);
/// let pushed = push_directory(&backend, folder.path(), &options, &observer).await?;
///
/// let at = options.tags[0].clone().into();
/// let digest = check_identifier(&backend, &at, &"doi:10.5072/A2MOORING".parse()?).await?;
/// assert_eq!(digest, pushed.digest);
/// assert!(check_identifier(&backend, &at, &"doi:10.5072/A2OTHER".parse()?).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn check_identifier(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    identifier: &Identifier,
) -> Result<Digest> {
    let raw = backend.read_manifest(at).await?;
    let digest = raw.digest().clone();
    let parsed = raw.parse().ok();
    let annotations = parsed.as_ref().map(Manifest::annotations);
    let stated = |key: &str| annotations.and_then(|annotations| annotations.get(key));
    let is_named = [D1_IDENTIFIER, D1_RESOURCE_MAP, D1_SERIES_ID]
        .into_iter()
        .any(|key| stated(key).is_some_and(|stated| stated == identifier.as_str()));
    if is_named {
        return Ok(digest);
    }
    let found = match stated(D1_IDENTIFIER) {
        Some(stated) => format!("{digest} with the identifier `{stated}`"),
        None => format!("{digest}, which states no identifier"),
    };
    if let Some(Manifest::Image(image)) = parsed {
        let package = OpenPackage::of_manifest(backend, raw, image).await?;
        if package.view.entry_by_identifier(identifier.as_str()).is_some() {
            return Ok(digest);
        }
    }
    Err(Error::OtherArtifact { identifier: identifier.clone(), found })
}

/// Returns the artifact that the identifier's tag names, if the artifact or its resource map states the
/// identifier.
pub(crate) async fn by_tag(
    backend: &dyn RegistryBackend,
    identifier: &Identifier,
    observer: &Arc<dyn Observer>,
) -> Result<Option<Digest>> {
    let Some(tag) = tag_of(identifier) else { return Ok(None) };
    let raw = match backend.read_manifest(&ManifestRef::Tag(tag.clone())).await {
        // The search reports an unreadable artifact.
        Err(error) if concerns_content(error.kind()) => return Ok(None),
        raw => raw?,
    };
    let Ok(manifest) = raw.parse() else { return Ok(None) };
    let artifact = ArtifactSummary::of(&Tagged { tag, raw, manifest });
    if artifact.is_named(identifier.as_str()) {
        return Ok(Some(artifact.digest));
    }
    // The tag of a series may name an older version, and the tag of an object may name a package that holds it.
    // Search for both.
    if !artifact.is_of_series(identifier.as_str()) {
        let states = match &artifact.identifier {
            Some(stated) => format!("names another artifact, `{stated}`"),
            None => "names an artifact that states no identifier".to_owned(),
        };
        let text = format!("the tag {} of `{identifier}` {states}; all tags are searched", artifact.tag);
        observer.event(&Event::Warning(&text));
    }
    Ok(None)
}

/// Chooses the artifact that the identifier stands for, if that is clear.
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

/// Returns the artifacts of the kind that the caller needs. An object stored by itself may have the identifier
/// of a package.
fn preferred<'a>(artifacts: &[&'a ArtifactSummary], purpose: Purpose) -> Vec<&'a ArtifactSummary> {
    let kind = match purpose {
        Purpose::Package => ArtifactKind::Package,
        Purpose::Bytes => ArtifactKind::Object,
    };
    artifacts.iter().copied().filter(|artifact| artifact.kind == Some(kind)).collect()
}

fn describe(artifact: &ArtifactSummary) -> String {
    let identifier = artifact.identifier.as_ref().map(|identifier| format!(" [{identifier}]"));
    format!("{} {}{}", artifact.tag, artifact.digest, identifier.unwrap_or_default())
}

/// For each version the identifier of the version that it replaces.
pub(crate) type Obsoletes = HashMap<String, String>;

/// Returns the artifact that replaces all others, directly or through versions between them.
pub(crate) fn newest<'a>(
    candidates: &[&'a ArtifactSummary],
    obsoletes: &Obsoletes,
) -> Option<&'a ArtifactSummary> {
    let mut older: HashSet<&str> = HashSet::new();
    for candidate in candidates {
        // A version that was visited was followed to its end, so the walk is linear and ends in a circle.
        mark_older(candidate, obsoletes, &mut older);
    }
    let is_older = |candidate: &ArtifactSummary| {
        candidate.identifier.as_deref().is_some_and(|identifier| older.contains(identifier))
    };
    let mut heads = candidates.iter().copied().filter(|candidate| !is_older(candidate));
    let (Some(head), None) = (heads.next(), heads.next()) else { return None };
    let mut below_head = HashSet::new();
    mark_older(head, obsoletes, &mut below_head);
    let is_below = |candidate: &ArtifactSummary| {
        candidate.identifier.as_deref().is_some_and(|identifier| below_head.contains(identifier))
    };
    candidates.iter().all(|candidate| candidate.digest == head.digest || is_below(candidate)).then_some(head)
}

/// Returns the head of a series: its newest version, or if that is not clear the one that was created last
/// (DataONE architecture, “Mutability of Content”).
pub(crate) fn head_of_series<'a>(
    members: &[&'a ArtifactSummary],
    obsoletes: &Obsoletes,
) -> Option<&'a ArtifactSummary> {
    newest(members, obsoletes).or_else(|| {
        let time = |member: &ArtifactSummary| made(member.created.as_deref());
        let last = members.iter().copied().max_by_key(|member| time(member))?;
        let is_alone = members.iter().filter(|member| time(member) == time(last)).count() == 1;
        is_alone.then_some(last)
    })
}

fn mark_older<'a>(candidate: &'a ArtifactSummary, obsoletes: &'a Obsoletes, older: &mut HashSet<&'a str>) {
    let mut at = candidate.obsoletes.as_deref();
    while let Some(identifier) = at {
        if !older.insert(identifier) {
            return;
        }
        at = obsoletes.get(identifier).map(String::as_str);
    }
}
