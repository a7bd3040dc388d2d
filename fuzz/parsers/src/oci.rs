//! Digests, references and manifests of the OCI specifications.

use oci_model::{Digest, Manifest, MediaType, RawManifest, Reference, RepositoryName, Tag};

use crate::text;

/// Reads a digest.
pub fn digest(bytes: &[u8]) {
    let Some(digest) = text(bytes).and_then(|text| text.parse::<Digest>().ok()) else { return };
    assert_eq!(digest.as_str().as_bytes(), bytes);
    assert_eq!(digest.as_str(), format!("{}:{}", digest.algorithm_name(), digest.encoded()));
    // A digest becomes part of a path.
    assert!(!digest.as_str().contains(['/', '\\', '\0']) && !digest.algorithm_name().starts_with('.'));
    assert_eq!(digest.sha256_bytes().is_some(), digest.algorithm_name() == "sha256");
}

/// Reads a tag.
pub fn tag(bytes: &[u8]) {
    let Some(tag) = text(bytes).and_then(|text| text.parse::<Tag>().ok()) else { return };
    assert_eq!(tag.as_str().as_bytes(), bytes);
    assert!(tag.as_str().len() <= 128 && !tag.as_str().contains(['/', ':', '@']));
}

/// Reads a reference, and a repository's name.
pub fn reference(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(name) = text.parse::<RepositoryName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.split('/').all(|part| !part.starts_with('.')));
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse(), Ok(reference), "{text}");
    }
}

/// Reads an image manifest.
pub fn manifest(bytes: &[u8]) {
    for media_type in [MediaType::IMAGE_MANIFEST, MediaType::DOCKER_MANIFEST, MediaType::ARTIFACT_MANIFEST] {
        read_manifest(bytes, MediaType::from_static(media_type));
    }
}

/// Reads an image index.
pub fn index(bytes: &[u8]) {
    for media_type in [MediaType::IMAGE_INDEX, MediaType::DOCKER_MANIFEST_LIST] {
        read_manifest(bytes, MediaType::from_static(media_type));
    }
}

fn read_manifest(bytes: &[u8], media_type: MediaType) {
    let raw = RawManifest::new(bytes.to_vec(), media_type);
    assert_eq!(raw.bytes(), bytes);
    let Ok(parsed) = raw.parse() else { return };
    let _ = (parsed.blobs(), parsed.children(), parsed.subject(), parsed.effective_artifact_type());
    let write = |manifest: &Manifest| match manifest {
        Manifest::Image(image) => Some(RawManifest::from_image(image)),
        Manifest::Index(index) => Some(RawManifest::from_index(index)),
        _ => None,
    };
    let Some(written) = write(&parsed) else { return };
    // A written manifest has the media type of the specification. The text may name another one.
    if written.media_type() == raw.media_type() {
        let again = written.parse().expect("what is written can be read");
        assert_eq!(again, parsed);
        assert_eq!(write(&again), Some(written));
    }
}
