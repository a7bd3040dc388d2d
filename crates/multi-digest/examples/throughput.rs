//! Measures digests of one and of many streams in megabytes a second: `cargo run --release -p multi-digest --example throughput`.
//!
//! With the arguments `ALGORITHMS VECTORS STREAMS KIBIBYTES` it hashes once and prints only digests, for `valgrind --tool=callgrind`.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use multi_digest::{Algorithm, AlgorithmSet, Digests, Feed, Lanes, MultiHasher, Vectors};

/// The pieces in which files are read.
const PIECE: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [algorithms, vectors, streams, length] = &arguments[..] {
        let algorithms =
            algorithms.split('+').map(str::parse::<Algorithm>).collect::<Result<AlgorithmSet, _>>()?;
        let contents = contents(streams.parse()?, length.parse::<usize>()? * 1024);
        let digests = hash(Lanes::detect().limited_to(vectors.parse()?), algorithms, &contents);
        println!("{:?}", digests.first());
        return Ok(());
    }
    println!("this processor: {}", Lanes::detect());
    let contents = contents(64, 4 * PIECE);
    for algorithms in [
        &[Algorithm::Md5][..],
        &[Algorithm::Sha1],
        &[Algorithm::Sha256],
        &[Algorithm::Sha512],
        &[Algorithm::Md5, Algorithm::Sha256],
    ] {
        let set: AlgorithmSet = algorithms.iter().copied().collect();
        let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        println!("\n{}", names.join(" + "));
        for vectors in Vectors::ALL.into_iter().filter(|vectors| *vectors <= Lanes::detect().vectors()) {
            let lanes = Lanes::detect().limited_to(vectors);
            let counts = [1, 2, 3, 4, 5, 8, 16];
            let speeds = counts.map(|count| format!("{count}: {:.0}", speed(lanes, set, &contents[..count])));
            println!("{vectors:>8}  {}", speeds.join("  "));
            if set.contains(Algorithm::Sha256) && vectors > Vectors::Bits128 {
                for (name, lanes) in
                    [("no SHA", lanes.without_sha_extensions()), ("SHA", lanes.with_sha256_in_lanes(false))]
                {
                    let speeds =
                        counts.map(|count| format!("{count}: {:.0}", speed(lanes, set, &contents[..count])));
                    println!("{name:>8}  {}", speeds.join("  "));
                }
            }
        }
    }
    Ok(())
}

fn contents(streams: usize, length: usize) -> Vec<Vec<u8>> {
    let byte = |stream: usize, at: usize| ((at.wrapping_mul(2_654_435_761) >> 13) + stream).to_le_bytes()[0];
    (0..streams).map(|stream| (0..length).map(|at| byte(stream, at)).collect()).collect()
}

/// The best of many short runs in megabytes a second: other processes interrupt few of them.
fn speed(lanes: Lanes, algorithms: AlgorithmSet, contents: &[Vec<u8>]) -> f64 {
    let bytes: usize = contents.iter().map(Vec::len).sum();
    let repeat = (1024 * 1024 / bytes).max(1);
    let run = |_| {
        let start = Instant::now();
        for _ in 0..repeat {
            black_box(hash(lanes, algorithms, black_box(contents)));
        }
        start.elapsed().as_secs_f64()
    };
    let best = (0..60).map(run).fold(f64::MAX, f64::min);
    (bytes * repeat) as f64 / best / 1e6
}

fn hash(lanes: Lanes, algorithms: AlgorithmSet, contents: &[Vec<u8>]) -> Vec<Digests> {
    let mut digests = Vec::new();
    for some in contents.chunks(Lanes::MOST) {
        let mut hashers = vec![MultiHasher::new(algorithms); some.len()];
        for start in (0..some[0].len()).step_by(PIECE) {
            let piece = |content: &'_ Vec<u8>| start..content.len().min(start + PIECE);
            let feeds = hashers
                .iter_mut()
                .zip(some)
                .map(|(hasher, content)| Feed { hasher, bytes: &content[piece(content)] });
            lanes.update(feeds.collect());
        }
        digests.extend(lanes.finish(hashers));
    }
    digests
}
