//! Listing manifests again after the index was lost: every blob that is a manifest gets an entry.

use std::collections::HashSet;

use futures::{TryStreamExt, stream};
use oci_model::{Descriptor, MANIFEST_READ_LIMIT, Manifest, MediaType, RawManifest};
use registry_backend::{ErrorKind, Relisted, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::manifests::{Manifests, PARALLEL, may_refer};
use crate::publish::Publisher;
use crate::storage::StoredBlob;

/// How many manifests wait for one replacement of the index at most.
const LISTED_AT_ONCE: usize = 256;

/// How many bytes tell that a blob is not a JSON object.
const BEGINNING: u64 = 64;

/// Lists every stored manifest of at most `limit` bytes whose content is complete.
pub(crate) async fn relist(manifests: &Manifests, publisher: &Publisher, limit: u64) -> Result<Relisted> {
    manifests.storage.replace_lost_index().await?;
    let stored = manifests.storage.list().await?;
    let candidates = stored.into_iter().filter(|blob| blob.size <= MANIFEST_READ_LIMIT.min(limit));
    let found = stream::iter(candidates.map(Ok))
        .map_ok(|blob| read_manifest(manifests, blob))
        .try_buffer_unordered(PARALLEL)
        .try_filter_map(|found| std::future::ready(Ok(found)));
    let mut listing = found
        .map_ok(|raw| async move {
            let at = raw.digest().clone().into();
            match publisher.publish(manifests, &at, &raw, limit).await {
                Ok(()) => Ok((raw, true)),
                Err(error) if error.kind() == ErrorKind::Incomplete => Ok((raw, false)),
                Err(error) => Err(error),
            }
        })
        .try_buffer_unordered(LISTED_AT_ONCE);
    let (mut relisted, mut children) = (Relisted::default(), HashSet::new());
    while let Some((raw, is_listed)) = listing.try_next().await? {
        if !is_listed {
            relisted.incomplete.push(raw.digest().clone());
        } else if let Ok(manifest) = raw.parse() {
            children.extend(manifest.children().iter().map(|child| child.digest.clone()));
            match manifest.subject() {
                Some(_) => relisted.others += 1,
                None => relisted.artifacts.push(described(&raw, &manifest)),
            }
        }
    }
    let count = relisted.artifacts.len();
    relisted.artifacts.retain(|artifact| !children.contains(&artifact.digest));
    relisted.others += count.saturating_sub(relisted.artifacts.len()) as u64;
    relisted.artifacts.sort_by(|left, right| left.digest.cmp(&right.digest));
    relisted.incomplete.sort();
    Ok(relisted)
}

/// Returns a blob if it is a manifest.
async fn read_manifest(manifests: &Manifests, blob: StoredBlob) -> Result<Option<RawManifest>> {
    let beginning = manifests.storage.read(&blob.digest, Some(0..blob.size.min(BEGINNING))).await?;
    let beginning: Vec<_> = beginning.stream.try_collect().await?;
    if beginning.concat().trim_ascii_start().first() != Some(&b'{') {
        return Ok(None);
    }
    let read = manifests.storage.read(&blob.digest, None).await?;
    if read.blob_size > MANIFEST_READ_LIMIT {
        return Ok(None);
    }
    let pieces: Vec<_> = read.stream.try_collect().await?;
    let bytes = pieces.concat();
    let Some(media_type) = media_type_of(&bytes) else { return Ok(None) };
    // A damaged blob is not a manifest.
    let raw = RawManifest::verified(bytes, media_type, &blob.digest).ok();
    Ok(raw.filter(|raw| raw.parse().is_ok()))
}

/// The fields by which a manifest tells its type (image-spec manifest.md and image-index.md).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<MediaType>,
    schema_version: Option<u64>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
}

fn media_type_of(bytes: &[u8]) -> Option<MediaType> {
    let shape: Shape = serde_json::from_slice(bytes).ok()?;
    if let Some(stated) = shape.media_type {
        return may_refer(&stated).then_some(stated);
    }
    if shape.schema_version != Some(2) {
        return None;
    }
    match (shape.manifests, shape.config, shape.layers) {
        (Some(_), None, None) => Some(MediaType::from_static(MediaType::IMAGE_INDEX)),
        (None, Some(_), Some(_)) => Some(MediaType::from_static(MediaType::IMAGE_MANIFEST)),
        _ => None,
    }
}

/// Returns the descriptor of a manifest with its artifact type and annotations.
fn described(raw: &RawManifest, manifest: &Manifest) -> Descriptor {
    let mut descriptor = raw.descriptor();
    descriptor.artifact_type = manifest.effective_artifact_type().cloned();
    descriptor.annotations = manifest.annotations().clone();
    descriptor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_known_by_its_type_or_its_fields() {
        for (text, expected) in [
            (r#"{"schemaVersion":2,"config":{},"layers":[]}"#, Some(MediaType::IMAGE_MANIFEST)),
            (r#"{"schemaVersion":2,"manifests":[]}"#, Some(MediaType::IMAGE_INDEX)),
            (
                r#"{"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}"#,
                Some(MediaType::DOCKER_MANIFEST),
            ),
            (r#"{"schemaVersion":1,"config":{},"layers":[]}"#, None),
            (r#"{"mediaType":"text/csv","schemaVersion":2,"manifests":[]}"#, None),
            ("{}", None),
            ("[]", None),
            ("", None),
        ] {
            let found = media_type_of(text.as_bytes());
            assert_eq!(found.as_ref().map(MediaType::as_str), expected, "{text}");
        }
    }
}
