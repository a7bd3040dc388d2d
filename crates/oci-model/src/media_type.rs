//! Media types, checked against RFC 6838.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A media type, `type/subtype`, as RFC 6838 section 4.2 writes it; parameters are not part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Box<str>);

/// A text that is no media type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a media type of the form `type/subtype` (RFC 6838 section 4.2)")]
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
    /// The empty value `{}` (image-spec manifest.md, "Guidance for an Empty Descriptor").
    pub const EMPTY: &'static str = "application/vnd.oci.empty.v1+json";
    /// A layer that is a tar archive (image-spec layer.md).
    pub const LAYER_TAR: &'static str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer that is a tar archive compressed with gzip (image-spec layer.md).
    pub const LAYER_TAR_GZIP: &'static str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer that is a tar archive compressed with zstd (image-spec layer.md).
    pub const LAYER_TAR_ZSTD: &'static str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Bytes of which nothing is known (RFC 2046 section 4.5.1).
    pub const OCTET_STREAM: &'static str = "application/octet-stream";

    /// Returns one of the constants above, or any other text known to be well formed at compile time.
    ///
    /// # Panics
    ///
    /// If the text is no media type; text from outside goes through [`FromStr`].
    pub fn from_static(text: &'static str) -> Self {
        assert!(is_media_type(text), "`{text}` is not a media type");
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether this is the type of an image index or of Docker's manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self.as_str(), Self::IMAGE_INDEX | Self::DOCKER_MANIFEST_LIST)
    }

    /// Tells whether this is the type of an image manifest, OCI's or Docker's.
    pub fn is_manifest(&self) -> bool {
        matches!(self.as_str(), Self::IMAGE_MANIFEST | Self::DOCKER_MANIFEST)
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
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_rfc_6838_decides() {
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
}
