//! Compression functions over arrays with one element per stream, which the compiler turns into vector instructions.
//!
//! The functions have no instruction set of their own: they are always inlined into a caller that has one. They are
//! written as loops over lanes, because the compiler does not see through closures in vector code.

/// One word of the state or of the message of each stream.
type Vector<W, const N: usize> = [W; N];

/// The state of N streams: one vector for each word.
pub(super) type States<W, const WORDS: usize, const N: usize> = [Vector<W, N>; WORDS];

/// The next blocks of N streams.
pub(super) type Streams<'a, const BLOCK: usize, const N: usize> = [&'a [[u8; BLOCK]]; N];

pub(super) const MD5_SHIFTS: [[u32; 4]; 4] =
    [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The integer parts of 2^32 times the sines of 1 to 64 (RFC 1321 section 3.4).
pub(super) const MD5_CONSTANTS: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// Repeats a step sixteen times, so that the compiler knows all positions and rotations.
macro_rules! sixteen {
    ($step:ident) => {
        $step!(0);
        $step!(1);
        $step!(2);
        $step!(3);
        $step!(4);
        $step!(5);
        $step!(6);
        $step!(7);
        $step!(8);
        $step!(9);
        $step!(10);
        $step!(11);
        $step!(12);
        $step!(13);
        $step!(14);
        $step!(15);
    };
}
pub(super) use sixteen;

/// The sixteen words of the next block of N streams.
pub(super) type Message<W, const N: usize> = [Vector<W, N>; 16];

/// Defines a function that reads the words of one block of each stream, one after the other.
macro_rules! words_of {
    ($name:ident, $word:ty, $block:literal, $read:ident) => {
        #[inline(always)]
        pub(super) fn $name<const N: usize>(
            streams: &Streams<'_, $block, N>,
            block: usize,
            message: &mut Message<$word, N>,
        ) {
            for lane in 0..N {
                let (words, _) = streams[lane][block].as_chunks();
                for word in 0..16 {
                    message[word][lane] = <$word>::$read(words[word]);
                }
            }
        }
    };
}

words_of!(md5_words, u32, 64, from_le_bytes);
words_of!(sha512_words, u64, 128, from_be_bytes);

/// Compresses `count` blocks of N streams with MD5 (RFC 1321 section 3.4). `read` reads a block of each.
#[inline(always)]
pub(super) fn md5<const N: usize>(
    states: &mut States<u32, 4, N>,
    streams: &Streams<'_, 64, N>,
    count: usize,
    read: impl Fn(&Streams<'_, 64, N>, usize, &mut Message<u32, N>),
) {
    let mut message = [[0; N]; 16];
    for block in 0..count {
        read(streams, block, &mut message);
        let [mut a, mut b, mut c, mut d] = *states;
        macro_rules! round {
            ($round:literal, $multiplier:literal, $offset:literal, $b:ident, $c:ident, $d:ident, $mix:expr) => {
                macro_rules! step {
                    ($step:literal) => {
                        let mut next = [0; N];
                        for lane in 0..N {
                            let ($b, $c, $d) = (b[lane], c[lane], d[lane]);
                            next[lane] = a[lane]
                                .wrapping_add($mix)
                                .wrapping_add(MD5_CONSTANTS[16 * $round + $step])
                                .wrapping_add(message[($multiplier * $step + $offset) % 16][lane])
                                .rotate_left(MD5_SHIFTS[$round][$step % 4])
                                .wrapping_add(b[lane]);
                        }
                        (a, d, c, b) = (d, c, b, next);
                    };
                }
                sixteen!(step);
            };
        }
        round!(0, 1, 0, b, c, d, d ^ (b & (c ^ d)));
        round!(1, 5, 1, b, c, d, c ^ (d & (b ^ c)));
        round!(2, 3, 5, b, c, d, b ^ c ^ d);
        round!(3, 7, 0, b, c, d, c ^ (b | !d));
        for (state, change) in states.iter_mut().zip([a, b, c, d]) {
            for lane in 0..N {
                state[lane] = state[lane].wrapping_add(change[lane]);
            }
        }
    }
}

/// Defines a SHA-2 compression function (FIPS 180-4 section 6) for one size of words.
macro_rules! sha2 {
    ($name:ident, $word:ty, $block:literal, $constants:ident,
     $big0:expr, $big1:expr, $small0:expr, $small1:expr) => {
        /// Compresses `count` blocks of N streams. `read` reads a block of each.
        #[inline(always)]
        pub(super) fn $name<const N: usize>(
            states: &mut States<$word, 8, N>,
            streams: &Streams<'_, $block, N>,
            count: usize,
            read: impl Fn(&Streams<'_, $block, N>, usize, &mut Message<$word, N>),
        ) {
            let rotate =
                |x: $word, [i, j, k]: [u32; 3]| x.rotate_right(i) ^ x.rotate_right(j) ^ x.rotate_right(k);
            let shift = |x: $word, [i, j, k]: [u32; 3]| x.rotate_right(i) ^ x.rotate_right(j) ^ (x >> k);
            let mut message = [[0; N]; 16];
            for block in 0..count {
                read(streams, block, &mut message);
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *states;
                for constants in $constants.as_chunks::<16>().0 {
                    macro_rules! step {
                        ($step:literal) => {
                            let (mut first, mut fifth) = ([0; N], [0; N]);
                            for lane in 0..N {
                                let sum = h[lane]
                                    .wrapping_add(rotate(e[lane], $big1))
                                    .wrapping_add(g[lane] ^ (e[lane] & (f[lane] ^ g[lane])))
                                    .wrapping_add(constants[$step])
                                    .wrapping_add(message[$step][lane]);
                                let majority = (a[lane] & b[lane]) | (c[lane] & (a[lane] | b[lane]));
                                first[lane] = sum.wrapping_add(rotate(a[lane], $big0)).wrapping_add(majority);
                                fifth[lane] = d[lane].wrapping_add(sum);
                            }
                            (h, g, f, e, d, c, b, a) = (g, f, e, fifth, c, b, a, first);
                            // The word sixteen rounds later. Nothing uses the last sixteen.
                            for lane in 0..N {
                                message[$step][lane] = message[$step][lane]
                                    .wrapping_add(shift(message[($step + 1) % 16][lane], $small0))
                                    .wrapping_add(message[($step + 9) % 16][lane])
                                    .wrapping_add(shift(message[($step + 14) % 16][lane], $small1));
                            }
                        };
                    }
                    sixteen!(step);
                }
                for (state, change) in states.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                    for lane in 0..N {
                        state[lane] = state[lane].wrapping_add(change[lane]);
                    }
                }
            }
        }
    };
}

sha2!(sha256, u32, 64, SHA256_CONSTANTS, [2, 13, 22], [6, 11, 25], [7, 18, 3], [17, 19, 10]);
sha2!(sha512, u64, 128, SHA512_CONSTANTS, [28, 34, 39], [14, 18, 41], [1, 8, 7], [19, 61, 6]);

/// The first 32 bits of the fractions of the cube roots of the first 64 primes (FIPS 180-4 section 4.2.2).
pub(super) const SHA256_CONSTANTS: [u32; 64] = {
    let mut constants = [0; 64];
    let mut round = 0;
    while round < 64 {
        let first_half = (SHA512_CONSTANTS[round] >> 32) as u32;
        constants[round] = first_half;
        round += 1;
    }
    constants
};

/// The first 64 bits of the fractions of the cube roots of the first 80 primes (FIPS 180-4 section 4.2.3).
const SHA512_CONSTANTS: [u64; 80] = [
    0x428a_2f98_d728_ae22,
    0x7137_4491_23ef_65cd,
    0xb5c0_fbcf_ec4d_3b2f,
    0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538,
    0x59f1_11f1_b605_d019,
    0x923f_82a4_af19_4f9b,
    0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242,
    0x1283_5b01_4570_6fbe,
    0x2431_85be_4ee4_b28c,
    0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f,
    0x80de_b1fe_3b16_96b1,
    0x9bdc_06a7_25c7_1235,
    0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2,
    0xefbe_4786_384f_25e3,
    0x0fc1_9dc6_8b8c_d5b5,
    0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275,
    0x4a74_84aa_6ea6_e483,
    0x5cb0_a9dc_bd41_fbd4,
    0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab,
    0xa831_c66d_2db4_3210,
    0xb003_27c8_98fb_213f,
    0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2,
    0xd5a7_9147_930a_a725,
    0x06ca_6351_e003_826f,
    0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc,
    0x2e1b_2138_5c26_c926,
    0x4d2c_6dfc_5ac4_2aed,
    0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de,
    0x766a_0abb_3c77_b2a8,
    0x81c2_c92e_47ed_aee6,
    0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364,
    0xa81a_664b_bc42_3001,
    0xc24b_8b70_d0f8_9791,
    0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218,
    0xd699_0624_5565_a910,
    0xf40e_3585_5771_202a,
    0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8,
    0x1e37_6c08_5141_ab53,
    0x2748_774c_df8e_eb99,
    0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63,
    0x4ed8_aa4a_e341_8acb,
    0x5b9c_ca4f_7763_e373,
    0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc,
    0x78a5_636f_4317_2f60,
    0x84c8_7814_a1f0_ab72,
    0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28,
    0xa450_6ceb_de82_bde9,
    0xbef9_a3f7_b2c6_7915,
    0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c,
    0xd186_b8c7_21c0_c207,
    0xeada_7dd6_cde0_eb1e,
    0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba,
    0x0a63_7dc5_a2c8_98a6,
    0x113f_9804_bef9_0dae,
    0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84,
    0x32ca_ab7b_40c7_2493,
    0x3c9e_be0a_15c9_bebc,
    0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6,
    0x597f_299c_fc65_7e2a,
    0x5fcb_6fab_3ad6_faec,
    0x6c44_198c_4a47_5817,
];
