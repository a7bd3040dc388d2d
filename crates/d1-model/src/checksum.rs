//! Checksums and the names of their algorithms in DataONE documents.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A checksum algorithm.
///
/// DataONE takes the names from the Library of Congress list of cryptographic hash functions. Real documents spell
/// them in several ways (`SHA1`, `sha256`), which all mean the same algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ChecksumAlgorithm {
    /// MD5, the most common one in the network.
    Md5,
    /// SHA-1, the default of the DataONE interface.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// Any other algorithm, with the name from the document.
    Other(String),
}

impl ChecksumAlgorithm {
    /// Reads an algorithm's name. It never fails: an unknown name is kept.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let name = name.trim();
        let folded: String =
            name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
        match folded.as_str() {
            "MD5" => Self::Md5,
            "SHA1" | "SHA" => Self::Sha1,
            "SHA224" => Self::Sha224,
            "SHA256" => Self::Sha256,
            "SHA384" => Self::Sha384,
            "SHA512" => Self::Sha512,
            _ => Self::Other(name.to_owned()),
        }
    }

    /// Returns the name as DataONE spells it: `MD5`, `SHA-1`, `SHA-256`, …
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Other(name) => name,
        }
    }

    /// Returns the length of a digest in bytes, if the algorithm is known.
    #[must_use]
    pub fn digest_length(&self) -> Option<usize> {
        match self {
            Self::Md5 => Some(16),
            Self::Sha1 => Some(20),
            Self::Sha224 => Some(28),
            Self::Sha256 => Some(32),
            Self::Sha384 => Some(48),
            Self::Sha512 => Some(64),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The checksum of an object: an algorithm and its result as text, normally hexadecimal.
///
/// Two checksums are equal if they have the same algorithm and their values differ at most in letter case.
/// [`fmt::Display`] writes the text form `ALGORITHM:hex`, [`FromStr`] reads it, and serde uses it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    value: String,
}

impl Checksum {
    /// Returns a checksum of an algorithm and its result as text. The text is not checked: see
    /// [`Checksum::is_well_formed`].
    #[must_use]
    pub fn new(algorithm: ChecksumAlgorithm, value: impl Into<String>) -> Self {
        Self { algorithm, value: value.into() }
    }

    /// Returns the checksum of a digest's bytes.
    #[must_use]
    pub fn from_digest(algorithm: ChecksumAlgorithm, digest: &[u8]) -> Self {
        Self { algorithm, value: hex::encode(digest) }
    }

    /// Returns the algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &ChecksumAlgorithm {
        &self.algorithm
    }

    /// Returns the result as text, in its original spelling.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns whether the text is hexadecimal and, for a known algorithm, of the right length.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let digits = self.value.len();
        digits > 0
            && digits.is_multiple_of(2)
            && self.value.bytes().all(|byte| byte.is_ascii_hexdigit())
            && self.algorithm.digest_length().is_none_or(|length| length * 2 == digits)
    }

    /// Returns the algorithm whose digests have the length of the value, if the value is impossible for its own.
    ///
    /// Nodes have objects with such checksums: an editor changed the name of the algorithm and kept the value.
    ///
    /// ```
    /// use d1_model::{Checksum, ChecksumAlgorithm};
    ///
    /// let mislabelled: Checksum = "MD5:a94a8fe5ccb19ba61c4c0873d391e987982fbbd3".parse()?;
    /// assert_eq!(mislabelled.looks_like(), Some(ChecksumAlgorithm::Sha1));
    /// # Ok::<(), d1_model::ChecksumError>(())
    /// ```
    #[must_use]
    pub fn looks_like(&self) -> Option<ChecksumAlgorithm> {
        let is_impossible = self.algorithm.digest_length().is_some() && !self.is_well_formed();
        let candidates = [
            ChecksumAlgorithm::Md5,
            ChecksumAlgorithm::Sha1,
            ChecksumAlgorithm::Sha224,
            ChecksumAlgorithm::Sha256,
            ChecksumAlgorithm::Sha384,
            ChecksumAlgorithm::Sha512,
        ];
        candidates.into_iter().find(|candidate| {
            is_impossible && Self::new(candidate.clone(), self.value.as_str()).is_well_formed()
        })
    }

    /// Returns whether a digest equals this checksum.
    #[must_use]
    pub fn matches_digest(&self, digest: &[u8]) -> bool {
        self.matches_hex(&hex::encode(digest))
    }

    /// Returns whether a hexadecimal text equals this checksum, in either letter case.
    #[must_use]
    pub fn matches_hex(&self, hex: &str) -> bool {
        self.value.eq_ignore_ascii_case(hex)
    }
}

