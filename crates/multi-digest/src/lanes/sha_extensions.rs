//! SHA-256 of several streams, and of one stream together with MD5, with the SHA extensions of x86.
//!
//! One stream waits for the result of each instruction. Several streams fill these waits.
#![expect(clippy::needless_range_loop, reason = "the loops run over the lanes of several arrays")]

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
    _mm_shuffle_epi32,
};
use std::array::from_fn;

use super::kernels::{MD5_CONSTANTS, MD5_SHIFTS, SHA256_CONSTANTS, States, Streams, sixteen};

/// Compresses `count` blocks of N streams with SHA-256 (FIPS 180-4 section 6.2).
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn sha256<const N: usize>(
    states: &mut States<u32, 8, N>,
    streams: &Streams<'_, 64, N>,
    count: usize,
) {
    let (mut abef, mut cdgh) = ([_mm_setzero_si128(); N], [_mm_setzero_si128(); N]);
    for lane in 0..N {
        let [a, b, c, d, e, f, g, h] = from_fn(|word| states[word][lane]);
        abef[lane] = vector([f, e, b, a]);
        cdgh[lane] = vector([h, g, d, c]);
    }
    for block in 0..count {
        let saved = (abef, cdgh);
        let mut message = [[_mm_setzero_si128(); 4]; N];
        for lane in 0..N {
            message[lane] = load(&streams[lane][block]);
        }
        for four in 0..4 {
            for lane in 0..N {
                rounds(4 * four, &mut abef[lane], &mut cdgh[lane], message[lane][four]);
            }
        }
        for four in 4..16 {
            for lane in 0..N {
                let word = schedule(&mut message[lane], four);
                rounds(4 * four, &mut abef[lane], &mut cdgh[lane], word);
            }
        }
        for lane in 0..N {
            abef[lane] = _mm_add_epi32(abef[lane], saved.0[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], saved.1[lane]);
        }
    }
    for lane in 0..N {
        let ([f, e, b, a], [h, g, d, c]) = (words(abef[lane]), words(cdgh[lane]));
        for (state, word) in states.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            state[lane] = word;
        }
    }
}

/// Compresses blocks of one stream with MD5 (RFC 1321 section 3.4) and SHA-256.
///
/// Each step of MD5 waits for the one before it, and uses a part of the processor that the SHA extensions leave free. So both take
/// little more time than MD5 alone, if their instructions are close enough to each other.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn md5_with_sha256(md5: &mut [u32; 4], sha256: &mut [u32; 8], blocks: &[[u8; 64]]) {
    let [a, b, c, d, e, f, g, h] = *sha256;
    let (mut abef, mut cdgh) = (vector([f, e, b, a]), vector([h, g, d, c]));
    for block in blocks {
        let (words, _) = block.as_chunks();
        let words: [u32; 16] = from_fn(|word| u32::from_le_bytes(words[word]));
        let (saved, [mut a, mut b, mut c, mut d]) = ((abef, cdgh), *md5);
        let mut message = load(block);
        macro_rules! round {
            ($round:literal, $multiplier:literal, $offset:literal, $mix:expr) => {
                macro_rules! step {
                    ($step:literal) => {
                        let sum = a
                            .wrapping_add(words[($multiplier * $step + $offset) % 16])
                            .wrapping_add(MD5_CONSTANTS[16 * $round + $step]);
                        let next =
                            $mix(sum, b, c, d).rotate_left(MD5_SHIFTS[$round][$step % 4]).wrapping_add(b);
                        (a, d, c, b) = (d, c, b, next);
                        if $step % 4 == 3 {
                            let four = 4 * $round + $step / 4;
                            let word = if four < 4 { message[four] } else { schedule(&mut message, four) };
                            rounds(4 * four, &mut abef, &mut cdgh, word);
                        }
                    };
                }
                sixteen!(step);
            };
        }
        round!(0, 1, 0, |sum: u32, b: u32, c: u32, d: u32| sum.wrapping_add(d ^ (b & (c ^ d))));
        // The two parts have no bit in common, so that a sum joins them, and one part needs no wait for `b`.
        round!(1, 5, 1, |sum: u32, b: u32, c: u32, d: u32| sum.wrapping_add(c & !d).wrapping_add(b & d));
        round!(2, 3, 5, |sum: u32, b: u32, c: u32, d: u32| sum.wrapping_add(b ^ (c ^ d)));
        round!(3, 7, 0, |sum: u32, b: u32, c: u32, d: u32| sum.wrapping_add(c ^ (b | !d)));
        for (state, change) in md5.iter_mut().zip([a, b, c, d]) {
            *state = state.wrapping_add(change);
        }
        abef = _mm_add_epi32(abef, saved.0);
        cdgh = _mm_add_epi32(cdgh, saved.1);
    }
    let ([f, e, b, a], [h, g, d, c]) = (self::words(abef), self::words(cdgh));
    *sha256 = [a, b, c, d, e, f, g, h];
}

#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn rounds(first: usize, abef: &mut __m128i, cdgh: &mut __m128i, word: __m128i) {
    let constants = vector(from_fn(|round| SHA256_CONSTANTS[first + round]));
    let sum = _mm_add_epi32(word, constants);
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0e>(sum));
}

/// Replaces the oldest four words of the message by the next four and returns them.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn schedule(message: &mut [__m128i; 4], four: usize) -> __m128i {
    let [oldest, second, third, newest] = from_fn(|age| message[(four + age) % 4]);
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(oldest, second), _mm_alignr_epi8::<4>(newest, third));
    let next = _mm_sha256msg2_epu32(sum, newest);
    message[four % 4] = next;
    next
}

/// Reads one block as big-endian words.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn load(block: &[u8; 64]) -> [__m128i; 4] {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let (words, _) = block.as_chunks();
    let mut message = [_mm_setzero_si128(); 4];
    for (four, part) in message.iter_mut().enumerate() {
        *part = _mm_shuffle_epi8(vector(from_fn(|word| u32::from_le_bytes(words[4 * four + word]))), swap);
    }
    message
}

/// Returns a vector of four words, lowest first.
#[inline]
#[target_feature(enable = "sse4.1")]
fn vector([first, second, third, fourth]: [u32; 4]) -> __m128i {
    _mm_set_epi32(fourth.cast_signed(), third.cast_signed(), second.cast_signed(), first.cast_signed())
}

/// Returns the four words of a vector, lowest first.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn words(vector: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32::<0>(vector).cast_unsigned(),
        _mm_extract_epi32::<1>(vector).cast_unsigned(),
        _mm_extract_epi32::<2>(vector).cast_unsigned(),
        _mm_extract_epi32::<3>(vector).cast_unsigned(),
    ]
}
