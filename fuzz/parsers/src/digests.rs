//! Digests of many streams at once.

use multi_digest::{Algorithm, AlgorithmSet, Digests, Feed, Lanes, MultiHasher, Vectors};

/// Hashes streams whose lengths and pieces the input chooses, and compares each digest with that of the stream alone.
///
/// The first two bytes choose the vectors and the number of streams. Then the streams get bytes in turn: one byte says how many, in
/// units of 21, so that pieces end everywhere in a block.
pub fn many_streams(bytes: &[u8]) {
    let [vectors, count, rest @ ..] = bytes else { return };
    let limit = Vectors::ALL[usize::from(*vectors) % Vectors::ALL.len()];
    let lanes = Lanes::detect().limited_to(limit);
    let lanes = if vectors & 0x80 == 0 { lanes } else { lanes.without_sha_extensions() };
    let count = 1 + usize::from(*count) % 40;
    let algorithms = |stream: usize| -> AlgorithmSet {
        Algorithm::ALL.into_iter().filter(|algorithm| (stream + 3 * (*algorithm as usize)) % 4 < 2).collect()
    };
    let mut contents = vec![Vec::new(); count];
    let mut hashers: Vec<_> = (0..count).map(|stream| MultiHasher::new(algorithms(stream))).collect();
    let mut rest = rest;
    while !rest.is_empty() {
        let mut feeds = Vec::new();
        for (hasher, content) in hashers.iter_mut().zip(&mut contents) {
            let [length, after @ ..] = rest else { break };
            let (bytes, after) = after.split_at(after.len().min(21 * usize::from(*length)));
            rest = after;
            content.extend_from_slice(bytes);
            feeds.push(Feed { hasher, bytes });
        }
        lanes.update(feeds);
    }
    for (stream, (digests, content)) in lanes.finish(hashers).iter().zip(&contents).enumerate() {
        assert_eq!(*digests, Digests::of(algorithms(stream), content), "stream {stream} of {count}, {lanes}");
    }
}