impl PartialEq for Checksum {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.matches_hex(&other.value)
    }
}

impl Eq for Checksum {}

impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm, self.value)
    }
}

/// A text that is not `ALGORITHM:hex`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{text}” is not a checksum of the form ALGORITHM:hex")]
pub struct ChecksumError {
    /// The text, as given.
    pub text: String,
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The value has no colon, but the name of an unknown algorithm might.
        match text.rsplit_once(':') {
            Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
                Ok(Self::new(ChecksumAlgorithm::from_name(name), value.trim()))
            }
            _ => Err(ChecksumError { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for Checksum {
    type Error = ChecksumError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{Checksum, ChecksumAlgorithm};

    #[test]
    fn algorithm_names_as_they_occur() {
        for (written, canonical) in [
            ("MD5", "MD5"),
            ("md5", "MD5"),
            ("SHA-1", "SHA-1"),
            ("SHA1", "SHA-1"),
            ("sha_1", "SHA-1"),
            ("SHA-256", "SHA-256"),
            ("sha256", "SHA-256"),
            (" SHA 512 ", "SHA-512"),
            ("SHA384", "SHA-384"),
            ("Adler-32", "Adler-32"),
            ("CRC32", "CRC32"),
            ("string", "string"),
        ] {
            assert_eq!(ChecksumAlgorithm::from_name(written).name(), canonical, "{written}");
        }
    }

    #[test]
    fn values_compare_without_case() {
        let upper = Checksum::new(ChecksumAlgorithm::Md5, "F4EA2D07DB950873462A064937197B0F");
        let lower = Checksum::new(ChecksumAlgorithm::from_name("md5"), "f4ea2d07db950873462a064937197b0f");
        assert_eq!(upper, lower);
        assert_ne!(upper, Checksum::new(ChecksumAlgorithm::Sha1, lower.value()));
        let digest = hex::decode(lower.value()).unwrap();
        assert!(upper.matches_digest(&digest));
        assert!(!upper.matches_digest(&digest[1..]));
        assert_eq!(Checksum::from_digest(ChecksumAlgorithm::Md5, &digest), upper);
    }

    #[test]
    fn form_of_the_value() {
        for (algorithm, value, well_formed) in [
            ("MD5", "f4ea2d07db950873462a064937197b0f", true),
            ("MD5", "9d7d2447d5e1e37b647ad7c836f9a1b950f4d950", false),
            ("SHA-1", "SGVsbG8gV29ybGQh", false),
            ("SHA-1", "", false),
            ("CRC32", "00ff00ff", true),
            ("CRC32", "0ff", false),
        ] {
            let checksum = Checksum::new(ChecksumAlgorithm::from_name(algorithm), value);
            assert_eq!(checksum.is_well_formed(), well_formed, "{checksum}");
        }
    }

    #[test]
    fn an_impossible_value_tells_which_algorithm_made_it() {
        let sha1 = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3";
        for (algorithm, value, expected) in [
            ("MD5", sha1, Some(ChecksumAlgorithm::Sha1)),
            ("SHA-256", "F4EA2D07DB950873462A064937197B0F", Some(ChecksumAlgorithm::Md5)),
            ("SHA-1", sha1, None),
            ("MD5", "zz", None),
            ("MD5", "", None),
            // Nothing is known about the values of other algorithms.
            ("CRC32", sha1, None),
        ] {
            let checksum = Checksum::new(ChecksumAlgorithm::from_name(algorithm), value);
            assert_eq!(checksum.looks_like(), expected, "{checksum}");
        }
    }

    #[test]
    fn text_form_reads_back() {
        let checksum: Checksum = "sha1:a94a8fe5ccb19ba61c4c0873d391e987982fbbd3".parse().unwrap();
        assert_eq!(checksum.to_string(), "SHA-1:a94a8fe5ccb19ba61c4c0873d391e987982fbbd3");
        assert_eq!(checksum.to_string().parse::<Checksum>(), Ok(checksum));
        for bad in ["", "MD5", "MD5:", ":00"] {
            assert!(bad.parse::<Checksum>().is_err(), "{bad}");
        }
    }
}
