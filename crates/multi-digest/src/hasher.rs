//! Several digests of one stream in one pass.

use std::fmt;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::algorithm::{Algorithm, AlgorithmSet};
use crate::digests::{Digests, with_digests};

/// A block that stays in the first-level cache while each algorithm reads it.
const BLOCK_LENGTH: usize = 32 * 1024;

/// Computes several digests of one stream of bytes.
///
/// ```
/// use multi_digest::{Algorithm, Digests, MultiHasher};
///
/// let mut hasher = MultiHasher::new(Algorithm::Sha256.into());
/// hasher.update(b"a");
/// hasher.update(b"bc");
/// assert_eq!(hasher.finish(), Digests::of(Algorithm::Sha256.into(), b"abc"));
/// ```
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

impl MultiHasher {
    /// Starts the given algorithms; without any, `update` costs nothing.
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
        for block in bytes.chunks(BLOCK_LENGTH) {
            feed(&mut self.md5, block);
            feed(&mut self.sha1, block);
            feed(&mut self.sha224, block);
            feed(&mut self.sha256, block);
            feed(&mut self.sha384, block);
            feed(&mut self.sha512, block);
        }
    }

    /// Ends the stream and returns its digests.
    #[must_use]
    pub fn finish(self) -> Digests {
        fn append<D: Digest>(bytes: &mut Vec<u8>, hasher: Option<D>) {
            if let Some(hasher) = hasher {
                bytes.extend_from_slice(&hasher.finalize());
            }
        }
        with_digests(self.algorithms, |bytes| {
            append(bytes, self.md5);
            append(bytes, self.sha1);
            append(bytes, self.sha224);
            append(bytes, self.sha256);
            append(bytes, self.sha384);
            append(bytes, self.sha512);
        })
    }
}

impl fmt::Debug for MultiHasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MultiHasher").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::MultiHasher;
    use crate::algorithm::{Algorithm, AlgorithmSet};
    use crate::digests::Digests;

    #[test]
    fn all_digests_of_abc_in_one_pass() {
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
    fn no_algorithms_give_no_digests() {
        assert_eq!(Digests::of(AlgorithmSet::EMPTY, b"abc"), Digests::new());
    }

    proptest::proptest! {
        #[test]
        fn pieces_give_the_digests_of_the_whole(
            pieces in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), 0..8),
            bits in 0..64_u8,
        ) {
            let algorithms = AlgorithmSet::from_bits(bits).unwrap();
            let mut hasher = MultiHasher::new(algorithms);
            pieces.iter().for_each(|piece| hasher.update(piece));
            proptest::prop_assert_eq!(hasher.finish(), Digests::of(algorithms, &pieces.concat()));
        }
    }
}
