//! Reading the next blocks of sixteen streams with vector instructions of x86.
//!
//! A block is a row of words, and a compression function needs columns: one vector for each word, with the same word of all
//! streams. Shuffles exchange rows and columns in a third of the time of single words. The compiler turns the arrays at
//! both ends into loads and stores of whole vectors.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_extracti128_si256, _mm256_permute2x128_si256, _mm256_set_epi32,
    _mm256_set_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm512_extracti32x4_epi32,
    _mm512_set_epi32, _mm512_set4_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::array::from_fn;

use super::kernels::{Message, Streams};
use super::sha_extensions;

/// Reads one block of each stream as little-endian words.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn md5_avx512(streams: &Streams<'_, 64, 16>, block: usize, message: &mut Message<u32, 16>) {
    transpose_avx512(&rows_avx512(streams, block), message);
}

/// Reads one block of each stream as big-endian words.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn sha256_avx512(streams: &Streams<'_, 64, 16>, block: usize, message: &mut Message<u32, 16>) {
    let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let mut rows = rows_avx512(streams, block);
    for row in &mut rows {
        *row = _mm512_shuffle_epi8(*row, swap);
    }
    transpose_avx512(&rows, message);
}

/// Reads one block of each stream as little-endian words.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn md5_avx2(streams: &Streams<'_, 64, 16>, block: usize, message: &mut Message<u32, 16>) {
    read_avx2(streams, block, message, |row| row);
}

/// Reads one block of each stream as big-endian words.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sha256_avx2(streams: &Streams<'_, 64, 16>, block: usize, message: &mut Message<u32, 16>) {
    let (high, low) = (0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let swap = _mm256_set_epi64x(high, low, high, low);
    read_avx2(streams, block, message, |row| _mm256_shuffle_epi8(row, swap));
}

#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
fn rows_avx512(streams: &Streams<'_, 64, 16>, block: usize) -> [__m512i; 16] {
    let mut rows = [_mm512_setzero_si512(); 16];
    for lane in 0..16 {
        let (words, _) = streams[lane][block].as_chunks();
        let words: [i32; 16] = from_fn(|word| i32::from_le_bytes(words[word]));
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = words;
        rows[lane] = _mm512_set_epi32(p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a);
    }
    rows
}

/// Exchanges rows and columns: first of single words, then of pairs, then of quarters of vectors in two steps.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
fn transpose_avx512(rows: &[__m512i; 16], message: &mut Message<u32, 16>) {
    let mut pairs = *rows;
    for row in (0..16).step_by(2) {
        pairs[row] = _mm512_unpacklo_epi32(rows[row], rows[row + 1]);
        pairs[row + 1] = _mm512_unpackhi_epi32(rows[row], rows[row + 1]);
    }
    // Quarter q of fours[4 i + j] holds the word 4 q + j of the rows 4 i to 4 i + 3.
    let mut fours = pairs;
    for row in (0..16).step_by(4) {
        for half in 0..2 {
            let (first, second) = (pairs[row + half], pairs[row + half + 2]);
            fours[row + 2 * half] = _mm512_unpacklo_epi64(first, second);
            fours[row + 2 * half + 1] = _mm512_unpackhi_epi64(first, second);
        }
    }
    for word in 0..4 {
        let [first, second, third, fourth] = from_fn(|four| fours[4 * four + word]);
        let (even, odd) = (
            [_mm512_shuffle_i32x4::<0x88>(first, second), _mm512_shuffle_i32x4::<0x88>(third, fourth)],
            [_mm512_shuffle_i32x4::<0xdd>(first, second), _mm512_shuffle_i32x4::<0xdd>(third, fourth)],
        );
        message[word] = words_avx512(_mm512_shuffle_i32x4::<0x88>(even[0], even[1]));
        message[word + 4] = words_avx512(_mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]));
        message[word + 8] = words_avx512(_mm512_shuffle_i32x4::<0xdd>(even[0], even[1]));
        message[word + 12] = words_avx512(_mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]));
    }
}

#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
fn words_avx512(vector: __m512i) -> [u32; 16] {
    let quarters = [
        _mm512_extracti32x4_epi32::<0>(vector),
        _mm512_extracti32x4_epi32::<1>(vector),
        _mm512_extracti32x4_epi32::<2>(vector),
        _mm512_extracti32x4_epi32::<3>(vector),
    ];
    let mut words = [0; 16];
    for (four, quarter) in quarters.into_iter().enumerate() {
        words[4 * four..4 * four + 4].copy_from_slice(&sha_extensions::words(quarter));
    }
    words
}

/// Reads the blocks as four matrices of eight rows and columns.
#[inline]
#[target_feature(enable = "avx2")]
fn read_avx2(
    streams: &Streams<'_, 64, 16>,
    block: usize,
    message: &mut Message<u32, 16>,
    change: impl Fn(__m256i) -> __m256i,
) {
    for first_lane in [0, 8] {
        for first_word in [0, 8] {
            let mut rows = [_mm256_setzero_si256(); 8];
            for lane in 0..8 {
                let (words, _) = streams[first_lane + lane][block].as_chunks();
                let words = from_fn(|word| i32::from_le_bytes(words[first_word + word]));
                let [a, b, c, d, e, f, g, h]: [i32; 8] = words;
                rows[lane] = change(_mm256_set_epi32(h, g, f, e, d, c, b, a));
            }
            let columns = transposed_avx2(rows);
            for word in 0..8 {
                message[first_word + word][first_lane..first_lane + 8].copy_from_slice(&columns[word]);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn transposed_avx2(rows: [__m256i; 8]) -> [[u32; 8]; 8] {
    let mut pairs = rows;
    for row in (0..8).step_by(2) {
        pairs[row] = _mm256_unpacklo_epi32(rows[row], rows[row + 1]);
        pairs[row + 1] = _mm256_unpackhi_epi32(rows[row], rows[row + 1]);
    }
    let mut fours = pairs;
    for row in [0, 4] {
        for half in 0..2 {
            let (first, second) = (pairs[row + half], pairs[row + half + 2]);
            fours[row + 2 * half] = _mm256_unpacklo_epi64(first, second);
            fours[row + 2 * half + 1] = _mm256_unpackhi_epi64(first, second);
        }
    }
    let mut columns = [[0; 8]; 8];
    for word in 0..4 {
        let (first, second) = (fours[word], fours[word + 4]);
        columns[word] = words_avx2(_mm256_permute2x128_si256::<0x20>(first, second));
        columns[word + 4] = words_avx2(_mm256_permute2x128_si256::<0x31>(first, second));
    }
    columns
}

#[inline]
#[target_feature(enable = "avx2")]
fn words_avx2(vector: __m256i) -> [u32; 8] {
    let halves = [_mm256_extracti128_si256::<0>(vector), _mm256_extracti128_si256::<1>(vector)];
    let mut words = [0; 8];
    for (four, half) in halves.into_iter().enumerate() {
        words[4 * four..4 * four + 4].copy_from_slice(&sha_extensions::words(half));
    }
    words
}
