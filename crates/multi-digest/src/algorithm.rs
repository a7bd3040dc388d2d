//! The checksum algorithms, and small sets of them.

use std::fmt;
use std::str::FromStr;

/// A checksum algorithm.
///
/// ```
/// use multi_digest::Algorithm;
///
/// assert_eq!("SHA-256".parse(), Ok(Algorithm::Sha256));
/// assert_eq!(Algorithm::Sha256.to_string(), "sha256");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// MD5, 16 bytes (RFC 1321).
    Md5,
    /// SHA-1, 20 bytes (FIPS 180-4).
    Sha1,
    /// SHA-224, 28 bytes (FIPS 180-4).
    Sha224,
    /// SHA-256, 32 bytes (FIPS 180-4).
    Sha256,
    /// SHA-384, 48 bytes (FIPS 180-4).
    Sha384,
    /// SHA-512, 64 bytes (FIPS 180-4).
    Sha512,
}

impl Algorithm {
    /// Every supported algorithm, weakest first.
    pub const ALL: [Self; 6] =
        [Self::Md5, Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the name in lower case without punctuation, such as `sha256`: the form in BagIt manifest names
    /// (RFC 8493 section 2.4) and OCI digests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the length of a digest in bytes.
    #[must_use]
    pub fn digest_length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The name of an algorithm that this crate cannot compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a supported checksum algorithm (md5, sha1, sha224, sha256, sha384, sha512)")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Reads a name leniently: ignores case and everything but letters and digits, so `SHA-256` is `sha256`.
    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let plain: String =
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == plain)
            .ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Algorithm {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A set of algorithms, in one byte.
///
/// ```
/// use multi_digest::{Algorithm, AlgorithmSet};
///
/// let set = AlgorithmSet::from(Algorithm::Md5).union(Algorithm::Sha256.into());
/// assert!(set.contains(Algorithm::Md5) && !set.contains(Algorithm::Sha1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AlgorithmSet(u8);

impl AlgorithmSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Returns the set of every supported algorithm.
    #[must_use]
    pub fn all() -> Self {
        Algorithm::ALL.into_iter().collect()
    }

    /// Tells whether the set holds this algorithm.
    #[must_use]
    pub fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// Adds one algorithm.
    pub fn insert(&mut self, algorithm: Algorithm) {
        self.0 |= algorithm.bit();
    }

    /// Returns the set of the algorithms that are in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Tells whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the algorithms of the set, weakest first.
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// Reads [`AlgorithmSet::bits`], and returns `None` for bits that stand for no algorithm.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        (bits >> Algorithm::ALL.len() == 0).then_some(Self(bits))
    }
}

impl From<Algorithm> for AlgorithmSet {
    fn from(algorithm: Algorithm) -> Self {
        Self(algorithm.bit())
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        let mut set = Self::EMPTY;
        algorithms.into_iter().for_each(|algorithm| set.insert(algorithm));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, AlgorithmSet};

    #[test]
    fn names_are_read_leniently() {
        let cases = [
            ("SHA-256", Some(Algorithm::Sha256)),
            ("SHA256", Some(Algorithm::Sha256)),
            ("sha_512", Some(Algorithm::Sha512)),
            ("MD5", Some(Algorithm::Md5)),
            ("sha1", Some(Algorithm::Sha1)),
            ("sha3-256", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Algorithm>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn sets_keep_each_algorithm_once_in_order() {
        let set: AlgorithmSet = [Algorithm::Sha512, Algorithm::Md5, Algorithm::Md5].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Algorithm::Md5, Algorithm::Sha512]);
        assert!(!set.contains(Algorithm::Sha256) && !set.is_empty());
        assert_eq!(AlgorithmSet::all().iter().count(), 6);
    }

    #[test]
    fn bits_that_stand_for_no_algorithm_are_not_a_set() {
        assert_eq!(AlgorithmSet::from_bits(AlgorithmSet::all().bits()), Some(AlgorithmSet::all()));
        assert_eq!(AlgorithmSet::from_bits(0x40), None);
    }
}
