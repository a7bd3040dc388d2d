//! Several digests of one stream in one pass.

use std::fmt;

use sha2::block_api::{compress256, compress512};

use crate::algorithm::{Algorithm, AlgorithmSet};
use crate::digests::{Digests, with_digests};
use crate::lanes::md5_with_sha256;

/// The number of bytes that all algorithms take at once: one block of SHA-512, two blocks of the others.
pub(crate) const GRANULE: usize = 128;

/// Granules that stay in the first-level cache while each algorithm reads them.
const CACHED_GRANULES: usize = 32 * 1024 / GRANULE;

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
///
/// [`Lanes`](crate::Lanes) computes the digests of many streams at once, which is several times faster.
#[derive(Clone)]
pub struct MultiHasher {
    algorithms: AlgorithmSet,
    /// The number of bytes so far.
    length: u64,
    /// The last bytes, which do not fill a granule yet.
    buffer: [u8; GRANULE],
    states: States,
}

/// The state of each algorithm. States of algorithms that are not wanted stay as they begin.
#[derive(Clone)]
pub(crate) struct States {
    pub(crate) md5: [u32; 4],
    pub(crate) sha1: [u32; 5],
    pub(crate) sha224: [u32; 8],
    pub(crate) sha256: [u32; 8],
    pub(crate) sha384: [u64; 8],
    pub(crate) sha512: [u64; 8],
}

/// The initial values (RFC 1321 section 3.3, FIPS 180-4 section 5.3).
const INITIAL: States = States {
    md5: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
    sha1: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
    sha224: [
        0xc105_9ed8,
        0x367c_d507,
        0x3070_dd17,
        0xf70e_5939,
        0xffc0_0b31,
        0x6858_1511,
        0x64f9_8fa7,
        0xbefa_4fa4,
    ],
    sha256: [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ],
    sha384: [
        0xcbbb_9d5d_c105_9ed8,
        0x629a_292a_367c_d507,
        0x9159_015a_3070_dd17,
        0x152f_ecd8_f70e_5939,
        0x6733_2667_ffc0_0b31,
        0x8eb4_4a87_6858_1511,
        0xdb0c_2e0d_64f9_8fa7,
        0x47b5_481d_befa_4fa4,
    ],
    sha512: [
        0x6a09_e667_f3bc_c908,
        0xbb67_ae85_84ca_a73b,
        0x3c6e_f372_fe94_f82b,
        0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1,
        0x9b05_688c_2b3e_6c1f,
        0x1f83_d9ab_fb41_bd6b,
        0x5be0_cd19_137e_2179,
    ],
};

impl MultiHasher {
    /// Starts the given algorithms; without any, `update` costs nothing.
    #[must_use]
    pub fn new(algorithms: AlgorithmSet) -> Self {
        Self { algorithms, length: 0, buffer: [0; GRANULE], states: INITIAL }
    }

    /// Returns the algorithms that were started.
    #[must_use]
    pub fn algorithms(&self) -> AlgorithmSet {
        self.algorithms
    }

    /// Returns the number of bytes so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Feeds the next bytes of the stream to every algorithm.
    pub fn update(&mut self, bytes: &[u8]) {
        let granules = self.begin_update(bytes);
        self.compress_granules(granules);
    }

