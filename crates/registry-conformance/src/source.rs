//! A blob source for tests: it comes in pieces of any size, and may lie or fail.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};

/// A blob in memory that comes as a test wants it; without options it is an honest one, in a single piece.
#[derive(Debug)]
pub struct TestSource {
    bytes: Bytes,
    digest: Digest,
    stated_size: u64,
    piece_bytes: usize,
    failure: Option<(u64, ErrorKind)>,
    opened_at: Mutex<Vec<u64>>,
}

impl TestSource {
    /// The operation that the errors of [`failing_after`](Self::failing_after) name.
    pub const FAILING_OPERATION: &'static str = "read the test source";

    /// Takes the content.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = Digest::sha256_of(&bytes);
        let stated_size = bytes.len() as u64;
        Self {
            piece_bytes: bytes.len(),
            bytes,
            digest,
            stated_size,
            failure: None,
            opened_at: Mutex::default(),
        }
    }

    /// States the SHA-512 digest.
    #[must_use]
    pub fn with_sha512(mut self) -> Self {
        let mut hasher = DigestHasher::new(DigestAlgorithm::Sha512);
        hasher.update(&self.bytes);
        self.digest = hasher.finish();
        self
    }

    /// States this digest, true or not.
    #[must_use]
    pub fn stating_digest(mut self, digest: Digest) -> Self {
        self.digest = digest;
        self
    }

    /// States this size, true or not.
    #[must_use]
    pub fn stating_size(mut self, size: u64) -> Self {
        self.stated_size = size;
        self
    }

    /// Yields pieces of this many bytes, with an empty piece after each.
    #[must_use]
    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.piece_bytes = bytes;
        self
    }

    /// Fails with an error of this kind once the bytes before `offset` have been read, every time.
    #[must_use]
    pub fn failing_after(mut self, offset: u64, kind: ErrorKind) -> Self {
        self.failure = Some((offset, kind));
        self
    }

    /// Returns the offsets at which it was opened, in the order of the calls.
    pub fn opened_at(&self) -> Vec<u64> {
        self.opened_at.lock().map(|offsets| offsets.clone()).unwrap_or_default()
    }

    fn fail(digest: &Digest, kind: ErrorKind) -> Error {
        Error::new(kind, Self::FAILING_OPERATION, digest)
    }
}

#[async_trait]
impl BlobSource for TestSource {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.stated_size
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        if let Ok(mut offsets) = self.opened_at.lock() {
            offsets.push(offset);
        }
        let end = self.failure.map_or(self.bytes.len() as u64, |(end, _)| end.min(self.bytes.len() as u64));
        let (Ok(start), Ok(end)) = (usize::try_from(offset), usize::try_from(end)) else {
            return Err(Self::fail(&self.digest, ErrorKind::Invalid));
        };
        if start > self.bytes.len() {
            return Err(Self::fail(&self.digest, ErrorKind::Invalid));
        }
        let rest = self.bytes.slice(start.min(end)..end);
        let step = self.piece_bytes.max(1);
        let pieces: Vec<Result<Bytes>> = (0..rest.len())
            .step_by(step)
            .flat_map(|from| {
                let piece = rest.slice(from..rest.len().min(from + step));
                let gap = (step < self.bytes.len()).then(Bytes::new);
                std::iter::once(piece).chain(gap)
            })
            .map(Ok)
            .chain(self.failure.map(|(_, kind)| Err(Self::fail(&self.digest, kind))))
            .collect();
        Ok(futures::stream::iter(pieces).boxed())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    fn read(source: &TestSource, offset: u64) -> Result<Vec<Bytes>> {
        futures::executor::block_on(async { source.open(offset).await?.try_collect().await })
    }

    #[test]
    fn pieces_give_the_content_from_any_offset() {
        let source = TestSource::new("abcdefg").in_pieces_of(3);
        assert_eq!(read(&source, 0).unwrap().concat(), b"abcdefg");
        assert_eq!(read(&source, 5).unwrap().concat(), b"fg");
        assert!(read(&source, 8).is_err());
        assert!(read(&source, 0).unwrap().contains(&Bytes::new()));
        assert_eq!(source.opened_at(), [0, 5, 8, 0]);
    }

    #[test]
    fn it_fails_where_it_is_told_to() {
        let source = TestSource::new("abcdefg").failing_after(4, ErrorKind::Io);
        assert_eq!(read(&source, 0).unwrap_err().kind(), ErrorKind::Io);
    }
}
