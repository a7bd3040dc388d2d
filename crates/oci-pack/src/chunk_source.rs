//! The consumer's end of the inflating pipeline, and the thread that hashes what was consumed.

use crossbeam_channel::{Receiver, Sender};
use oci_model::{Digest, DigestAlgorithm, DigestHasher};

use crate::inflate_thread::Chunk;
use crate::tar_header::BLOCK;
use crate::{ArchiveError, ArchiveErrorKind};

/// A chunk that was consumed, and how much of it belongs to the tar archive.
pub(crate) struct SpentChunk {
    chunk: Chunk,
    hashed_length: usize,
}

/// Gives out the inflated bytes in order.
pub(crate) struct ChunkSource {
    incoming: Receiver<Result<Chunk, ArchiveError>>,
    spent: Sender<SpentChunk>,
    current: Option<Chunk>,
    position: usize,
    consumed: u64,
    /// Where the archive ends in the current chunk, once it has ended.
    end: Option<usize>,
}

impl ChunkSource {
    pub(crate) fn new(incoming: Receiver<Result<Chunk, ArchiveError>>, spent: Sender<SpentChunk>) -> Self {
        Self { incoming, spent, current: None, position: 0, consumed: 0, end: None }
    }

    /// Number of bytes consumed so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Waits for bytes, and returns how many are there: none at the end of the stream alone.
    pub(crate) fn wait(&mut self) -> Result<usize, ArchiveError> {
        while self.available().is_empty() {
            self.retire();
            match self.incoming.recv() {
                Ok(chunk) => self.current = Some(chunk?),
                Err(_) => return Ok(0),
            }
        }
        Ok(self.available().len())
    }

    /// Returns the bytes that are there.
    pub(crate) fn available(&self) -> &[u8] {
        let content = self.current.as_ref().map(Chunk::content).unwrap_or_default();
        content.get(self.position..).unwrap_or_default()
    }

    /// Drops bytes that are there.
    pub(crate) fn consume(&mut self, count: usize) {
        self.position += count;
        self.consumed = self.consumed.saturating_add(count as u64);
    }

    /// Returns the next block, or `None` at the end of the stream.
    pub(crate) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        if self.wait()? == 0 {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(Some(block))
    }

    /// Fills `target` with the next bytes.
    pub(crate) fn fill(&mut self, target: &mut [u8]) -> Result<(), ArchiveError> {
        let mut rest = target.iter_mut();
        while rest.len() > 0 {
            if self.wait()? == 0 {
                return Err(truncated("the archive ends within a header"));
            }
            let before = rest.len();
            for (byte, place) in self.available().iter().zip(rest.by_ref()) {
                *place = *byte;
            }
            self.consume(before - rest.len());
        }
        Ok(())
    }

    /// Drops `length` bytes.
    pub(crate) fn skip(&mut self, mut length: u64) -> Result<(), ArchiveError> {
        while length > 0 {
            let count = self.wait()?.min(usize::try_from(length).unwrap_or(usize::MAX));
            if count == 0 {
                return Err(truncated("the archive ends within an entry"));
            }
            self.consume(count);
            length -= count as u64;
        }
        Ok(())
    }

    /// Notes that the archive ends here and reads the padding that may follow, which has to be zeros.
    pub(crate) fn finish(mut self) -> Result<(), ArchiveError> {
        self.end = Some(self.position);
        loop {
            let count = self.wait()?;
            if count == 0 {
                return Ok(());
            }
            if self.available().iter().any(|&byte| byte != 0) {
                let detail = "something other than padding follows the end of the archive";
                return Err(ArchiveError::new(ArchiveErrorKind::TrailingData, detail));
            }
            self.consume(count);
        }
    }

    /// Hands the current chunk on to be hashed and used again.
    fn retire(&mut self) {
        if let Some(chunk) = self.current.take() {
            let hashed_length = self.end.unwrap_or(self.position);
            // Whatever comes after the end is not hashed at all.
            self.end = self.end.map(|_| 0);
            // If the hashing thread is gone its panic shows when it is joined.
            let _ = self.spent.send(SpentChunk { chunk, hashed_length });
        }
        self.position = 0;
    }
}

/// Computes the tar digest, if it is wanted, and gives the chunks back.
pub(crate) fn hash_spent(wanted: bool, spent: &Receiver<SpentChunk>, free: &Sender<Chunk>) -> Option<Digest> {
    let mut hasher = wanted.then(|| DigestHasher::new(DigestAlgorithm::Sha256));
    for SpentChunk { chunk, hashed_length } in spent {
        if let Some(hasher) = &mut hasher {
            hasher.update(chunk.content().get(..hashed_length).unwrap_or_default());
        }
        // The inflating thread may have ended; then nobody needs the chunk.
        let _ = free.send(chunk);
    }
    hasher.map(DigestHasher::finish)
}

pub(crate) fn truncated(detail: &str) -> ArchiveError {
    ArchiveError::new(ArchiveErrorKind::Truncated, detail)
}
