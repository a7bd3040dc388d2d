//! The digests of one file, held compactly.

use std::fmt;

use crate::algorithm::{Algorithm, AlgorithmSet};

/// The digests of one file: one pointer to one allocation, which holds a byte for the algorithms and then the digests.
///
/// ```
/// use multi_digest::{Algorithm, AlgorithmSet, Digests};
///
/// let digests = Digests::of(AlgorithmSet::all(), b"abc");
/// assert_eq!(digests.hex(Algorithm::Sha1).as_deref(), Some("a9993e364706816aba3e25717850c26c9cd0d89d"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Digests(Box<[u8]>);

impl Digests {
    /// Returns an empty set of digests; it allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a borrowed view of the digests.
    #[must_use]
    pub fn view(&self) -> DigestsView<'_> {
        DigestsView(&self.0)
    }

    /// Returns the algorithms whose digest is held.
    #[must_use]
    pub fn algorithms(&self) -> AlgorithmSet {
        self.view().algorithms()
    }

    /// Returns the digest by one algorithm, if it is held.
    #[must_use]
    pub fn get(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.view().get(algorithm)
    }

    /// Returns the digest by one algorithm in lower-case hexadecimal, if it is held.
    #[must_use]
    pub fn hex(&self, algorithm: Algorithm) -> Option<String> {
        self.view().hex(algorithm)
    }

    /// Returns the digests, weakest algorithm first.
    pub fn iter(&self) -> impl Iterator<Item = (Algorithm, &[u8])> {
        self.view().iter()
    }

    /// Adds a digest, or replaces the one by the same algorithm. Returns `false` and changes nothing if the digest does
    /// not have the algorithm's length.
    pub fn insert(&mut self, algorithm: Algorithm, digest: &[u8]) -> bool {
        if digest.len() != algorithm.digest_length() {
            return false;
        }
        let mut algorithms = self.algorithms();
        algorithms.insert(algorithm);
        let bytes = with_digests(algorithms, |bytes| {
            for held in algorithms.iter() {
                let part = if held == algorithm { Some(digest) } else { self.get(held) };
                bytes.extend_from_slice(part.unwrap_or_default());
            }
        });
        *self = bytes;
        true
    }
}

/// Makes digests: `append` adds those of the algorithms in order.
pub(crate) fn with_digests(algorithms: AlgorithmSet, append: impl FnOnce(&mut Vec<u8>)) -> Digests {
    if algorithms.is_empty() {
        return Digests::new();
    }
    let mut bytes = Vec::with_capacity(encoded_length(algorithms));
    bytes.push(algorithms.bits());
    append(&mut bytes);
    Digests(bytes.into_boxed_slice())
}

fn encoded_length(algorithms: AlgorithmSet) -> usize {
    1 + algorithms.iter().map(Algorithm::digest_length).sum::<usize>()
}

/// The digests of one file, borrowed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct DigestsView<'a>(&'a [u8]);

impl<'a> DigestsView<'a> {
    /// Reads the bytes that [`DigestsView::as_bytes`] returned, and returns `None` for any others.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let length = match bytes.first() {
            Some(&bits) => encoded_length(AlgorithmSet::from_bits(bits).filter(|set| !set.is_empty())?),
            None => 0,
        };
        (bytes.len() == length).then_some(Self(bytes))
    }

    /// Returns the digests as bytes, for a table of many files: one byte for the algorithms, then the digests, weakest
    /// algorithm first. An empty set gives no bytes.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Returns the algorithms whose digest is held.
    #[must_use]
    pub fn algorithms(self) -> AlgorithmSet {
        self.0.first().copied().and_then(AlgorithmSet::from_bits).unwrap_or_default()
    }

    /// Returns the digest by one algorithm, if it is held.
    #[must_use]
    pub fn get(self, algorithm: Algorithm) -> Option<&'a [u8]> {
        self.iter().find(|(held, _)| *held == algorithm).map(|(_, digest)| digest)
    }

    /// Returns the digest by one algorithm in lower-case hexadecimal, if it is held.
    #[must_use]
    pub fn hex(self, algorithm: Algorithm) -> Option<String> {
        self.get(algorithm).map(hex::encode)
    }

    /// Returns the digests, weakest algorithm first.
    pub fn iter(self) -> impl Iterator<Item = (Algorithm, &'a [u8])> {
        let mut rest = self.0.get(1..).unwrap_or_default();
        self.algorithms().iter().map_while(move |algorithm| {
            let (digest, after) = rest.split_at_checked(algorithm.digest_length())?;
            rest = after;
            Some((algorithm, digest))
        })
    }

    /// Returns an owned copy of the digests.
    #[must_use]
    pub fn to_digests(self) -> Digests {
        Digests(self.0.into())
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(formatter)
    }
}

impl fmt::Debug for DigestsView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_map()
            .entries(self.iter().map(|(algorithm, digest)| (algorithm, hex::encode(digest))))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Digests, DigestsView};
    use crate::algorithm::{Algorithm, AlgorithmSet};

    #[test]
    fn inserted_digests_come_back_and_wrong_lengths_do_not_go_in() {
        let mut digests = Digests::new();
        assert!(digests.insert(Algorithm::Sha256, &[1; 32]) && digests.insert(Algorithm::Md5, &[2; 16]));
        assert!(digests.insert(Algorithm::Md5, &[3; 16]));
        assert!(!digests.insert(Algorithm::Sha1, &[4; 19]));
        assert_eq!(digests.get(Algorithm::Md5), Some(&[3; 16][..]));
        assert_eq!(digests.get(Algorithm::Sha256), Some(&[1; 32][..]));
        assert_eq!(digests.get(Algorithm::Sha1), None);
    }

    #[test]
    fn bytes_are_read_back_and_others_are_refused() {
        let digests = Digests::of([Algorithm::Md5, Algorithm::Sha1].into_iter().collect(), b"abc");
        let bytes = digests.view().as_bytes();
        assert_eq!(DigestsView::from_bytes(bytes), Some(digests.view()));
        assert_eq!(DigestsView::from_bytes(&[]), Some(Digests::new().view()));
        let longer = [bytes, &[0]].concat();
        for wrong in [&bytes[..bytes.len() - 1], &longer, &[0], &[0x40], &[0xff]] {
            assert_eq!(DigestsView::from_bytes(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn one_entry_stays_small() {
        assert_eq!(size_of::<Digests>(), 16);
        assert_eq!(Digests::of(AlgorithmSet::all(), b"").view().as_bytes().len(), 1 + 208);
    }
}
