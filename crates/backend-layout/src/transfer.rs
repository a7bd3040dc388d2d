//! Bytes on their way into a storage: gathered into batches, counted and hashed as they pass.

use bytes::Bytes;
use futures::TryStreamExt;
use oci_model::{Digest, DigestHasher};
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};

const OPERATION: &str = "write blob";

/// The most pieces in one batch, so that a source of tiny pieces does not gather a mountain of them.
const BATCH_PIECES: usize = 4096;

/// Compares what passes with what the source states.
pub(crate) struct BlobCheck {
    digest: Digest,
    size: u64,
    seen: u64,
    hasher: DigestHasher,
}

impl BlobCheck {
    /// Begins the check of a source.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if its digest cannot be computed.
    pub(crate) fn new(blob: &dyn BlobSource) -> Result<Self> {
        let digest = blob.digest().clone();
        let hasher = DigestHasher::matching(&digest).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, OPERATION, &digest)
                .because("the algorithm of its digest is neither sha256 nor sha512")
        })?;
        Ok(Self { digest, size: blob.size(), seen: 0, hasher })
    }

    /// Takes in the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        if self.seen > self.size {
            return Err(self.invalid(format!("it has more than the {} bytes that were stated", self.size)));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Tells whether all went as stated.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.seen != self.size {
            return Err(
                self.invalid(format!("it has {} bytes, not the {} that were stated", self.seen, self.size))
            );
        }
        let actual = self.hasher.clone().finish();
        if actual != self.digest {
            return Err(self.invalid(format!("its bytes have the digest {actual}")));
        }
        Ok(())
    }

    fn invalid(&self, reason: String) -> Error {
        Error::new(ErrorKind::Invalid, OPERATION, &self.digest).because(reason)
    }
}

/// Bytes that are written in one go.
pub(crate) struct Batch {
    pub(crate) pieces: Vec<Bytes>,
    /// Whether nothing comes after it.
    pub(crate) last: bool,
}

/// Gathers about `bytes` bytes, or what is left.
pub(crate) async fn next_batch(stream: &mut ByteStream, bytes: usize) -> Result<Batch> {
    let mut pieces = Vec::new();
    let mut gathered = 0_usize;
    while gathered < bytes && pieces.len() < BATCH_PIECES {
        match stream.try_next().await? {
            Some(piece) if piece.is_empty() => {}
            Some(piece) => {
                gathered = gathered.saturating_add(piece.len());
                pieces.push(piece);
            }
            None => return Ok(Batch { pieces, last: true }),
        }
    }
    Ok(Batch { pieces, last: false })
}
