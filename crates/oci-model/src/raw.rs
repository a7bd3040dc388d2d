//! Manifests as the bytes that were received: what is copied and hashed is never written anew.

use crate::{Descriptor, Digest, DigestHasher, ImageIndex, ImageManifest, Manifest, MediaType};

/// The largest manifest that is read, in bytes: registries are expected to take 4 MiB (distribution-spec, "Pushing
/// Manifests"), and a little more is read so that the error can say what came.
pub const MANIFEST_READ_LIMIT: u64 = 8 * 1024 * 1024;

/// A manifest's bytes with their media type and digest; the bytes are valid for the digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    bytes: Box<[u8]>,
    media_type: MediaType,
    digest: Digest,
}

/// Bytes that are not the manifest they are taken for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The text is no JSON, or lacks required fields.
    #[error("manifest {digest} is not a valid {media_type}")]
    Syntax {
        /// Digest of the bytes.
        digest: Digest,
        /// The type that it was read as.
        media_type: MediaType,
        /// What the JSON reader says.
        source: serde_json::Error,
    },
    /// The type is no manifest's.
    #[error("{digest} has the media type {media_type}, which is not a manifest's")]
    Type {
        /// Digest of the bytes.
        digest: Digest,
        /// The type.
        media_type: MediaType,
    },
    /// The `mediaType` field contradicts the type under which the manifest was served.
    #[error("manifest {digest} calls itself {inner} but was served as {outer}")]
    TypeMismatch {
        /// Digest of the bytes.
        digest: Digest,
        /// What the `mediaType` field says.
        inner: MediaType,
        /// What the server or the descriptor says.
        outer: MediaType,
    },
    /// The bytes do not have the expected digest.
    #[error("manifest {expected} has the digest {actual}: it was changed on the way or where it is stored")]
    Digest {
        /// The digest asked for.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// The digest asked for cannot be verified.
    #[error("digest algorithm of {0} is not supported: use sha256 or sha512")]
    Algorithm(Digest),
}

impl RawManifest {
    /// Takes bytes of this type; their digest is computed with SHA-256.
    pub fn new(bytes: Vec<u8>, media_type: MediaType) -> Self {
        let digest = Digest::sha256_of(&bytes);
        Self { bytes: bytes.into(), media_type, digest }
    }

    /// Takes bytes that should have this digest.
    ///
    /// # Errors
    ///
    /// If they have another one, or the algorithm is unknown.
    pub fn verified(bytes: Vec<u8>, media_type: MediaType, expected: &Digest) -> Result<Self, ManifestError> {
        let mut hasher =
            DigestHasher::matching(expected).ok_or_else(|| ManifestError::Algorithm(expected.clone()))?;
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual == *expected {
            Ok(Self { bytes: bytes.into(), media_type, digest: actual })
        } else {
            Err(ManifestError::Digest { expected: expected.clone(), actual })
        }
    }

    /// Returns the bytes of an image manifest that this project makes: compact JSON with fields in fixed order.
    pub fn from_image(manifest: &ImageManifest) -> Self {
        Self::from_json(serde_json::to_vec(manifest), MediaType::IMAGE_MANIFEST)
    }

    /// Returns the bytes of an image index that this project makes.
    pub fn from_index(index: &ImageIndex) -> Self {
        Self::from_json(serde_json::to_vec(index), MediaType::IMAGE_INDEX)
    }

    fn from_json(bytes: serde_json::Result<Vec<u8>>, media_type: &'static str) -> Self {
        // Maps with text keys and numbers in range: nothing in these types can fail to serialise.
        let bytes = bytes.unwrap_or_else(|error| unreachable!("{error}"));
        Self::new(bytes, MediaType::from_static(media_type))
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the media type.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Returns the digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the descriptor: type, digest and size, and nothing else.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest.clone(), self.bytes.len() as u64)
    }

    /// Returns the parsed manifest.
    ///
    /// # Errors
    ///
    /// If the type is no manifest's, contradicts the `mediaType` field, or the text is not valid.
    pub fn parse(&self) -> Result<Manifest, ManifestError> {
        let syntax = |source| ManifestError::Syntax {
            digest: self.digest.clone(),
            media_type: self.media_type.clone(),
            source,
        };
        let (manifest, inner) = if self.media_type.is_index() {
            let index: ImageIndex = serde_json::from_slice(&self.bytes).map_err(syntax)?;
            let inner = index.media_type.clone();
            (Manifest::Index(index), inner)
        } else if self.media_type.is_manifest() {
            let image: ImageManifest = serde_json::from_slice(&self.bytes).map_err(syntax)?;
            let inner = image.media_type.clone();
            (Manifest::Image(image), inner)
        } else {
            return Err(ManifestError::Type {
                digest: self.digest.clone(),
                media_type: self.media_type.clone(),
            });
        };
        match inner {
            Some(inner) if inner != self.media_type => Err(ManifestError::TypeMismatch {
                digest: self.digest.clone(),
                inner,
                outer: self.media_type.clone(),
            }),
            _ => Ok(manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> ImageManifest {
        let mut manifest = ImageManifest::new("application/bagit-1.0".parse().unwrap(), Descriptor::empty());
        manifest.layers.push(Descriptor::new("text/csv".parse().unwrap(), Digest::sha256_of(b"a"), 1));
        manifest.annotations.insert("b".into(), "2".into());
        manifest.annotations.insert("a".into(), "1".into());
        manifest
    }

    #[test]
    fn fields_have_a_fixed_order() {
        let raw = RawManifest::from_image(&artifact());
        let text = std::str::from_utf8(raw.bytes()).unwrap();
        let places: Vec<_> =
            ["schemaVersion", "mediaType", "artifactType", "config", "layers", "annotations"]
                .iter()
                .map(|field| text.find(&format!("\"{field}\":")).unwrap())
                .collect();
        assert!(places.is_sorted(), "{text}");
        assert!(text.ends_with("\"annotations\":{\"a\":\"1\",\"b\":\"2\"}}"), "{text}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let raw = RawManifest::from_image(&artifact());
        assert_eq!(raw.parse().unwrap(), Manifest::Image(artifact()));
        assert_eq!(raw.descriptor().digest, Digest::sha256_of(raw.bytes()));
    }

    #[test]
    fn changed_bytes_are_refused() {
        let raw = RawManifest::from_image(&artifact());
        let mut bytes = raw.bytes().to_vec();
        bytes[20] ^= 1;
        let error = RawManifest::verified(bytes, raw.media_type().clone(), raw.digest()).unwrap_err();
        assert!(matches!(error, ManifestError::Digest { .. }));
    }

    #[test]
    fn an_index_under_a_manifests_type_is_refused() {
        let index = RawManifest::from_index(&ImageIndex::new(Vec::new()));
        let mut text: serde_json::Value = serde_json::from_slice(index.bytes()).unwrap();
        text["config"] = serde_json::to_value(Descriptor::empty()).unwrap();
        let raw =
            RawManifest::new(text.to_string().into(), MediaType::from_static(MediaType::IMAGE_MANIFEST));
        assert!(matches!(raw.parse(), Err(ManifestError::TypeMismatch { .. })));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            for media_type in [MediaType::IMAGE_MANIFEST, MediaType::IMAGE_INDEX, "text/csv"] {
                let _ = RawManifest::new(bytes.clone(), MediaType::from_static(media_type)).parse();
            }
        }
    }
}
