//! Content that is the same on every machine and can be made at any offset, so that large blobs need no memory.

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};

/// The most bytes that are made at once.
const PIECE: usize = 256 * 1024;

/// Returns `length` bytes that look random and are the same for the same seed.
pub fn pseudo_random(seed: u64, length: usize) -> Bytes {
    Bytes::from(piece(seed, 0, length))
}

/// A blob of pseudo-random bytes of any size, made while it is read.
#[derive(Clone, Debug)]
pub struct PseudoRandomSource {
    seed: u64,
    size: u64,
    digest: Digest,
}

impl PseudoRandomSource {
    /// Returns the blob of `size` bytes for this seed; all of its bytes are made once to compute the digest.
    pub fn new(seed: u64, size: u64) -> Self {
        let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
        let mut offset = 0;
        while let Some(bytes) = next_piece(seed, offset, size) {
            hasher.update(&bytes);
            offset += bytes.len() as u64;
        }
        Self { seed, size, digest: hasher.finish() }
    }
}

#[async_trait]
impl BlobSource for PseudoRandomSource {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let Self { seed, size, .. } = *self;
        if offset > size {
            return Err(Error::new(ErrorKind::Invalid, "open at an offset", &self.digest));
        }
        Ok(futures::stream::unfold(offset, move |offset| async move {
            let bytes = next_piece(seed, offset, size)?;
            let next = offset + bytes.len() as u64;
            Some((Ok(Bytes::from(bytes)), next))
        })
        .boxed())
    }
}

fn next_piece(seed: u64, offset: u64, size: u64) -> Option<Vec<u8>> {
    let left = size.checked_sub(offset).filter(|left| *left > 0)?;
    Some(piece(seed, offset, usize::try_from(left).unwrap_or(PIECE).min(PIECE)))
}

/// SplitMix64 (Steele, Lea, Flood 2014) as a function of the word's place, so that any offset can be made directly.
fn piece(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    let word = |place: u64| {
        let mut mixed = seed.wrapping_add((place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    let into_word = (offset % 8) as usize;
    let mut bytes = vec![0; (into_word + length).next_multiple_of(8)];
    for (place, eight) in (offset / 8..).zip(bytes.chunks_exact_mut(8)) {
        eight.copy_from_slice(&word(place));
    }
    bytes.truncate(into_word + length);
    bytes.drain(..into_word);
    bytes
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[test]
    fn the_content_is_pinned() {
        // The first outputs of SplitMix64 for seed 0, as other implementations give them.
        let expected: Vec<u8> = [0xE220_A839_7B1D_CDAF_u64, 0x6E78_9E6A_A1B9_65F4]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        assert_eq!(pseudo_random(0, 16), expected);
    }

    #[test]
    fn any_offset_gives_the_same_bytes() {
        let size = PIECE as u64 + 1000;
        let whole = pseudo_random(7, PIECE + 1000);
        let source = PseudoRandomSource::new(7, size);
        assert_eq!(source.digest(), &Digest::sha256_of(&whole));
        for offset in [0, 1, 9, PIECE as u64, size - 1, size] {
            let rest: Vec<Bytes> = futures::executor::block_on(async {
                source.open(offset).await.unwrap().try_collect().await.unwrap()
            });
            assert_eq!(rest.concat(), whole[usize::try_from(offset).unwrap()..], "{offset}");
        }
        assert!(futures::executor::block_on(source.open(size + 1)).is_err());
    }
}
