//! The DataONE identifier: its rules, its form in a URL path, and its OCI tag.

mod path_encoding;
mod spellings;
mod tag;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::path_encoding::{decode_path_segment, encode_path_segment};

/// The largest number of characters an identifier may have (`NonEmptyNoWhitespaceString800` of the schema).
pub const MAX_IDENTIFIER_CHARACTERS: usize = 800;

/// Names one DataONE object (a PID) or one chain of versions (a SID).
///
/// An identifier has 1 to 800 Unicode characters, all printable and none of them whitespace (`dataoneTypes.xsd`,
/// type `Identifier`). It is opaque: its text has no meaning. Comparison is exact. Copies share the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identifier(Arc<str>);

impl Identifier {
    /// Returns the identifier's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the identifier as one percent-encoded segment of a URL path, for the DataONE REST interface.
    ///
    /// ```
    /// use d1_model::Identifier;
    ///
    /// let identifier: Identifier = "doi:10.18739/A2D795C92".parse()?;
    /// let segment = identifier.to_path_segment();
    /// assert_eq!(segment, "doi:10.18739%2FA2D795C92");
    /// assert_eq!(Identifier::from_path_segment(&segment)?, identifier);
    /// # Ok::<(), d1_model::IdentifierError>(())
    /// ```
    #[must_use]
    pub fn to_path_segment(&self) -> String {
        encode_path_segment(&self.0)
    }

    /// Reads an identifier from one percent-encoded segment of a URL path.
    ///
    /// # Errors
    ///
    /// Fails when the segment is not valid percent-encoded UTF-8, or when its text breaks the rules of identifiers.
    pub fn from_path_segment(segment: &str) -> Result<Self, IdentifierError> {
        decode_path_segment(segment)?.parse()
    }

    /// Returns the OCI tag for this identifier: at most 128 characters of `[A-Za-z0-9_.-]`.
    ///
    /// `urn:uuid:…` and plain DOIs keep their text, with `_` for `:` and `/`. Any other identifier gets a readable
    /// prefix and the first 16 hexadecimal digits of the SHA-256 of its text. So different identifiers have
    /// different tags.
    ///
    /// ```
    /// use d1_model::Identifier;
    ///
    /// let tag = |text: &str| text.parse::<Identifier>().map(|identifier| identifier.tag());
    /// assert_eq!(tag("doi:10.18739/A2D795C92")?, "doi_10.18739_A2D795C92");
    /// assert_eq!(tag("knb.92123.1")?, "knb.92123.1-xbaf7e134ddc9cbb0");
    /// # Ok::<(), d1_model::IdentifierError>(())
    /// ```
    #[must_use]
    pub fn tag(&self) -> String {
        tag::tag_of(&self.0)
    }

    /// Returns the identifiers that a person who typed this one may mean, this one first. Comparison is exact, but people copy a DOI
    /// as an address, without its scheme, or in another case, which the DOI Handbook calls equal (section 2.4).
    ///
    /// ```
    /// use d1_model::Identifier;
    ///
    /// let typed: Identifier = "https://doi.org/10.18739/a2d795c92".parse()?;
    /// assert!(typed.spellings().contains(&"doi:10.18739/A2D795C92".parse()?));
    /// # Ok::<(), d1_model::IdentifierError>(())
    /// ```
    #[must_use]
    pub fn spellings(&self) -> Vec<Self> {
        spellings::spellings_of(self)
    }
}

/// The reason why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// The text is empty.
    #[error("an identifier must not be empty")]
    Empty,
    /// The text has more than [`MAX_IDENTIFIER_CHARACTERS`] characters.
    #[error("an identifier has at most {MAX_IDENTIFIER_CHARACTERS} characters, this one has {characters}")]
    TooLong {
        /// The number of Unicode characters.
        characters: usize,
    },
    /// The text contains whitespace.
    #[error("an identifier must not contain whitespace (U+{:04X} at character {position})", u32::from(*character))]
    Whitespace {
        /// The whitespace character.
        character: char,
        /// Its position, counted in characters from 0.
        position: usize,
    },
    /// The text contains a control character or another character that XML cannot carry.
    #[error("an identifier has printable characters only (U+{:04X} at character {position})", u32::from(*character))]
    NotPrintable {
        /// The character.
        character: char,
        /// Its position, counted in characters from 0.
        position: usize,
    },
    /// A path segment holds a `%` without two hexadecimal digits, or decodes to bytes that are not UTF-8.
    #[error("“{segment}” is not percent-encoded UTF-8")]
    BadPathEncoding {
        /// The segment.
        segment: String,
    },
}

impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Identifier {
    type Error = IdentifierError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check(&text)?;
        Ok(Self(text.into()))
    }
}

impl From<Identifier> for String {
    fn from(identifier: Identifier) -> Self {
        Self::from(&*identifier.0)
    }
}

impl AsRef<str> for Identifier {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn check(text: &str) -> Result<(), IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty);
    }
    let characters = text.chars().count();
    if characters > MAX_IDENTIFIER_CHARACTERS {
        return Err(IdentifierError::TooLong { characters });
    }
    for (position, character) in text.chars().enumerate() {
        if character.is_whitespace() {
            return Err(IdentifierError::Whitespace { character, position });
        }
        if character.is_control() || matches!(character, '\u{FFFE}' | '\u{FFFF}') {
            return Err(IdentifierError::NotPrintable { character, position });
        }
    }
    Ok(())
}