    /// Takes the next bytes except the whole granules among them, which it returns. The caller compresses these next.
    pub(crate) fn begin_update<'a>(&mut self, bytes: &'a [u8]) -> &'a [[u8; GRANULE]] {
        let filled = self.filled();
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let missing = if filled == 0 { 0 } else { GRANULE - filled };
        let Some((first, bytes)) = bytes.split_at_checked(missing) else {
            self.buffer_at(filled, bytes);
            return &[];
        };
        if !first.is_empty() {
            self.buffer_at(filled, first);
            let granule = self.buffer;
            self.compress_granules(&[granule]);
        }
        let (granules, rest) = bytes.as_chunks();
        self.buffer_at(0, rest);
        granules
    }

    /// Returns the number of bytes in the buffer.
    fn filled(&self) -> usize {
        usize::try_from(self.length % GRANULE as u64).unwrap_or(0)
    }

    fn buffer_at(&mut self, start: usize, bytes: &[u8]) {
        if let Some(room) = self.buffer.get_mut(start..).and_then(|room| room.get_mut(..bytes.len())) {
            room.copy_from_slice(bytes);
        }
    }

    fn compress_granules(&mut self, granules: &[[u8; GRANULE]]) {
        for granules in granules.chunks(CACHED_GRANULES) {
            let bytes = granules.as_flattened();
            let both = self.algorithms.contains(Algorithm::Md5)
                && self.algorithms.contains(Algorithm::Sha256)
                && md5_with_sha256(&mut self.states.md5, &mut self.states.sha256, bytes.as_chunks().0);
            let is_left =
                |algorithm: &Algorithm| !both || !matches!(algorithm, Algorithm::Md5 | Algorithm::Sha256);
            for algorithm in self.algorithms.iter().filter(is_left) {
                self.states.compress(algorithm, bytes);
            }
        }
    }

    /// Returns the last blocks of the stream for one algorithm and their length: the bytes of the buffer, one bit, zeros, and
    /// the length of the stream in bits (RFC 1321 sections 3.1 and 3.2, FIPS 180-4 section 5.1).
    pub(crate) fn padding(&self, algorithm: Algorithm) -> ([u8; 2 * GRANULE], usize) {
        let filled = self.filled();
        let bits = u128::from(self.length) * 8;
        let (block, length, length_bytes) = match algorithm {
            Algorithm::Md5 => (64, 8, bits.to_le_bytes()),
            Algorithm::Sha1 | Algorithm::Sha224 | Algorithm::Sha256 => (64, 8, bits.to_be_bytes()),
            Algorithm::Sha384 | Algorithm::Sha512 => (GRANULE, 16, bits.to_be_bytes()),
        };
        let end = (filled + 1 + length).next_multiple_of(block);
        // MD5 has the low half first, the others have it last.
        let length_bytes =
            if algorithm == Algorithm::Md5 { &length_bytes[..8] } else { &length_bytes[16 - length..] };
        let mut padding = [0; 2 * GRANULE];
        padding[..filled].copy_from_slice(&self.buffer[..filled]);
        padding[filled] = 0x80;
        padding[end - length..end].copy_from_slice(length_bytes);
        (padding, end)
    }

    pub(crate) fn states_mut(&mut self) -> &mut States {
        &mut self.states
    }

    /// Ends the stream and returns its digests.
    #[must_use]
    pub fn finish(mut self) -> Digests {
        for algorithm in self.algorithms.iter() {
            let (padding, length) = self.padding(algorithm);
            self.states.compress(algorithm, padding.get(..length).unwrap_or_default());
        }
        self.into_digests()
    }

    /// Returns the digests of a stream whose padding was compressed.
    pub(crate) fn into_digests(self) -> Digests {
        fn append<const BYTES: usize>(
            digests: &mut Vec<u8>,
            words: impl Iterator<Item = [u8; BYTES]>,
            length: usize,
        ) {
            let end = digests.len() + length;
            words.for_each(|word| digests.extend_from_slice(&word));
            digests.truncate(end);
        }
        let states = &self.states;
        with_digests(self.algorithms, |digests| {
            for algorithm in self.algorithms.iter() {
                let length = algorithm.digest_length();
                match algorithm {
                    Algorithm::Md5 => {
                        append(digests, states.md5.iter().map(|word| word.to_le_bytes()), length)
                    }
                    Algorithm::Sha1 => {
                        append(digests, states.sha1.iter().map(|word| word.to_be_bytes()), length)
                    }
                    Algorithm::Sha224 => {
                        append(digests, states.sha224.iter().map(|word| word.to_be_bytes()), length)
                    }
                    Algorithm::Sha256 => {
                        append(digests, states.sha256.iter().map(|word| word.to_be_bytes()), length)
                    }
                    Algorithm::Sha384 => {
                        append(digests, states.sha384.iter().map(|word| word.to_be_bytes()), length)
                    }
                    Algorithm::Sha512 => {
                        append(digests, states.sha512.iter().map(|word| word.to_be_bytes()), length)
                    }
                }
            }
        })
    }
}

impl States {
    /// Compresses whole blocks.
    fn compress(&mut self, algorithm: Algorithm, bytes: &[u8]) {
        match algorithm {
            Algorithm::Md5 => md5::block_api::compress(&mut self.md5, bytes.as_chunks().0),
            Algorithm::Sha1 => sha1::block_api::compress(&mut self.sha1, bytes.as_chunks().0),
            Algorithm::Sha224 => compress256(&mut self.sha224, bytes.as_chunks().0),
            Algorithm::Sha256 => compress256(&mut self.sha256, bytes.as_chunks().0),
            Algorithm::Sha384 => compress512(&mut self.sha384, bytes.as_chunks().0),
            Algorithm::Sha512 => compress512(&mut self.sha512, bytes.as_chunks().0),
        }
    }
}

impl fmt::Debug for MultiHasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MultiHasher").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl Digests {
    /// Returns the digests of bytes in memory.
    #[must_use]
    pub fn of(algorithms: AlgorithmSet, bytes: &[u8]) -> Self {
        let mut hasher = MultiHasher::new(algorithms);
        hasher.update(bytes);
        hasher.finish()
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
