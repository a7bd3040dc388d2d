//! Media types: any text is carried, and RFC 6838 decides what may be written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The media type of a blob or manifest.
///
/// Registries hold descriptors whose media type has no slash, or is empty, and tools have to carry them unchanged
/// (image-spec manifest.md: unknown types are not an error). So serde and [`MediaType::received`] accept any text. Parsing
/// is for new content: it accepts only `type/subtype` of RFC 6838 section 4.2, without parameters.
///
/// ```
/// use oci_model::MediaType;
///
/// let csv: MediaType = "text/csv".parse()?;
/// assert!(csv.is_well_formed());
/// assert!("txt".parse::<MediaType>().is_err());
/// assert_eq!(MediaType::received("txt"), "txt");
/// # Ok::<(), oci_model::MediaTypeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Box<str>);

/// A text that cannot be the media type of new content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a media type: expected `type/subtype` (RFC 6838 section 4.2)")]
pub struct MediaTypeError(String);

impl MediaType {
    /// The image manifest (image-spec manifest.md).
    pub const IMAGE_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    /// The image index (image-spec image-index.md).
    pub const IMAGE_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    /// Docker's image manifest, version 2 schema 2, which registries still serve.
    pub const DOCKER_MANIFEST: &'static str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list, which registries still serve.
    pub const DOCKER_MANIFEST_LIST: &'static str =
        "application/vnd.docker.distribution.manifest.list.v2+json";
    /// The artifact manifest that release candidates of image-spec 1.1 had, and `oras` 0.16 wrote.
    pub const ARTIFACT_MANIFEST: &'static str = "application/vnd.oci.artifact.manifest.v1+json";
    /// The artifact manifest that `oras` 0.13 to 0.15 wrote.
    pub const ORAS_ARTIFACT_MANIFEST: &'static str = "application/vnd.cncf.oras.artifact.manifest.v1+json";
    /// The empty value `{}` (image-spec manifest.md, "Guidance for an Empty Descriptor").
    pub const EMPTY: &'static str = "application/vnd.oci.empty.v1+json";
    /// A layer that is a tar archive (image-spec layer.md).
    pub const LAYER_TAR: &'static str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer that is a tar archive compressed with gzip (image-spec layer.md).
    pub const LAYER_TAR_GZIP: &'static str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer that is a tar archive compressed with zstd (image-spec layer.md).
    pub const LAYER_TAR_ZSTD: &'static str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Bytes of unknown type (RFC 2046 section 4.5.1).
    pub const OCTET_STREAM: &'static str = "application/octet-stream";

    /// Returns one of the constants above, or another well-formed constant.
    ///
    /// # Panics
    ///
    /// If the text is malformed. Use [`FromStr`] or [`MediaType::received`] for text from outside.
    pub fn from_static(text: &'static str) -> Self {
        assert!(is_media_type(text), "`{text}` is not a media type");
        Self(text.into())
    }

    /// Returns a type that someone else wrote, unchecked.
    pub fn received(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the text is empty, which means the same as an absent type.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether this type may be written: `type/subtype` of RFC 6838 section 4.2.
    pub fn is_well_formed(&self) -> bool {
        is_media_type(&self.0)
    }

    /// Tells whether this is the type of an image index or of Docker's manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self.as_str(), Self::IMAGE_INDEX | Self::DOCKER_MANIFEST_LIST)
    }

    /// Tells whether this is the type of a manifest of one artifact: an image manifest, OCI's or Docker's, or an artifact
    /// manifest.
    pub fn is_manifest(&self) -> bool {
        matches!(self.as_str(), Self::IMAGE_MANIFEST | Self::DOCKER_MANIFEST) || self.is_artifact_manifest()
    }

    /// Tells whether this is the type of one of the two artifact manifests that preceded image-spec 1.1.
    pub fn is_artifact_manifest(&self) -> bool {
        matches!(self.as_str(), Self::ARTIFACT_MANIFEST | Self::ORAS_ARTIFACT_MANIFEST)
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        if is_media_type(text) {
            Ok(Self(text.into()))
        } else {
            Err(MediaTypeError(text.chars().take(160).collect()))
        }
    }
}

fn is_media_type(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(kind, subtype)| is_restricted_name(kind) && is_restricted_name(subtype))
}

/// `restricted-name` of RFC 6838 section 4.2.
fn is_restricted_name(name: &str) -> bool {
    name.len() <= 127
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl PartialEq<str> for MediaType {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for MediaType {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_rfc_6838_decides_what_is_written() {
        for good in ["text/csv", "application/bagit-1.0", MediaType::IMAGE_MANIFEST, "a/b"] {
            assert_eq!(good.parse::<MediaType>().unwrap(), good);
        }
        let long = format!("a/{}", "b".repeat(128));
        for bad in
            ["", "bagit", "/", "a/", "/b", "a/b/c", "a b/c", "text/csv; charset=utf-8", "-a/b", "é/b", &long]
        {
            assert!(bad.parse::<MediaType>().is_err(), "{bad}");
        }
    }

    #[test]
    fn any_text_is_read_and_written_back() {
        for text in ["txt", "", "a/b/c", "text/csv; charset=utf-8", "é"] {
            let json = serde_json::to_string(text).unwrap();
            let read: MediaType = serde_json::from_str(&json).unwrap();
            assert_eq!((read.as_str(), read.is_well_formed()), (text, false));
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }
}
