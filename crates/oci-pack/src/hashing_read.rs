//! Computing the digest of a blob while it is read.

use std::io::{self, Read};

use oci_model::{Digest, DigestAlgorithm, DigestHasher};

/// A reader that computes the digest and the length of what is read through it.
#[derive(Debug)]
pub struct HashingRead<R> {
    inner: R,
    hasher: DigestHasher,
    length: u64,
}

impl<R> HashingRead<R> {
    /// Returns a reader that computes the SHA-256 digest of what `inner` yields.
    pub fn new(inner: R) -> Self {
        Self::with_hasher(inner, DigestHasher::new(DigestAlgorithm::Sha256))
    }

    /// Returns a reader that computes the digest with the given hasher.
    pub fn with_hasher(inner: R, hasher: DigestHasher) -> Self {
        Self { inner, hasher, length: 0 }
    }

    /// Returns the digest and the number of the bytes that were read.
    pub fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.length)
    }
}

impl<R: Read> Read for HashingRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.length = self.length.saturating_add(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_and_length_are_those_of_the_bytes() {
        let mut reader = HashingRead::new(&b"some bytes"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish(), (Digest::sha256_of(b"some bytes"), 10));
    }
}
