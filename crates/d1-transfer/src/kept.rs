//! Tags for content that a store would otherwise forget: artifacts without a tag, and artifacts whose tag moves.

use std::sync::Arc;

use oci_model::{Digest, Manifest, ManifestRef, RawManifest, Tag};
use registry_backend::RegistryBackend;

use crate::error::Result;
use crate::event::{Event, Observer};

/// Returns the tag that is derived from a digest: `sha256_` and the hexadecimal digits.
///
/// The form with `-` belongs to the lists of referrers (distribution-spec, "Referrers Tag Schema").
#[must_use]
pub fn tag_of_digest(digest: &Digest) -> Option<Tag> {
    format!("{}_{}", digest.algorithm_name(), digest.encoded()).parse().ok()
}

/// Tells whether a tag is derived from a digest.
pub(crate) fn is_tag_of_digest(tag: &Tag) -> bool {
    let hex = tag.as_str().strip_prefix("sha256_");
    hex.is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Returns the tag that an artifact without a tag needs to stay in a store, and reports it. `None` if it stays anyway.
pub(crate) fn tag_to_stay(
    backend: &dyn RegistryBackend,
    manifest: &RawManifest,
    observer: &Arc<dyn Observer>,
) -> Option<Tag> {
    let lifetime = backend.capabilities().untagged_manifest_lifetime?;
    let has_subject = manifest.parse().is_ok_and(|manifest: Manifest| manifest.subject().is_some());
    let tag = tag_of_digest(manifest.digest()).filter(|_| !has_subject)?;
    let minutes = lifetime.as_secs() / 60;
    observer.event(&Event::Warning(&format!(
        "{backend} removes artifacts without a tag after {minutes} minutes: the artifact gets the tag {tag}"
    )));
    Some(tag)
}

/// Gives the artifact that a tag names a tag of its own before the tag moves to another digest, in a store that would
/// forget it. Returns the new tag, or `None` if nothing is lost.
///
/// # Errors
///
/// Fails if the store fails.
pub async fn keep_former(
    backend: &dyn RegistryBackend,
    tag: &Tag,
    next: &Digest,
    observer: &Arc<dyn Observer>,
) -> Result<Option<Tag>> {
    if backend.capabilities().keeps_moved_digests {
        return Ok(None);
    }
    let Some(former) = backend.stat_manifest(&tag.clone().into()).await? else { return Ok(None) };
    let Some(kept) = tag_of_digest(&former.digest).filter(|kept| former.digest != *next && kept != tag)
    else {
        return Ok(None);
    };
    let at = ManifestRef::Tag(kept.clone());
    if backend.stat_manifest(&at).await?.is_none() {
        let raw = backend.read_manifest(&former.digest.clone().into()).await?;
        backend.write_manifest(&at, &raw).await?;
    }
    observer.event(&Event::Warning(&format!(
        "{backend} forgets a digest when its tag moves: the former artifact of {tag} keeps the tag {kept}"
    )));
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_a_digest_is_recognised() {
        let tag = tag_of_digest(&Digest::sha256_of(b"")).unwrap();
        assert!(tag.as_str().starts_with("sha256_e3b0c442"));
        assert!(is_tag_of_digest(&tag));
        for other in ["latest", "sha256_ab", &format!("sha256-{}", "a".repeat(64))] {
            assert!(!is_tag_of_digest(&other.parse().unwrap()), "{other}");
        }
    }
}
