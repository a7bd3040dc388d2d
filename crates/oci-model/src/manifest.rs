//! Manifests: parsed to be read, and kept as the bytes that were received.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::descriptor::{annotations, null_is_default};
use crate::{Annotations, Descriptor, Digest, DigestHasher, MediaType};

/// The largest manifest that is read, in bytes: registries are expected to take 4 MiB (distribution-spec, "Pushing
/// Manifests"). The limit is higher, so that an error can state the size of a larger one.
pub const MANIFEST_READ_LIMIT: u64 = 8 * 1024 * 1024;

/// A parsed manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Manifest {
    /// An image manifest: one artifact.
    Image(ImageManifest),
    /// An image index: a list of manifests.
    Index(ImageIndex),
    /// An artifact manifest: one artifact, in the form that preceded image-spec 1.1.
    Artifact(ArtifactManifest),
}

/// An image manifest (image-spec manifest.md), with its fields in the order in which `oras` writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Version of the schema: 2, or 0 where others left it out.
    #[serde(default)]
    pub schema_version: u32,
    /// Media type of the manifest itself; old writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The content.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to, which makes this one its referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "annotations")]
    pub annotations: Annotations,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// An image index (image-spec image-index.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Version of the schema: 2, or 0 where others left it out.
    #[serde(default)]
    pub schema_version: u32,
    /// Media type of the index itself; old writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The listed manifests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "annotations")]
    pub annotations: Annotations,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// An artifact manifest, which `oras` 0.13 to 0.16 wrote. This crate reads it and never makes one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ArtifactManifest {
    /// Media type of the manifest itself.
    #[serde(default)]
    pub media_type: Option<MediaType>,
    /// Type of the artifact.
    #[serde(default)]
    pub artifact_type: Option<MediaType>,
    /// The content.
    #[serde(default, deserialize_with = "null_is_default")]
    pub blobs: Vec<Descriptor>,
    /// The manifest that this one refers to, which makes this one its referrer.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "annotations")]
    pub annotations: Annotations,
}

impl Manifest {
    /// Returns the manifest that this one refers to.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
            Self::Artifact(artifact) => artifact.subject.as_ref(),
        }
    }

    /// Returns the annotations.
    pub fn annotations(&self) -> &Annotations {
        match self {
            Self::Image(manifest) => &manifest.annotations,
            Self::Index(index) => &index.annotations,
            Self::Artifact(artifact) => &artifact.annotations,
        }
    }

    /// Returns the type under which registries list the artifact among referrers: `artifactType`, else the type of the
    /// configuration (distribution-spec, "Listing Referrers").
    pub fn effective_artifact_type(&self) -> Option<&MediaType> {
        let (stated, configuration) = match self {
            Self::Image(manifest) => (&manifest.artifact_type, Some(&manifest.config.media_type)),
            Self::Index(index) => (&index.artifact_type, None),
            Self::Artifact(artifact) => (&artifact.artifact_type, None),
        };
        stated.iter().chain(configuration).find(|media_type| !media_type.is_empty())
    }

    /// Returns the content of the artifact; an index has none of its own.
    pub fn layers(&self) -> &[Descriptor] {
        match self {
            Self::Image(manifest) => &manifest.layers,
            Self::Index(_) => &[],
            Self::Artifact(artifact) => &artifact.blobs,
        }
    }

    /// Returns the blobs that a store must have before the manifest: configuration and layers, without repeats.
    pub fn blobs(&self) -> Vec<&Descriptor> {
        let configuration = match self {
            Self::Image(manifest) => Some(&manifest.config),
            Self::Index(_) | Self::Artifact(_) => None,
        };
        let mut seen = HashSet::new();
        configuration
            .into_iter()
            .chain(self.layers())
            .filter(|descriptor| seen.insert(&descriptor.digest))
            .collect()
    }

    /// Returns the manifests that an index lists.
    pub fn children(&self) -> &[Descriptor] {
        match self {
            Self::Index(index) => &index.manifests,
            Self::Image(_) | Self::Artifact(_) => &[],
        }
    }

    fn media_type(&self) -> Option<&MediaType> {
        let stated = match self {
            Self::Image(manifest) => &manifest.media_type,
            Self::Index(index) => &index.media_type,
            Self::Artifact(artifact) => &artifact.media_type,
        };
        stated.as_ref().filter(|media_type| !media_type.is_empty())
    }
}

