//! The versions of a package, from the first to the last, and the blobs that changed between them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use d1_package::annotations::{D1_IDENTIFIER, D1_OBSOLETES, D1_SERIES_ID};
use d1_transfer::parts::{Met, concerns_content, total, walk};
use d1_transfer::{Event, Observer};
use futures::{StreamExt, TryStreamExt};
use jiff::SignedDuration;
use oci_model::annotations::{CREATED, DESCRIPTION};
use oci_model::{Digest, Manifest, ManifestRef, Tag};
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::find::made;

/// The versions of a package that a repository knows.
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
    /// Whether the caller asked for the history of this version.
    pub asked: bool,
    /// The identifier of the version that this one replaces, as its manifest states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obsoletes: Option<String>,
    /// Whether the version that it replaces comes after it, because the statements form a circle.
    #[serde(skip_serializing_if = "is_false")]
    pub circular: bool,
    /// The artifact in the repository. Absent if only another version mentions this one.
    #[serde(flatten)]
    pub stored: Option<StoredVersion>,
}

/// A version whose artifact is in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct StoredVersion {
    /// Digest of the manifest.
    pub digest: Digest,
    /// A tag that names it. Absent if the caller named the artifact by its digest and no tag names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// When it was created, as the annotation `org.opencontainers.image.created` states.
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
    /// Number of its blobs that the version which it replaces also has.
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

/// Returns all versions that are connected with the artifact `at`: those that it replaces, and those that
/// replace it.
///
/// Only the newer version states which one it replaces, so this reads the manifests of all tags. It reads the
/// manifests of the versions a second time, for their blobs.
///
/// # Errors
///
/// [`Error::NoIdentifier`] if the artifact states no identifier. Also fails if the artifact does not exist, or
/// the store fails.
pub async fn history(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    observer: &Arc<dyn Observer>,
) -> Result<History> {
    let (asked, own) = asked_version(backend, at).await?;
    let mut known = Vec::new();
    let mut artifacts = walk(backend, None);
    while let Some(met) = artifacts.try_next().await? {
        match met {
            Met::Artifact(tagged) => {
                known.extend(known_version(tagged.raw.digest(), Some(&tagged.tag), &tagged.manifest));
            }
            Met::Unreadable { tag, error } => {
                observer.event(&Event::Warning(&format!("`{tag}` is skipped: {error}")));
            }
        }
    }
    drop(artifacts);
    history_of(backend, &asked, own, known, observer).await
}

/// An artifact with an identifier: the identifier, that of the version that it replaces, and the artifact.
pub(crate) type KnownVersion = (String, Option<String>, StoredVersion);

/// Returns the identifier of the artifact `at`, and its statements.
pub(crate) async fn asked_version(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
) -> Result<(String, KnownVersion)> {
    let raw = backend.read_manifest(at).await?;
    let manifest = raw.parse().map_err(|error| {
        registry_backend::Error::new(registry_backend::ErrorKind::Invalid, "read manifest", at)
            .caused_by(error)
    })?;
    let own = known_version(raw.digest(), None, &manifest);
    let own = own.ok_or_else(|| Error::NoIdentifier { digest: raw.digest().clone() })?;
    Ok((own.0.clone(), own))
}

/// Returns the versions among these artifacts that are connected with the one that is asked for.
pub(crate) async fn history_of(
    backend: &dyn RegistryBackend,
    asked: &str,
    own: KnownVersion,
    known: Vec<KnownVersion>,
    observer: &Arc<dyn Observer>,
) -> Result<History> {
    let mut links = Links::default();
    for (identifier, obsoletes, stored) in std::iter::once(own).chain(known) {
        links.add(&identifier, Link { obsoletes, stored });
    }
    let mut versions = links.connected_with(asked);
    count_moved(backend, &mut versions, observer).await?;
    Ok(History { versions })
}

fn known_version(digest: &Digest, tag: Option<&Tag>, manifest: &Manifest) -> Option<KnownVersion> {
    let text = |key: &str| manifest.annotations().get(key).cloned();
    let stored = StoredVersion {
        digest: digest.clone(),
        tag: tag.cloned(),
        created: text(CREATED),
        series_id: text(D1_SERIES_ID),
        title: text(DESCRIPTION),
        copies: Vec::new(),
        shared_blobs: 0,
        new_blobs: 0,
        new_bytes: 0,
    };
    Some((text(D1_IDENTIFIER)?, text(D1_OBSOLETES), stored))
}

/// The statements of one artifact about its version.
#[derive(Clone, Debug)]
struct Link {
    obsoletes: Option<String>,
    stored: StoredVersion,
}

/// All artifacts with an identifier, by identifier.
#[derive(Debug, Default)]
struct Links {
    by_identifier: HashMap<String, Link>,
}

