//! Lanes give the digests of the RustCrypto crates, for all lengths, numbers of streams and pieces.

use md5::Md5;
use multi_digest::{Algorithm, AlgorithmSet, Digests, Feed, Lanes, MultiHasher, Vectors};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// Every choice of instructions that this processor has.
fn choices() -> Vec<Lanes> {
    let best = Lanes::detect();
    let vectors = Vectors::ALL.into_iter().filter(|vectors| *vectors <= best.vectors());
    let mut choices: Vec<Lanes> = vectors
        .flat_map(|vectors| {
            let lanes = best.limited_to(vectors);
            let with_lanes = [true, false].map(|wanted| lanes.with_sha256_in_lanes(wanted));
            with_lanes.into_iter().chain([lanes.without_sha_extensions()])
        })
        .collect();
    choices.dedup();
    choices
}

/// The digests by the `Digest` interface of the RustCrypto crates. This crate uses only their compression functions.
fn oracle(algorithms: AlgorithmSet, bytes: &[u8]) -> Digests {
    let mut digests = Digests::new();
    for algorithm in algorithms.iter() {
        let digest = match algorithm {
            Algorithm::Md5 => Md5::digest(bytes).to_vec(),
            Algorithm::Sha1 => Sha1::digest(bytes).to_vec(),
            Algorithm::Sha224 => Sha224::digest(bytes).to_vec(),
            Algorithm::Sha256 => Sha256::digest(bytes).to_vec(),
            Algorithm::Sha384 => Sha384::digest(bytes).to_vec(),
            Algorithm::Sha512 => Sha512::digest(bytes).to_vec(),
            other => panic!("no oracle for {other}"),
        };
        assert!(digests.insert(algorithm, &digest));
    }
    digests
}

fn content(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// Feeds the streams in pieces: stream `n` gets the piece lengths in turn, beginning with the `n`th.
fn in_pieces(lanes: Lanes, algorithms: AlgorithmSet, contents: &[Vec<u8>], pieces: &[usize]) -> Vec<Digests> {
    let mut hashers = vec![MultiHasher::new(algorithms); contents.len()];
    let mut rest: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    for round in 0.. {
        let mut feeds = Vec::new();
        for (stream, (hasher, rest)) in hashers.iter_mut().zip(&mut rest).enumerate() {
            let (bytes, left) = rest.split_at(pieces[(stream + round) % pieces.len()].min(rest.len()));
            *rest = left;
            if !bytes.is_empty() {
                feeds.push(Feed { hasher, bytes });
            }
        }
        if feeds.is_empty() {
            break;
        }
        lanes.update(feeds);
    }
    lanes.finish(hashers)
}

fn expect_all(choices: &[Lanes], algorithms: AlgorithmSet, contents: &[Vec<u8>], pieces: &[usize]) {
    let expected: Vec<Digests> = contents.iter().map(|content| oracle(algorithms, content)).collect();
    for lanes in choices {
        let digests = in_pieces(*lanes, algorithms, contents, pieces);
        for ((digests, expected), content) in digests.iter().zip(&expected).zip(contents) {
            assert_eq!(digests, expected, "{lanes}: {} of {} streams", content.len(), contents.len());
        }
    }
}

#[test]
fn all_lengths_from_0_to_300_are_right_in_every_number_of_streams() {
    for streams in (1..=Lanes::MOST + 2).chain([31, 47]) {
        let lengths: Vec<usize> = (0..=300).collect();
        for lengths in lengths.chunks(streams) {
            let contents: Vec<Vec<u8>> = lengths.iter().map(|length| content(*length, *length)).collect();
            expect_all(&choices(), AlgorithmSet::all(), &contents, &[300]);
        }
    }
}

#[test]
fn a_stream_may_end_at_every_offset_while_others_go_on() {
    for end in 0..=260 {
        let contents: Vec<Vec<u8>> =
            (0..Lanes::MOST + 1).map(|n| content(n, if n % 3 == 0 { end } else { 3_000 })).collect();
        expect_all(&choices(), AlgorithmSet::all(), &contents, &[4_096]);
    }
}

#[test]
fn streams_with_different_algorithms_share_lanes() {
    let sets: Vec<AlgorithmSet> = (0..40_u8)
        .map(|n| Algorithm::ALL.into_iter().filter(|algorithm| (n >> (*algorithm as u8)) & 1 == 1).collect())
        .collect();
    let contents: Vec<Vec<u8>> = (0..sets.len()).map(|n| content(n, n * 97)).collect();
    for lanes in choices() {
        let mut hashers: Vec<_> = sets.iter().map(|set| MultiHasher::new(*set)).collect();
        let feeds = hashers.iter_mut().zip(&contents).map(|(hasher, bytes)| Feed { hasher, bytes });
        lanes.update(feeds.collect());
        for ((digests, set), content) in lanes.finish(hashers).iter().zip(&sets).zip(&contents) {
            assert_eq!(*digests, oracle(*set, content), "{lanes}");
        }
    }
}

#[test]
fn a_limit_takes_vectors_away_and_adds_none() {
    let best = Lanes::detect();
    for limit in Vectors::ALL {
        assert_eq!(best.limited_to(limit).vectors(), best.vectors().min(limit));
        assert_eq!(best.limited_to(limit).limited_to(Vectors::Avx512), best.limited_to(limit));
        assert_eq!(limit.name().parse(), Ok(limit));
    }
    assert_eq!(best.limited_to(Vectors::None).to_string(), "no lanes");
    assert!("avx".parse::<Vectors>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn streams_of_any_length_in_odd_pieces_are_right(
        bits in 1..64_u8,
        lengths in proptest::collection::vec(0..20_000_usize, 0..40),
        pieces in proptest::collection::vec(1..5_000_usize, 1..6),
    ) {
        let algorithms = Algorithm::ALL.into_iter().filter(|algorithm| (bits >> (*algorithm as u8)) & 1 == 1).collect();
        let contents: Vec<_> = lengths.iter().enumerate().map(|(seed, length)| content(seed, *length)).collect();
        expect_all(&choices(), algorithms, &contents, &pieces);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    #[test]
    fn streams_of_up_to_3_mib_are_right(
        lengths in proptest::collection::vec(0..=3 * 1024 * 1024_usize, 1..20),
        piece in (1..40_usize, any::<bool>()).prop_flat_map(|(k, odd)| Just(k * 4_096 + usize::from(odd))),
    ) {
        let algorithms = AlgorithmSet::all();
        let contents: Vec<_> = lengths.iter().enumerate().map(|(seed, length)| content(seed, *length)).collect();
        let expected: Vec<_> = contents.iter().map(|content| oracle(algorithms, content)).collect();
        for lanes in choices() {
            prop_assert_eq!(&in_pieces(lanes, algorithms, &contents, &[piece]), &expected);
        }
    }
}