impl ImageManifest {
    /// Returns an artifact's manifest without layers.
    pub fn new(artifact_type: MediaType, config: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::from_static(MediaType::IMAGE_MANIFEST)),
            artifact_type: Some(artifact_type),
            config,
            layers: Vec::new(),
            subject: None,
            annotations: Annotations::new(),
            other: BTreeMap::new(),
        }
    }
}

impl From<ArtifactManifest> for ImageManifest {
    /// Returns an image manifest with the same content, for readers. Its configuration is the empty one, with its bytes
    /// embedded; no store needs to hold it.
    fn from(artifact: ArtifactManifest) -> Self {
        let artifact_type = artifact.artifact_type.unwrap_or_default();
        Self {
            layers: artifact.blobs,
            subject: artifact.subject,
            annotations: artifact.annotations,
            ..Self::new(artifact_type, Descriptor::empty())
        }
    }
}

impl ImageIndex {
    /// Returns an index of these manifests.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::from_static(MediaType::IMAGE_INDEX)),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: Annotations::new(),
            other: BTreeMap::new(),
        }
    }
}

/// The bytes of a manifest, with their media type and digest. The bytes always have this digest.
///
/// A received manifest is never serialised again: a copy is made of these bytes.
///
/// ```
/// use oci_model::{Descriptor, Digest, ImageManifest, Manifest, RawManifest};
///
/// let manifest = ImageManifest::new("application/bagit-1.0".parse()?, Descriptor::empty());
/// let raw = RawManifest::from_image(&manifest);
/// assert_eq!(raw.digest(), &Digest::sha256_of(raw.bytes()));
/// assert_eq!(raw.parse()?, Manifest::Image(manifest));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    bytes: Box<[u8]>,
    media_type: MediaType,
    digest: Digest,
}

/// Bytes that are not the expected manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The text is not JSON, or lacks required fields.
    #[error("manifest {digest} is not a valid {media_type}")]
    Syntax {
        /// Digest of the bytes.
        digest: Digest,
        /// The type as which the bytes were read.
        media_type: MediaType,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
    /// The type is not one of a manifest that this crate can read.
    #[error("expected a manifest at {digest}, found the media type `{media_type}`")]
    Type {
        /// Digest of the bytes.
        digest: Digest,
        /// The type.
        media_type: MediaType,
    },
    /// The `mediaType` field contradicts the type under which the manifest was served.
    #[error("manifest {digest} was served as {outer}, but its `mediaType` is {inner}")]
    TypeMismatch {
        /// Digest of the bytes.
        digest: Digest,
        /// The `mediaType` field.
        inner: MediaType,
        /// The type that the server or the descriptor states.
        outer: MediaType,
    },
    /// The bytes do not have the expected digest.
    #[error(
        "expected the digest {expected}, found {actual}: the manifest was changed in transit or in the store"
    )]
    Digest {
        /// The requested digest.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// The requested digest cannot be verified.
    #[error("expected a digest by sha256 or sha512, found {0}")]
    Algorithm(Digest),
}

impl RawManifest {
    /// Takes bytes of this type and computes their SHA-256 digest.
    pub fn new(bytes: Vec<u8>, media_type: MediaType) -> Self {
        let digest = Digest::sha256_of(&bytes);
        Self { bytes: bytes.into(), media_type, digest }
    }

    /// Takes bytes that should have this digest.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Digest`] if they have another one, [`ManifestError::Algorithm`] if its algorithm is unknown.
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

    /// Returns the bytes of an image manifest: compact JSON with fields in fixed order.
    pub fn from_image(manifest: &ImageManifest) -> Self {
        Self::from_json(serde_json::to_vec(manifest), MediaType::IMAGE_MANIFEST)
    }

    /// Returns the bytes of an image index: compact JSON with fields in fixed order.
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

