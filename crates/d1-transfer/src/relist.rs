//! Listing the artifacts of a store again after it lost its list of them.

use std::collections::{BTreeMap, HashSet};

use d1_model::Identifier;
use d1_package::annotations::D1_IDENTIFIER;
use d1_package::is_tombstone;
use futures::{StreamExt, TryStreamExt, stream};
use oci_model::annotations::{CREATED, DESCRIPTION, TITLE};
use oci_model::{Descriptor, Digest, ManifestRef, Tag};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend};
use serde::Serialize;

use crate::error::Result;
use crate::tombstone::tombstone_tag;

/// The result of listing artifacts again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RelistReport {
    /// Number of manifests that the store lists now.
    pub manifests: u64,
    /// Tags that were derived from identifiers.
    pub tagged: Vec<RelistedArtifact>,
    /// Artifacts without a tag: nothing in the store tells the tags that they had.
    pub untagged: Vec<RelistedArtifact>,
    /// Manifests that are not listed, because content to which they refer is missing.
    pub incomplete: Vec<Digest>,
}

/// An artifact that is listed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RelistedArtifact {
    /// Its digest.
    pub digest: Digest,
    /// Its new tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// DataONE identifier that it states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Lists all artifacts again whose content a store has, and gives them the tags that follow from their identifiers. Of several
/// artifacts with one identifier, the one that was created last gets the tag. Tags that exist do not move.
///
/// ```
/// use d1_transfer::relist;
/// use registry_backend::{ErrorKind, MemoryBackend};
///
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # runtime.block_on(async {
/// let error = relist(&MemoryBackend::new()).await.unwrap_err();
/// assert_eq!(error.of_store().unwrap().kind(), ErrorKind::Unsupported);
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Fails with [`Unsupported`](ErrorKind::Unsupported) if the store keeps its list itself, as registries do, or if the store fails.
pub async fn relist(store: &dyn RegistryBackend) -> Result<RelistReport> {
    let pruner = store.admin().and_then(|admin| admin.pruner()).ok_or_else(|| {
        BackendError::new(ErrorKind::Unsupported, "list again", store)
            .because("a registry keeps its own list")
    })?;
    let relisted = pruner.relist().await?;
    let tags: Vec<_> = store.tags().try_collect().await?;
    let mut named: HashSet<Digest> = tags.iter().filter_map(|entry| entry.digest.clone()).collect();
    let known: HashSet<Tag> = tags.into_iter().map(|entry| entry.tag).collect();
    let mut wanted = latest_by_tag(&relisted.artifacts);
    wanted.retain(|tag, _| !known.contains(tag));
    named.extend(wanted.values().map(|artifact| artifact.digest.clone()));
    let tag_one = |(tag, artifact): (Tag, &Descriptor)| {
        let relisted = described(artifact, Some(tag.clone()));
        async move {
            let raw = store.read_manifest(&ManifestRef::Digest(relisted.digest.clone())).await?;
            store.write_manifest(&ManifestRef::Tag(tag), &raw).await?;
            Ok::<_, BackendError>(relisted)
        }
    };
    let tagged = stream::iter(wanted).map(tag_one).buffered(store.capabilities().manifests_at_once());
    let tagged = tagged.try_collect().await?;
    let untagged = relisted.artifacts.iter().filter(|artifact| !named.contains(&artifact.digest));
    Ok(RelistReport {
        manifests: relisted.artifacts.len() as u64 + relisted.others,
        untagged: untagged.map(|artifact| described(artifact, None)).collect(),
        tagged,
        incomplete: relisted.incomplete,
    })
}

/// Returns for each tag that follows from an identifier the artifact that was created last.
fn latest_by_tag(artifacts: &[Descriptor]) -> BTreeMap<Tag, &Descriptor> {
    let mut latest: BTreeMap<Tag, &Descriptor> = BTreeMap::new();
    let created = |artifact: &Descriptor| artifact.annotation(CREATED).unwrap_or_default().to_owned();
    for artifact in artifacts {
        let Some(tag) = tag_of(artifact) else { continue };
        let known = latest.entry(tag).or_insert(artifact);
        if created(artifact) > created(known) {
            *known = artifact;
        }
    }
    latest
}

/// Returns the tag that follows from the identifier of an artifact.
fn tag_of(artifact: &Descriptor) -> Option<Tag> {
    let identifier: Identifier = artifact.annotation(D1_IDENTIFIER)?.parse().ok()?;
    match is_tombstone(artifact.artifact_type.as_ref()) {
        true => tombstone_tag(&identifier),
        false => identifier.tag().parse().ok(),
    }
}

fn described(artifact: &Descriptor, tag: Option<Tag>) -> RelistedArtifact {
    let text = |key| artifact.annotation(key).map(str::to_owned);
    RelistedArtifact {
        digest: artifact.digest.clone(),
        tag,
        identifier: text(D1_IDENTIFIER),
        title: text(DESCRIPTION).or_else(|| text(TITLE)),
    }
}
