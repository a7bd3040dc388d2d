//! The digests of one file, held compactly, and the hasher that computes them in one read.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::algorithm::{Algorithm, AlgorithmSet};

/// Holds the digests of one file: one pointer, and one allocation of a byte plus the digests.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Digests(Box<[u8]>);

impl Digests {
    /// Gives an empty set of digests; it allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the digests of bytes that are in memory.
    #[must_use]
    pub fn of(algorithms: AlgorithmSet, bytes: &[u8]) -> Self {
        let mut hasher = MultiHasher::new(algorithms);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Gives the digests without their memory.
    #[must_use]
    pub fn view(&self) -> DigestsView<'_> {
        DigestsView(&self.0)
    }

    /// Names the algorithms whose digest is here.
    #[must_use]
    pub fn algorithms(&self) -> AlgorithmSet {
        self.view().algorithms()
    }

    /// Gives the digest by one algorithm, if it is here.
    #[must_use]
    pub fn get(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.view().get(algorithm)
    }

    /// Gives the digest by one algorithm in lower-case hexadecimal, if it is here.
    #[must_use]
    pub fn hex(&self, algorithm: Algorithm) -> Option<String> {
        self.view().hex(algorithm)
    }

    /// Walks the digests, weakest algorithm first.
    pub fn iter(&self) -> impl Iterator<Item = (Algorithm, &[u8])> {
        self.view().iter()
    }

    /// Adds a digest, in place of one by the same algorithm; `false` and no change if its length is not the algorithm's.
    pub fn insert(&mut self, algorithm: Algorithm, digest: &[u8]) -> bool {
        if digest.len() != algorithm.digest_length() {
            return false;
        }
        let mut algorithms = self.algorithms();
        algorithms.insert(algorithm);
        let mut bytes = Vec::with_capacity(1 + length_of(algorithms));
        bytes.push(algorithms.bits());
        for held in algorithms.iter() {
            let part = if held == algorithm { Some(digest) } else { self.get(held) };
            bytes.extend_from_slice(part.unwrap_or_default());
        }
        self.0 = bytes.into_boxed_slice();
        true
    }
}

/// Refers to the digests of one file, which something else holds.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct DigestsView<'a>(&'a [u8]);

impl<'a> DigestsView<'a> {
    /// Takes the bytes of digests as [`DigestsView::bytes`] gave them.
    pub(crate) fn of_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Gives the bytes: one for the algorithms, then their digests; none if there are no digests.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Names the algorithms whose digest is here.
    #[must_use]
    pub fn algorithms(self) -> AlgorithmSet {
        AlgorithmSet::from_bits(self.0.first().copied().unwrap_or(0))
    }

    /// Gives the digest by one algorithm, if it is here.
    #[must_use]
    pub fn get(self, algorithm: Algorithm) -> Option<&'a [u8]> {
        self.iter().find(|(held, _)| *held == algorithm).map(|(_, digest)| digest)
    }

    /// Gives the digest by one algorithm in lower-case hexadecimal, if it is here.
    #[must_use]
    pub fn hex(self, algorithm: Algorithm) -> Option<String> {
        self.get(algorithm).map(hex::encode)
    }

    /// Walks the digests, weakest algorithm first.
    pub fn iter(self) -> impl Iterator<Item = (Algorithm, &'a [u8])> {
        let mut rest = self.0.get(1..).unwrap_or_default();
        self.algorithms().iter().map_while(move |algorithm| {
            let (digest, after) = rest.split_at_checked(algorithm.digest_length())?;
            rest = after;
            Some((algorithm, digest))
        })
    }

    /// Gives the digests with memory of their own.
    #[must_use]
    pub fn to_digests(self) -> Digests {
        Digests(self.0.into())
    }
}

impl std::fmt::Debug for Digests {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(formatter)
    }
}

impl std::fmt::Debug for DigestsView<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_map()
            .entries(self.iter().map(|(algorithm, digest)| (algorithm, hex::encode(digest))))
            .finish()
    }
}

fn length_of(algorithms: AlgorithmSet) -> usize {
    algorithms.iter().map(Algorithm::digest_length).sum()
}

/// Computes several digests of one stream of bytes.
#[derive(Clone)]
pub struct MultiHasher {
    algorithms: AlgorithmSet,
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha224: Option<Sha224>,
    sha256: Option<Sha256>,
    sha384: Option<Sha384>,
    sha512: Option<Sha512>,
}

impl std::fmt::Debug for MultiHasher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MultiHasher").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl MultiHasher {
    /// Starts the given algorithms; with none of them, `update` costs nothing.
    #[must_use]
    pub fn new(algorithms: AlgorithmSet) -> Self {
        fn start<D: Digest>(wanted: bool) -> Option<D> {
            wanted.then(D::new)
        }
        Self {
            algorithms,
            md5: start(algorithms.contains(Algorithm::Md5)),
            sha1: start(algorithms.contains(Algorithm::Sha1)),
            sha224: start(algorithms.contains(Algorithm::Sha224)),
            sha256: start(algorithms.contains(Algorithm::Sha256)),
            sha384: start(algorithms.contains(Algorithm::Sha384)),
            sha512: start(algorithms.contains(Algorithm::Sha512)),
        }
    }

    /// Feeds the next bytes of the stream to every algorithm.
    pub fn update(&mut self, bytes: &[u8]) {
        fn feed<D: Digest>(hasher: &mut Option<D>, bytes: &[u8]) {
            if let Some(hasher) = hasher {
                hasher.update(bytes);
            }
        }
        // Blocks that stay in the first-level cache while each algorithm takes its turn.
        for block in bytes.chunks(32 * 1024) {
            feed(&mut self.md5, block);
            feed(&mut self.sha1, block);
            feed(&mut self.sha224, block);
            feed(&mut self.sha256, block);
            feed(&mut self.sha384, block);
            feed(&mut self.sha512, block);
        }
    }

    /// Ends the stream and gives its digests.
    #[must_use]
    pub fn finish(self) -> Digests {
        fn put<D: Digest>(hasher: Option<D>, bytes: &mut Vec<u8>) {
            if let Some(hasher) = hasher {
                bytes.extend_from_slice(&hasher.finalize());
            }
        }
        if self.algorithms.is_empty() {
            return Digests::new();
        }
        let mut bytes = Vec::with_capacity(1 + length_of(self.algorithms));
        bytes.push(self.algorithms.bits());
        put(self.md5, &mut bytes);
        put(self.sha1, &mut bytes);
        put(self.sha224, &mut bytes);
        put(self.sha256, &mut bytes);
        put(self.sha384, &mut bytes);
        put(self.sha512, &mut bytes);
        Digests(bytes.into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::Digests;
    use crate::algorithm::{Algorithm, AlgorithmSet};

    #[test]
    fn all_digests_of_abc_in_one_read() {
        let digests = Digests::of(AlgorithmSet::all(), b"abc");
        let cases = [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                Algorithm::Sha384,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                Algorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ];
        for (algorithm, expected) in cases {
            assert_eq!(digests.hex(algorithm).as_deref(), Some(expected), "{algorithm}");
        }
    }

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
    fn one_entry_stays_small() {
        assert_eq!(size_of::<Digests>(), 16);
    }
}
