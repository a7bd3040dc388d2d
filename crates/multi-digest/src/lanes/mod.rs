//! Digests of many streams at once.
//!
//! A checksum algorithm spends most of its time waiting for its own last result. Blocks of independent streams do not
//! wait for each other, so one vector register holds the same word of several streams: each stream has a lane.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
#[cfg(target_arch = "x86_64")]
use std::time::{Duration, Instant};

use sha2::block_api::{compress256, compress512};

use self::schedule::run;
pub(crate) use self::schedule::{Work, compress_rest};

mod kernels;
mod schedule;
#[cfg(target_arch = "x86_64")]
mod sha_extensions;
#[cfg(target_arch = "x86_64")]
mod transpose;

/// The widest vector instructions that may be used, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Vectors {
    /// No lanes: every stream is hashed alone, by the `RustCrypto` crates.
    None,
    /// Vectors of 128 bits, which every processor of the architecture has: SSE2 on x86-64, NEON on 64-bit ARM.
    Bits128,
    /// AVX2, 256 bits.
    Avx2,
    /// AVX-512 (F, BW, DQ and VL), 512 bits.
    Avx512,
}

impl Vectors {
    /// All values, narrowest first.
    pub const ALL: [Self; 4] = [Self::None, Self::Bits128, Self::Avx2, Self::Avx512];

    /// Returns the name that [`FromStr`] reads: `none`, `128`, `avx2` or `avx512`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bits128 => "128",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Vectors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A text that names no [`Vectors`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected none, 128, avx2 or avx512, found `{0}`")]
pub struct UnknownVectors(pub String);

impl FromStr for Vectors {
    type Err = UnknownVectors;

    fn from_str(text: &str) -> Result<Self, UnknownVectors> {
        let named = Self::ALL.into_iter().find(|vectors| vectors.name() == text);
        named.ok_or_else(|| UnknownVectors(text.to_owned()))
    }
}

/// The limit for [`Lanes::new`] in this process. The choice of instructions is a property of the process, like the
/// processor's features, which the standard library also detects once and keeps.
static LIMIT: OnceLock<Vectors> = OnceLock::new();

/// Limits the vector instructions that [`Lanes::new`] chooses from now on, for tests and for processors that slow down
/// when wide vectors run. Returns `false` if a limit was already set: the first one stays.
pub fn limit_vectors(limit: Vectors) -> bool {
    LIMIT.set(limit).is_ok()
}

/// Hashes many streams at once with the instructions of this processor.
///
/// ```
/// use multi_digest::{Algorithm, Digests, Feed, Lanes, MultiHasher};
///
/// let lanes = Lanes::new();
/// let texts = [&b"one file"[..], b"another file"];
/// let mut hashers = vec![MultiHasher::new(Algorithm::Md5.into()); 2];
/// let feeds = hashers.iter_mut().zip(texts).map(|(hasher, bytes)| Feed { hasher, bytes });
/// lanes.update(feeds.collect());
/// let digests = lanes.finish(hashers);
/// assert_eq!(digests[1], Digests::of(Algorithm::Md5.into(), b"another file"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    // The fields say what the processor has: only `detect` makes them, and `limited_to` lowers them.
    vectors: Vectors,
    sha: bool,
    /// Whether SHA-256 of many streams is faster in 16 lanes than with the SHA extensions. Processors differ.
    wide_sha256: bool,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new()
    }
}

impl Lanes {
    /// The largest number of streams that share one vector. More streams in one call wait for a free lane.
    pub const MOST: usize = 16;

    /// Chooses the widest instructions that this processor has, up to the limit that [`limit_vectors`] set.
    #[must_use]
    pub fn new() -> Self {
        Self::detect().limited_to(LIMIT.get().copied().unwrap_or(Vectors::Avx512))
    }

