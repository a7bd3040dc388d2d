//! Content digests: `algorithm:encoded`, the address of every blob and manifest.

use std::fmt;
use std::str::FromStr;

use multi_digest::{Algorithm, MultiHasher, Update};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A content digest as the image specification writes it (descriptor.md, "Digests").
///
/// Any digest that fits the grammar can be carried and compared. Only those of a [known algorithm](DigestAlgorithm) can be
/// computed and verified. Parsing checks the length and the lower case of the encoded part of `sha256` and `sha512`.
///
/// ```
/// use oci_model::Digest;
///
/// let digest = Digest::sha256_of(b"{}");
/// assert_eq!(digest.short(), "44136fa355b3");
/// assert_eq!(digest.as_str().parse(), Ok(digest.clone()));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    text: Box<str>,
    colon: u8,
}

/// A digest algorithm that this crate can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// SHA-256, which every implementation must support (descriptor.md, "SHA-256").
    Sha256,
    /// SHA-512, which an implementation may support (descriptor.md, "SHA-512").
    Sha512,
}

/// A text that is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: {reason}")]
pub struct DigestError {
    text: String,
    reason: &'static str,
}

/// The longest accepted text in bytes: four times the length of a SHA-512 digest.
const LONGEST_TEXT: usize = 540;

impl Digest {
    /// Returns the digest with these SHA-256 bytes.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Self::from_known(DigestAlgorithm::Sha256, &bytes)
    }

    /// Returns the SHA-256 digest of `content`.
    pub fn sha256_of(content: &[u8]) -> Self {
        let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
        hasher.update(content);
        hasher.finish()
    }

    fn from_known(algorithm: DigestAlgorithm, bytes: &[u8]) -> Self {
        let name = algorithm.name();
        let text = format!("{name}:{}", hex::encode(bytes));
        // The two known names have six bytes.
        Self { text: text.into(), colon: 6 }
    }

    /// Returns the text, `algorithm:encoded`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name of the algorithm, known or not.
    pub fn algorithm_name(&self) -> &str {
        &self.text[..usize::from(self.colon)]
    }

    /// Returns the algorithm, if this crate can compute it.
    pub fn algorithm(&self) -> Option<DigestAlgorithm> {
        DigestAlgorithm::from_name(self.algorithm_name())
    }

    /// Returns the part after the colon.
    pub fn encoded(&self) -> &str {
        &self.text[usize::from(self.colon) + 1..]
    }

    /// Returns the 32 bytes of a SHA-256 digest, or `None` for any other algorithm.
    pub fn sha256_bytes(&self) -> Option<[u8; 32]> {
        if self.algorithm() != Some(DigestAlgorithm::Sha256) {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(self.encoded(), &mut bytes).ok()?;
        Some(bytes)
    }

    /// Returns the first 12 characters of the encoded part, by which people tell digests apart.
    pub fn short(&self) -> &str {
        let encoded = self.encoded();
        encoded.get(..12).unwrap_or(encoded)
    }
}

impl DigestAlgorithm {
    /// Returns the registered name: the part before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn checksum(self) -> Algorithm {
        match self {
            Self::Sha256 => Algorithm::Sha256,
            Self::Sha512 => Algorithm::Sha512,
        }
    }

    fn encoded_length(self) -> usize {
        2 * self.checksum().digest_length()
    }
}

/// Computes the digest of a stream of bytes.
///
/// ```
/// use oci_model::{Digest, DigestAlgorithm, DigestHasher};
///
/// let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
/// hasher.update(b"{");
/// hasher.update(b"}");
/// assert_eq!(hasher.finish(), Digest::sha256_of(b"{}"));
/// ```
#[derive(Clone, Debug)]
pub struct DigestHasher {
    algorithm: DigestAlgorithm,
    hasher: MultiHasher,
}