impl Links {
    /// Adds an artifact. If several have one identifier, the first counts, except that an artifact which
    /// replaces another comes before one which replaces nothing, such as an object stored by itself.
    fn add(&mut self, identifier: &str, link: Link) {
        match self.by_identifier.entry(identifier.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(link);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                if known.stored.digest == link.stored.digest {
                    known.stored.tag = known.stored.tag.take().or(link.stored.tag);
                    return;
                }
                let mut other = link;
                if known.obsoletes.is_none() && other.obsoletes.is_some() {
                    std::mem::swap(known, &mut other);
                }
                known.stored.copies.append(&mut other.stored.copies);
                known.stored.copies.push(other.stored.digest);
            }
        }
    }

    fn obsoletes(&self, identifier: &str) -> Option<&str> {
        self.by_identifier.get(identifier)?.obsoletes.as_deref()
    }

    /// Returns the versions that lead to this one or from it. Each comes after the one that it replaces, if
    /// that is possible.
    fn connected_with(&self, asked: &str) -> Vec<Version> {
        let first = self.first_before(asked);
        let mut successors: HashMap<&str, Vec<&str>> = HashMap::new();
        for (identifier, link) in &self.by_identifier {
            if let Some(older) = link.obsoletes.as_deref() {
                successors.entry(older).or_default().push(identifier);
            }
        }
        let (mut seen, mut versions) = (HashSet::from([first]), Vec::new());
        let mut next = VecDeque::from([first]);
        while let Some(identifier) = next.pop_front() {
            versions.push(self.version(identifier, asked, &versions));
            let mut newer = successors.remove(identifier).unwrap_or_default();
            newer.retain(|newer| seen.insert(newer));
            newer.sort_by_key(|newer| (self.made(newer), *newer));
            next.extend(newer);
        }
        versions
    }

    fn made(&self, identifier: &str) -> Option<SignedDuration> {
        made(self.by_identifier.get(identifier)?.stored.created.as_deref())
    }

    /// Follows a version back to the first one, or to the start of a circle.
    fn first_before<'a>(&'a self, asked: &'a str) -> &'a str {
        let (mut at, mut seen) = (asked, HashSet::from([asked]));
        while let Some(older) = self.obsoletes(at) {
            if !seen.insert(older) {
                break;
            }
            at = older;
        }
        at
    }

    fn version(&self, identifier: &str, asked: &str, before: &[Version]) -> Version {
        let obsoletes = self.obsoletes(identifier);
        // The walk reaches every version except the first from the version that it replaces.
        let circular = obsoletes.is_some() && before.is_empty();
        Version {
            identifier: identifier.to_owned(),
            asked: identifier == asked,
            obsoletes: obsoletes.map(str::to_owned),
            circular,
            stored: self.by_identifier.get(identifier).map(|link| link.stored.clone()),
        }
    }
}

/// Counts for each version the blobs that it shares with the version which it replaces.
async fn count_moved(
    backend: &dyn RegistryBackend,
    versions: &mut [Version],
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    let parallel = backend.capabilities().manifests_at_once();
    let wanted: Vec<(usize, Digest)> = versions
        .iter()
        .enumerate()
        .filter_map(|(position, version)| Some((position, version.stored.as_ref()?.digest.clone())))
        .collect();
    let mut users: HashMap<String, usize> = HashMap::new();
    for older in versions.iter().filter_map(|version| version.obsoletes.as_ref()) {
        *users.entry(older.clone()).or_default() += 1;
    }
    let mut known: HashMap<String, HashSet<Digest>> = HashMap::new();
    let read = |(position, digest)| async move {
        Ok::<_, crate::Error>((position, blobs(backend, digest, observer).await?))
    };
    let mut manifests = futures::stream::iter(wanted).map(read).buffered(parallel);
    while let Some((position, blobs)) = manifests.try_next().await? {
        let Some(version) = versions.get_mut(position) else { continue };
        let Some(stored) = &mut version.stored else { continue };
        let older = version.obsoletes.as_ref().and_then(|older| known.get(older));
        let is_shared = |digest: &Digest| older.is_some_and(|older| older.contains(digest));
        let new: Vec<u64> =
            blobs.iter().filter(|(digest, _)| !is_shared(digest)).map(|(_, size)| *size).collect();
        stored.new_blobs = new.len() as u64;
        stored.shared_blobs = (blobs.len() - new.len()) as u64;
        stored.new_bytes = total(new.into_iter());
        // Drop a version after its last comparison, so that a long chain needs no more memory than a short one.
        if let Some(older) = &version.obsoletes
            && let Some(left) = users.get_mut(older)
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                known.remove(older);
            }
        }
        if users.contains_key(&version.identifier) {
            known.insert(version.identifier.clone(), blobs.into_keys().collect());
        }
    }
    Ok(())
}

/// Returns the blobs of a manifest with their sizes, or nothing if the manifest was deleted meanwhile.
async fn blobs(
    backend: &dyn RegistryBackend,
    digest: Digest,
    observer: &Arc<dyn Observer>,
) -> Result<HashMap<Digest, u64>> {
    let raw = match backend.read_manifest(&ManifestRef::Digest(digest)).await {
        Err(error) if concerns_content(error.kind()) => {
            observer.event(&Event::Warning(&error.to_string()));
            return Ok(HashMap::new());
        }
        raw => raw?,
    };
    let Ok(manifest) = raw.parse() else { return Ok(HashMap::new()) };
    Ok(manifest.blobs().into_iter().map(|blob| (blob.digest.clone(), blob.size)).collect())
}