    /// Chooses the widest instructions that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            let vectors = match (has_avx512, is_x86_feature_detected!("avx2")) {
                (true, true) => Vectors::Avx512,
                (false, true) => Vectors::Avx2,
                (_, false) => Vectors::Bits128,
            };
            let sha = has_sha_extensions();
            let lanes = Self { vectors, sha, wide_sha256: false };
            if sha && vectors == Vectors::Avx512 { lanes.tried() } else { lanes }
        }
        #[cfg(target_arch = "aarch64")]
        return Self { vectors: Vectors::Bits128, sha: false, wide_sha256: false };
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return Self { vectors: Vectors::None, sha: false, wide_sha256: false };
    }

    /// Returns the same choice with no wider vectors than `limit`. [`Vectors::None`] also gives up the SHA extensions
    /// of several streams; `RustCrypto` uses them for one stream all the same.
    #[must_use]
    pub fn limited_to(self, limit: Vectors) -> Self {
        let (vectors, sha) = (self.vectors.min(limit), self.sha && limit != Vectors::None);
        Self { vectors, sha, ..self }.with_sha256_in_lanes(self.wide_sha256)
    }

    /// Returns the same choice without the SHA extensions for several streams.
    #[must_use]
    pub fn without_sha_extensions(self) -> Self {
        Self { sha: false, wide_sha256: false, ..self }
    }

    /// Returns the same choice with SHA-256 of 13 streams and more in lanes, or with the SHA extensions. [`detect`](Self::detect) has
    /// tried which is faster. It changes nothing without AVX-512, or without the extensions.
    #[must_use]
    pub fn with_sha256_in_lanes(self, wanted: bool) -> Self {
        Self { wide_sha256: wanted && self.sha && self.vectors == Vectors::Avx512, ..self }
    }

    /// Returns the widest vectors that are used.
    #[must_use]
    pub fn vectors(self) -> Vectors {
        self.vectors
    }
}

/// MD5 with the vectors that every processor of the architecture has.
fn md5_narrow(states: &mut kernels::States<u32, 4, 4>, streams: &kernels::Streams<'_, 64, 4>, count: usize) {
    kernels::md5(states, streams, count, kernels::md5_words);
}

/// Calls a function whose instructions this processor has.
#[cfg(target_arch = "x86_64")]
macro_rules! detected {
    ($kernel:path, $($argument:expr),+) => {{
        #[expect(unsafe_code, reason = "calling a function with target features")]
        // SAFETY: the function's only requirement is that the processor has its target features. The caller has
        // detected exactly these features, or matched a field of `Lanes`, which `Lanes::detect` sets after that.
        unsafe {
            $kernel($($argument),+)
        }
    }};
}

/// A compression function of lanes whose instructions `Lanes` has detected.
#[cfg(target_arch = "x86_64")]
macro_rules! lanes {
    ($kernel:path) => {
        |states: &mut _, streams: &_, count| detected!($kernel, states, streams, count)
    };
}

/// Compresses blocks of one stream with MD5 and SHA-256 at once. Returns `false` if this processor has no instructions for that.
#[cfg(target_arch = "x86_64")]
pub(crate) fn md5_with_sha256(md5: &mut [u32; 4], sha256: &mut [u32; 8], blocks: &[[u8; 64]]) -> bool {
    let is_possible = has_sha_extensions();
    if is_possible {
        detected!(sha_extensions::md5_with_sha256, md5, sha256, blocks);
    }
    is_possible
}

#[cfg(target_arch = "x86_64")]
fn has_sha_extensions() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3")
}

/// Only the SHA extensions of x86 leave room for MD5 beside them.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn md5_with_sha256(_: &mut [u32; 4], _: &mut [u32; 8], _: &[[u8; 64]]) -> bool {
    false
}

/// The smallest number of streams for which lanes are faster than one stream after the other. Measured by
/// `examples/throughput.rs`.
#[cfg(target_arch = "x86_64")]
impl Lanes {
    pub(crate) fn md5(self, mut work: Vec<Work<'_, u32, 4, 64>>) {
        if self.vectors == Vectors::Avx512 {
            run(&mut work, 2, lanes!(x86::md5_avx512));
        }
        if self.vectors == Vectors::Avx2 {
            run(&mut work, 5, lanes!(x86::md5_avx2));
        }
        if self.vectors != Vectors::None {
            run(&mut work, 3, md5_narrow);
        }
        compress_rest(work, md5::block_api::compress);
    }

    pub(crate) fn sha256(self, mut work: Vec<Work<'_, u32, 8, 64>>) {
        match (self.sha, self.vectors) {
            (true, _) => {
                if self.wide_sha256 {
                    run(&mut work, 13, lanes!(x86::sha256_avx512));
                }
                run(&mut work, 4, lanes!(sha_extensions::sha256::<4>));
                run(&mut work, 2, lanes!(sha_extensions::sha256::<2>));
            }
            (false, Vectors::Avx512) => run(&mut work, 4, lanes!(x86::sha256_avx512)),
            (false, Vectors::Avx2) => run(&mut work, 8, lanes!(x86::sha256_avx2)),
            (false, Vectors::Bits128 | Vectors::None) => {}
        }
        compress_rest(work, compress256);
    }

    pub(crate) fn sha512(self, mut work: Vec<Work<'_, u64, 8, 128>>) {
        match self.vectors {
            Vectors::Avx512 => run(&mut work, 5, lanes!(x86::sha512_avx512)),
            Vectors::Avx2 => run(&mut work, 10, lanes!(x86::sha512_avx2)),
            Vectors::Bits128 | Vectors::None => {}
        }
        compress_rest(work, compress512);
    }
}

