//! Streams that share the lanes of vectors, each with its hasher.

use crate::algorithm::Algorithm;
use crate::digests::Digests;
use crate::hasher::{GRANULE, MultiHasher};
use crate::lanes::{Lanes, Work, compress_rest};

/// The next bytes of one stream.
#[derive(Debug)]
pub struct Feed<'a> {
    /// The hasher of the stream.
    pub hasher: &'a mut MultiHasher,
    /// The bytes that follow those that the hasher has seen.
    pub bytes: &'a [u8],
}

impl Lanes {
    /// Feeds the next bytes of each stream to its hasher. Streams fill the lanes, longest first, and the next stream takes
    /// a lane when the one before it ends. A single stream costs the same as [`MultiHasher::update`].
    pub fn update(self, feeds: Vec<Feed<'_>>) {
        if let [_] | [] = feeds[..] {
            feeds.into_iter().for_each(|feed| feed.hasher.update(feed.bytes));
            return;
        }
        let mut streams: Vec<_> = feeds
            .into_iter()
            .map(|feed| {
                let granules = feed.hasher.begin_update(feed.bytes);
                (feed.hasher, granules)
            })
            .collect();
        for algorithm in Algorithm::ALL {
            let wanting = streams.iter_mut().filter(|(hasher, _)| hasher.algorithms().contains(algorithm));
            let wanting = wanting.map(|(hasher, granules)| (&mut **hasher, granules.as_flattened()));
            self.compress(algorithm, wanting);
        }
    }

    /// Ends the streams and returns their digests, in the same order.
    #[must_use]
    pub fn finish(self, mut hashers: Vec<MultiHasher>) -> Vec<Digests> {
        if hashers.len() > 1 {
            for algorithm in Algorithm::ALL {
                let wanting = || hashers.iter().filter(|hasher| hasher.algorithms().contains(algorithm));
                let padding: Vec<([u8; 2 * GRANULE], usize)> =
                    wanting().map(|hasher| hasher.padding(algorithm)).collect();
                let hashers = hashers.iter_mut().filter(|hasher| hasher.algorithms().contains(algorithm));
                let wanting = hashers.zip(&padding);
                let wanting = wanting
                    .map(|(hasher, (bytes, length))| (hasher, bytes.get(..*length).unwrap_or_default()));
                self.compress(algorithm, wanting);
            }
            return hashers.into_iter().map(MultiHasher::into_digests).collect();
        }
        hashers.into_iter().map(MultiHasher::finish).collect()
    }

    /// Compresses whole blocks of several streams by one algorithm.
    fn compress<'a>(
        self,
        algorithm: Algorithm,
        streams: impl Iterator<Item = (&'a mut MultiHasher, &'a [u8])>,
    ) {
        macro_rules! work {
            ($state:ident) => {
                streams
                    .map(|(hasher, bytes)| Work {
                        state: &mut hasher.states_mut().$state,
                        blocks: bytes.as_chunks().0,
                    })
                    .collect()
            };
        }
        match algorithm {
            Algorithm::Md5 => self.md5(work!(md5)),
            Algorithm::Sha1 => compress_rest(work!(sha1), sha1::block_api::compress),
            Algorithm::Sha224 => self.sha256(work!(sha224)),
            Algorithm::Sha256 => self.sha256(work!(sha256)),
            Algorithm::Sha384 => self.sha512(work!(sha384)),
            Algorithm::Sha512 => self.sha512(work!(sha512)),
        }
    }
}
