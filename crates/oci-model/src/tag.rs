//! Tags: names of manifests in a repository, which can move.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A tag, `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec, "Pulling manifests").
///
/// ```
/// assert_eq!("v1.0".parse::<oci_model::Tag>()?.as_str(), "v1.0");
/// assert!("-v1".parse::<oci_model::Tag>().is_err());
/// # Ok::<(), oci_model::TagError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

/// A text that is not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a tag: expected 1 to 128 characters of `a-zA-Z0-9._-`, not beginning with `.` or `-`")]
pub struct TagError(String);

impl Tag {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let good = text.len() <= 128
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'.' || b == b'-');
        if good { Ok(Self(text.into())) } else { Err(TagError(text.chars().take(160).collect())) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_the_specification_decides() {
        let longest = "a".repeat(128);
        for good in ["latest", "_x", "urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd", &longest] {
            assert_eq!(good.parse::<Tag>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(129);
        for bad in ["", ".a", "-a", "a:b", "a/b", "a b", "é", &too_long] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }
}