/// Whether SHA-256 of many streams is faster in lanes on this processor: found once in a process, in a fifth of a millisecond.
#[cfg(target_arch = "x86_64")]
static WIDE_SHA256: OnceLock<bool> = OnceLock::new();

#[cfg(target_arch = "x86_64")]
impl Lanes {
    /// Tries SHA-256 with lanes and with the SHA extensions, and chooses the faster.
    ///
    /// No feature of the processor tells: one of AMD is nearly twice as fast with the extensions, one of Intel is a third faster with
    /// lanes.
    fn tried(self) -> Self {
        let wide = || self.with_sha256_in_lanes(true).time_of_sha256();
        let extensions = || self.with_sha256_in_lanes(false).time_of_sha256();
        self.with_sha256_in_lanes(*WIDE_SHA256.get_or_init(|| wide() < extensions()))
    }

    /// Returns the shortest of several times that SHA-256 of sixteen kilobytes in sixteen streams takes.
    fn time_of_sha256(self) -> Duration {
        let bytes = [[0x5a; 64]; 16];
        let one = || {
            let mut states = [[0; 8]; Self::MOST];
            let start = Instant::now();
            self.sha256(states.iter_mut().map(|state| Work { state, blocks: &bytes }).collect());
            std::hint::black_box(&states);
            start.elapsed()
        };
        (0..6).map(|_| one()).min().unwrap_or_default()
    }
}

/// SHA-2 has instructions of its own on nearly all processors of other architectures, and `RustCrypto` uses them.
#[cfg(not(target_arch = "x86_64"))]
impl Lanes {
    pub(crate) fn md5(self, mut work: Vec<Work<'_, u32, 4, 64>>) {
        if self.vectors != Vectors::None {
            run(&mut work, 3, md5_narrow);
        }
        compress_rest(work, md5::block_api::compress);
    }

    pub(crate) fn sha256(self, work: Vec<Work<'_, u32, 8, 64>>) {
        compress_rest(work, compress256);
    }

    pub(crate) fn sha512(self, work: Vec<Work<'_, u64, 8, 128>>) {
        compress_rest(work, compress512);
    }
}

/// The compression functions with wider vectors than every x86-64 processor has.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::kernels::{self, States, Streams};
    use super::transpose;

    macro_rules! with_features {
        ($name:ident, $kernel:ident, $words:path, $word:ty, $state:literal, $block:literal, $features:literal) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name(
                states: &mut States<$word, $state, 16>,
                streams: &Streams<'_, $block, 16>,
                count: usize,
            ) {
                kernels::$kernel(states, streams, count, |streams, block, message| {
                    $words(streams, block, message);
                });
            }
        };
    }

    macro_rules! with_avx512 {
        ($name:ident, $kernel:ident, $words:path, $word:ty, $state:literal, $block:literal) => {
            with_features!(
                $name,
                $kernel,
                $words,
                $word,
                $state,
                $block,
                "avx2,avx512f,avx512bw,avx512dq,avx512vl"
            );
        };
    }

    with_avx512!(md5_avx512, md5, transpose::md5_avx512, u32, 4, 64);
    with_avx512!(sha256_avx512, sha256, transpose::sha256_avx512, u32, 8, 64);
    with_avx512!(sha512_avx512, sha512, kernels::sha512_words, u64, 8, 128);
    // More lanes than one vector has: the vectors do not wait for each other, and the compiler turns only loops of this
    // length into vector instructions.
    with_features!(md5_avx2, md5, transpose::md5_avx2, u32, 4, 64, "avx2");
    with_features!(sha256_avx2, sha256, transpose::sha256_avx2, u32, 8, 64, "avx2");
    with_features!(sha512_avx2, sha512, kernels::sha512_words, u64, 8, 128, "avx2");
}

impl fmt::Display for Lanes {
    /// Names the instructions, such as `AVX-512, SHA extensions`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vectors = match (self.vectors, cfg!(target_arch = "x86_64")) {
            (Vectors::None, _) => "no lanes",
            (Vectors::Bits128, true) => "SSE2",
            (Vectors::Bits128, false) => "NEON",
            (Vectors::Avx2, _) => "AVX2",
            (Vectors::Avx512, _) => "AVX-512",
        };
        let sha = match (self.sha, self.wide_sha256) {
            (true, true) => ", SHA extensions for fewer than 13",
            (true, false) => ", SHA extensions",
            (false, _) => "",
        };
        write!(formatter, "{vectors}{sha}")
    }
}
