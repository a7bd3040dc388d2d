//! Descriptors: type, digest and size of a blob or manifest.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, DigestHasher, MediaType};

/// Annotations, in the order of their keys, so that equal content has equal bytes.
pub type Annotations = BTreeMap<String, String>;

/// A content descriptor (image-spec descriptor.md).
///
/// Fields are written in the order of the declaration. Fields that this crate does not know are kept and written last.
///
/// ```
/// use oci_model::annotations::TITLE;
/// use oci_model::{Descriptor, Digest};
///
/// let layer = Descriptor::new("text/csv".parse()?, Digest::sha256_of(b"a,b\n"), 4).with_annotation(TITLE, "a.csv");
/// assert_eq!(layer.annotation(TITLE), Some("a.csv"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content; empty where others left it out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub media_type: MediaType,
    /// Digest of the content.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
    /// Further addresses of the content.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "annotations")]
    pub annotations: Annotations,
    /// The content itself, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Platform of an image that an index lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Type of the artifact, if the content is a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A platform, kept as it came: nothing in this crate depends on it.
pub type Platform = serde_json::Map<String, Value>;

impl Descriptor {
    /// Returns a descriptor with the three required fields.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: Annotations::new(),
            data: None,
            platform: None,
            artifact_type: None,
            other: BTreeMap::new(),
        }
    }

    /// Returns the descriptor of the empty value `{}`, with its two bytes inline, as `oras` writes it.
    pub fn empty() -> Self {
        let content = Self::EMPTY_CONTENT;
        Self::new(MediaType::from_static(MediaType::EMPTY), Digest::sha256_of(content), content.len() as u64)
            .with_inline_content(content)
    }

    /// The content of the [empty descriptor](Self::empty).
    pub const EMPTY_CONTENT: &'static [u8] = b"{}";

    /// Returns the descriptor with its content embedded. The caller passes the content that has this digest and size.
    #[must_use]
    pub fn with_inline_content(mut self, content: &[u8]) -> Self {
        self.data = Some(STANDARD.encode(content));
        self
    }

    /// Returns the embedded content. Returns `None` if there is none, or if it does not have the descriptor's digest and
    /// size: then only the blob counts (image-spec descriptor.md, "Embedded Content").
    pub fn inline_content(&self) -> Option<Vec<u8>> {
        let content = STANDARD.decode(self.data.as_ref()?).ok()?;
        let mut hasher = DigestHasher::matching(&self.digest)?;
        hasher.update(&content);
        (content.len() as u64 == self.size && hasher.finish() == self.digest).then_some(content)
    }

    /// Returns the descriptor with one more annotation.
    #[must_use]
    pub fn with_annotation(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// Returns an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

/// Reads annotations leniently: `null` instead of the map is an empty map, and an annotation of `null` is absent.
pub(crate) fn annotations<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Annotations, D::Error> {
    let read: BTreeMap<String, Option<String>> = null_is_default(deserializer)?;
    Ok(read.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

/// Reads `null` as the default value: some writers put it in place of an absent field.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_descriptor_is_the_one_of_oras() {
        let text = serde_json::to_string(&Descriptor::empty()).unwrap();
        assert_eq!(
            text,
            "{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\
             \"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\
             \"size\":2,\"data\":\"e30=\"}"
        );
    }

    #[test]
    fn embedded_content_counts_only_with_the_right_digest_and_size() {
        let content = b"index";
        let descriptor =
            Descriptor::new("text/csv".parse().unwrap(), Digest::sha256_of(content), content.len() as u64);
        assert_eq!(descriptor.inline_content(), None);
        let with = |data: &str| Descriptor { data: Some(data.to_owned()), ..descriptor.clone() };
        assert_eq!(with("aW5kZXg=").inline_content().unwrap(), content);
        assert_eq!(descriptor.clone().with_inline_content(content), with("aW5kZXg="));
        for other in ["", "aW5kZXk=", "aW5kZXg", "aW5kZXgA", "~"] {
            assert_eq!(with(other).inline_content(), None, "{other}");
        }
        let longer = Descriptor { size: 6, ..with("aW5kZXg=") };
        assert_eq!(longer.inline_content(), None);
    }

    #[test]
    fn unknown_fields_are_kept() {
        let text = format!(
            "{{\"mediaType\":\"text/csv\",\"digest\":\"{}\",\"size\":1,\"annotations\":null,\"x\":[1,{{\"y\":null}}]}}",
            Digest::sha256_of(b"a")
        );
        let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
        assert!(serde_json::to_string(&descriptor).unwrap().ends_with("\"x\":[1,{\"y\":null}]}"));
    }

    #[test]
    fn fields_that_others_leave_out_or_set_to_null_are_read() {
        let digest = Digest::sha256_of(b"a");
        for fields in [
            "",
            "\"mediaType\":null,",
            "\"mediaType\":\"\",",
            "\"urls\":null,\"data\":null,\"platform\":null,\"artifactType\":null,",
            "\"annotations\":{\"a\":null},",
        ] {
            let text = format!("{{{fields}\"digest\":\"{digest}\",\"size\":1}}");
            let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
            assert_eq!(descriptor, Descriptor::new(MediaType::default(), digest.clone(), 1), "{text}");
        }
    }

    #[test]
    fn a_negative_size_is_refused() {
        let text =
            format!("{{\"mediaType\":\"text/csv\",\"digest\":\"{}\",\"size\":-1}}", Digest::sha256_of(b"a"));
        assert!(serde_json::from_str::<Descriptor>(&text).is_err());
    }
}