    /// Returns a descriptor with type, digest and size alone.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest.clone(), self.bytes.len() as u64)
    }

    /// Returns the parsed manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Type`] if the type is unknown, [`ManifestError::Syntax`] if the text is not valid,
    /// [`ManifestError::TypeMismatch`] if the type contradicts the `mediaType` field.
    pub fn parse(&self) -> Result<Manifest, ManifestError> {
        let syntax = |source| ManifestError::Syntax {
            digest: self.digest.clone(),
            media_type: self.media_type.clone(),
            source,
        };
        let manifest = if self.media_type.is_index() {
            Manifest::Index(serde_json::from_slice(&self.bytes).map_err(syntax)?)
        } else if self.media_type.is_artifact_manifest() {
            Manifest::Artifact(serde_json::from_slice(&self.bytes).map_err(syntax)?)
        } else if self.media_type.is_manifest() {
            Manifest::Image(serde_json::from_slice(&self.bytes).map_err(syntax)?)
        } else {
            return Err(ManifestError::Type {
                digest: self.digest.clone(),
                media_type: self.media_type.clone(),
            });
        };
        match manifest.media_type() {
            Some(inner) if *inner != self.media_type => Err(ManifestError::TypeMismatch {
                digest: self.digest.clone(),
                inner: inner.clone(),
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
    fn written_manifests_read_back() {
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

    /// Parses a manifest text of the given type.
    fn parse(media_type: &str, text: &str) -> Result<Manifest, ManifestError> {
        RawManifest::new(text.into(), MediaType::received(media_type)).parse()
    }

    #[test]
    fn fields_that_others_leave_out_or_set_to_null_are_read() {
        let config = serde_json::to_string(&Descriptor::empty()).unwrap();
        for fields in [
            "",
            ",\"layers\":null,\"annotations\":null,\"subject\":null,\"mediaType\":null,\"artifactType\":null",
            ",\"schemaVersion\":2,\"layers\":[],\"mediaType\":\"\",\"artifactType\":\"\"",
        ] {
            let text = format!("{{\"config\":{config}{fields}}}");
            let manifest = parse(MediaType::IMAGE_MANIFEST, &text).expect(&text);
            assert_eq!(manifest.layers(), [], "{text}");
            assert_eq!(manifest.effective_artifact_type().unwrap(), MediaType::EMPTY, "{text}");
        }
        let index = parse(MediaType::IMAGE_INDEX, "{\"manifests\":null}").unwrap();
        assert_eq!((index.children(), index.effective_artifact_type()), (&[][..], None));
    }

    #[test]
    fn an_artifact_manifest_reads_as_an_image_manifest_with_its_blobs() {
        let blob = Descriptor::new(MediaType::received("txt"), Digest::sha256_of(b"a"), 1);
        let blobs = serde_json::to_string(&[&blob, &blob]).unwrap();
        for media_type in [MediaType::ARTIFACT_MANIFEST, MediaType::ORAS_ARTIFACT_MANIFEST] {
            let text =
                format!("{{\"mediaType\":\"{media_type}\",\"artifactType\":\"text/x\",\"blobs\":{blobs}}}");
            let manifest = parse(media_type, &text).unwrap();
            assert_eq!(manifest.blobs(), [&blob]);
            assert_eq!(manifest.effective_artifact_type().unwrap(), "text/x");
            let Manifest::Artifact(artifact) = manifest else { panic!("an artifact manifest") };
            let image = ImageManifest::from(artifact);
            assert_eq!(image.layers, [blob.clone(), blob.clone()]);
            assert_eq!(image.config, Descriptor::empty());
        }
        assert!(parse(MediaType::ARTIFACT_MANIFEST, "{}").is_ok());
    }

    #[test]
    fn a_manifest_of_an_unknown_kind_names_its_kind() {
        let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let error = parse(kind, "{\"schemaVersion\":1,\"fsLayers\":[]}").unwrap_err();
        assert!(matches!(error, ManifestError::Type { .. }) && error.to_string().contains(kind), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            for media_type in [MediaType::IMAGE_MANIFEST, MediaType::IMAGE_INDEX, MediaType::ARTIFACT_MANIFEST, "text/csv"] {
                let _ = RawManifest::new(bytes.clone(), MediaType::from_static(media_type)).parse();
            }
        }
    }
}
