//! The `index.json` of image layouts, which is edited as text.

use backend_layout::fuzzing;
use oci_model::{Descriptor, ImageManifest, MediaType, RawManifest, Tag};

use crate::text;

/// Reads an index, and adds and removes a tag.
pub fn layout_index(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Some(tags) = fuzzing::tags(text) else { return };
    let artifact_type = MediaType::from_static(MediaType::OCTET_STREAM);
    let raw = RawManifest::from_image(&ImageManifest::new(artifact_type, Descriptor::empty()));
    let Ok(tag) = "fuzzed".parse::<Tag>() else { return };
    let Some(changed) = fuzzing::with_manifest(text, &tag, &raw) else { return };
    let mut expected: Vec<_> = tags.iter().filter(|known| **known != tag).cloned().collect();
    let after = fuzzing::tags(&changed).expect("what is written can be read");
    let others: Vec<_> = after.iter().filter(|known| **known != tag).cloned().collect();
    assert_eq!(others.len(), expected.len(), "other tags changed");
    assert!(others.iter().all(|other| expected.contains(other)), "other tags changed");
    assert_eq!(fuzzing::digest_of(&changed, &tag).as_ref(), Some(raw.digest()));
    for other in &others {
        assert_eq!(fuzzing::digest_of(&changed, other), fuzzing::digest_of(text, other));
    }
    let removed = fuzzing::without_tag(&changed, &tag).expect("a tag that is there can be removed");
    let mut left = fuzzing::tags(&removed).expect("what is written can be read");
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
}