impl DigestHasher {
    /// Returns a hasher for the algorithm.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Self { algorithm, hasher: MultiHasher::new(algorithm.checksum().into()) }
    }

    /// Returns a hasher whose result can be compared with `digest`, or `None` if its algorithm is unknown.
    pub fn matching(digest: &Digest) -> Option<Self> {
        digest.algorithm().map(Self::new)
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Returns the digest of all bytes taken.
    pub fn finish(self) -> Digest {
        let digests = self.hasher.finish();
        // The hasher computes the one algorithm that it was made for.
        Digest::from_known(self.algorithm, digests.get(self.algorithm.checksum()).unwrap_or_default())
    }
}

impl Update for DigestHasher {
    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let fail = |reason| Err(DigestError { text: text.chars().take(160).collect(), reason });
        if text.len() > LONGEST_TEXT {
            return fail("it is too long");
        }
        let Some((algorithm, encoded)) = text.split_once(':') else {
            return fail("it has no colon");
        };
        let Some(colon) = u8::try_from(algorithm.len()).ok().filter(|_| is_algorithm_name(algorithm)) else {
            return fail("the algorithm is not of the form `name[+.-_]name`");
        };
        if encoded.is_empty() || !encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b)) {
            return fail("the part after the colon has characters other than `a-zA-Z0-9=_-`");
        }
        if let Some(known) = DigestAlgorithm::from_name(algorithm) {
            let lower_hex = encoded.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if encoded.len() != known.encoded_length() || !lower_hex {
                return fail(
                    "the part after the colon is not the algorithm's number of lower-case hex digits",
                );
            }
        }
        Ok(Self { text: text.into(), colon })
    }
}

/// `component (separator component)*`, `component = [a-z0-9]+`, `separator = [+._-]` (descriptor.md, "Digests").
fn is_algorithm_name(name: &str) -> bool {
    name.split(['+', '.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_JSON: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn a_digest_has_an_algorithm_and_an_encoded_part() {
        let digest = Digest::sha256_of(b"{}");
        assert_eq!(digest.as_str(), EMPTY_JSON);
        assert_eq!(digest.algorithm(), Some(DigestAlgorithm::Sha256));
        assert_eq!(digest.short(), "44136fa355b3");
        assert_eq!(digest, EMPTY_JSON.parse().unwrap());
        assert_eq!(Digest::from_sha256(digest.sha256_bytes().unwrap()), digest);
    }

    #[test]
    fn the_hasher_follows_the_digest_to_compare_with() {
        let sha512: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
        assert!(
            DigestHasher::matching(&sha512).unwrap().finish().as_str().starts_with("sha512:cf83e1357eefb8bd")
        );
        let unknown: Digest = "blake9:00".parse().unwrap();
        assert!(DigestHasher::matching(&unknown).is_none());
    }

    #[test]
    fn unknown_algorithms_are_carried() {
        let digest: Digest =
            "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8".parse().unwrap();
        assert_eq!(digest.algorithm(), None);
        assert_eq!(digest.algorithm_name(), "multihash+base58");
        assert_eq!(digest.sha256_bytes(), None);
    }

    #[test]
    fn other_texts_are_refused() {
        let upper = EMPTY_JSON.to_uppercase().replace("SHA256", "sha256");
        let long = format!("x:{}", "a".repeat(600));
        for text in [
            "",
            "sha256",
            "sha256:",
            ":abc",
            "sha256:abc",
            "Sha256:00",
            "../x:y",
            "a..b:c",
            "sha256:é",
            "a/b:c",
            &upper,
            &long,
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_text(text in "\\PC{0,80}|[a-z0-9+._-]{1,12}:[a-zA-Z0-9=_-]{0,70}") {
            if let Ok(digest) = text.parse::<Digest>() {
                proptest::prop_assert_eq!(digest.as_str(), text.as_str());
                proptest::prop_assert_eq!(format!("{}:{}", digest.algorithm_name(), digest.encoded()), text);
            }
        }
    }
}
