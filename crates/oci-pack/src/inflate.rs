//! The pipeline behind reading: one thread inflates, one consumes, one hashes. A fixed number of chunks circulates
//! between them.

use std::cell::Cell;
use std::io::{self, BufReader, Read};

use crossbeam_channel::{Receiver, Sender};
use oci_model::{Digest, DigestAlgorithm, DigestHasher};

use crate::compression::Compression;
use crate::decoder::{DETECTION_LENGTH, Decoder, detect};
use crate::error::{ArchiveError, ArchiveErrorKind};
use crate::tar::BLOCK;

/// Size of a chunk in bytes.
const CHUNK_LENGTH: usize = 256 << 10;
/// Number of chunks that circulate between the threads. It bounds the memory.
pub(crate) const CHUNK_COUNT: usize = 12;

/// The largest ratio of inflated to compressed bytes, beyond a number of inflated bytes.
#[derive(Clone, Copy)]
pub(crate) struct RatioLimit {
    pub(crate) ratio: Option<u64>,
    pub(crate) floor: u64,
}

/// A piece of the tar archive.
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    filled: usize,
    /// How many bytes of the stream had been read when it was filled.
    read: u64,
}

impl Chunk {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; CHUNK_LENGTH], filled: 0, read: 0 }
    }

    pub(crate) fn content(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

/// Inflates all of `reader`, sends it in chunks, and returns the compression that it found.
///
/// Ends quietly when the receiver is gone. It sends a failure as the last item.
pub(crate) fn inflate<R: Read>(
    reader: R,
    limit: RatioLimit,
    free: &Receiver<Chunk>,
    inflated: &Sender<Result<Chunk, ArchiveError>>,
) -> Option<Compression> {
    match inflate_or_fail(reader, limit, free, inflated) {
        Ok(compression) => Some(compression),
        Err(error) => {
            // If the other end is gone, it has failed for a reason of its own.
            let _ = inflated.send(Err(error));
            None
        }
    }
}

fn inflate_or_fail<R: Read>(
    mut reader: R,
    limit: RatioLimit,
    free: &Receiver<Chunk>,
    inflated: &Sender<Result<Chunk, ArchiveError>>,
) -> Result<Compression, ArchiveError> {
    let head = read_head(&mut reader).map_err(unreadable)?;
    let compression = detect(&head).ok_or_else(|| unknown_format(&head))?;
    let progress = Progress::default();
    let counted = CountingRead { inner: head.as_slice().chain(reader), progress: &progress };
    let buffered = BufReader::with_capacity(CHUNK_LENGTH, counted);
    let mut decoder = Decoder::new(compression, buffered).map_err(unreadable)?;
    let mut inflated_length = 0_u64;
    // The other end is gone when no chunk comes back or nobody accepts one.
    while let Ok(mut chunk) = free.recv() {
        let result = fill(&mut decoder, &mut chunk);
        inflated_length = inflated_length.saturating_add(chunk.filled as u64);
        chunk.read = progress.length.get();
        if compression != Compression::None {
            check_ratio(limit, progress.length.get(), inflated_length)?;
        }
        let ended = result.as_ref().is_ok_and(|ended| *ended);
        if chunk.filled > 0 && inflated.send(Ok(chunk)).is_err() {
            break;
        }
        result.map_err(|error| if progress.failed.get() { unreadable(error) } else { damaged(error) })?;
        if ended {
            break;
        }
    }
    Ok(compression)
}

/// Fills the chunk, and returns whether the stream ended. Bytes read before an error are in the chunk.
fn fill<R: io::BufRead>(decoder: &mut Decoder<R>, chunk: &mut Chunk) -> io::Result<bool> {
    chunk.filled = 0;
    while let Some(room) = chunk.bytes.get_mut(chunk.filled..).filter(|room| !room.is_empty()) {
        match decoder.read(room) {
            Ok(0) => return Ok(true),
            Ok(count) => chunk.filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn read_head<R: Read>(reader: &mut R) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(DETECTION_LENGTH as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Refuses content that is too large beside the bytes of the stream that it came from.
pub(crate) fn check_ratio(limit: RatioLimit, compressed: u64, inflated: u64) -> Result<(), ArchiveError> {
    let Some(ratio) = limit.ratio.filter(|_| inflated > limit.floor) else { return Ok(()) };
    if inflated > compressed.saturating_mul(ratio) {
        let detail = format!(
            "expected at most {ratio} bytes of content for each byte of the archive (`max-ratio`), found {inflated} for \
             {compressed}"
        );
        return Err(ArchiveError::new(ArchiveErrorKind::CompressionRatio, detail));
    }
    Ok(())
}

fn unreadable(error: io::Error) -> ArchiveError {
    ArchiveError::new(ArchiveErrorKind::Read, "cannot read the archive").because(error)
}

fn damaged(error: io::Error) -> ArchiveError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        ArchiveError::new(ArchiveErrorKind::Truncated, "the compressed stream ends too early").because(error)
    } else {
        ArchiveError::new(ArchiveErrorKind::Corrupt, "the compressed stream is damaged").because(error)
    }
}

fn unknown_format(head: &[u8]) -> ArchiveError {
    if head.is_empty() {
        return ArchiveError::new(ArchiveErrorKind::Truncated, "the archive has no bytes");
    }
    let detail = "the stream begins neither as gzip nor as zstd nor as a tar archive";
    ArchiveError::new(ArchiveErrorKind::UnknownFormat, detail)
}

#[derive(Default)]
struct Progress {
    length: Cell<u64>,
    failed: Cell<bool>,
}

/// Counts the bytes read, and notes whether an error came from the stream or from the decompressor.
struct CountingRead<'a, R> {
    inner: R,
    progress: &'a Progress,
}

impl<R: Read> Read for CountingRead<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        match &result {
            Ok(count) => self.progress.length.set(self.progress.length.get().saturating_add(*count as u64)),
            Err(error) => self.progress.failed.set(error.kind() != io::ErrorKind::Interrupted),
        }
        result
    }
}

/// A consumed chunk, and the number of its bytes that belong to the tar archive.
pub(crate) struct SpentChunk {
    chunk: Chunk,
    hashed_length: usize,
}

/// Yields the inflated bytes in order.
pub(crate) struct ChunkSource {
    incoming: Receiver<Result<Chunk, ArchiveError>>,
    spent: Sender<SpentChunk>,
    current: Option<Chunk>,
    position: usize,
    consumed: u64,
    /// Number of bytes of the stream that the chunks so far came from.
    read: u64,
    /// Position in the current chunk at which the archive ends, once it has ended.
    end: Option<usize>,
}

impl ChunkSource {
    pub(crate) fn new(incoming: Receiver<Result<Chunk, ArchiveError>>, spent: Sender<SpentChunk>) -> Self {
        Self { incoming, spent, current: None, position: 0, consumed: 0, read: 0, end: None }
    }

    /// Number of bytes consumed so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Returns the number of bytes of the stream, compressed or not, that the chunks so far came from.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Waits for bytes, and returns their number: 0 only at the end of the stream.
    pub(crate) fn wait(&mut self) -> Result<usize, ArchiveError> {
        while self.available().is_empty() {
            self.retire();
            match self.incoming.recv() {
                Ok(chunk) => {
                    let chunk = chunk?;
                    self.read = chunk.read;
                    self.current = Some(chunk);
                }
                Err(_) => return Ok(0),
            }
        }
        Ok(self.available().len())
    }

    /// Returns the bytes that have arrived.
    pub(crate) fn available(&self) -> &[u8] {
        let content = self.current.as_ref().map(Chunk::content).unwrap_or_default();
        content.get(self.position..).unwrap_or_default()
    }

    /// Drops bytes that have arrived.
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

    /// Notes that the archive ends here. Reads the padding that may follow, which must be zeros.
    pub(crate) fn finish(mut self) -> Result<(), ArchiveError> {
        self.end = Some(self.position);
        loop {
            let count = self.wait()?;
            if count == 0 {
                return Ok(());
            }
            if self.available().iter().any(|&byte| byte != 0) {
                let detail = "expected only padding after the end of the archive";
                return Err(ArchiveError::new(ArchiveErrorKind::TrailingData, detail));
            }
            self.consume(count);
        }
    }

    /// Hands the current chunk on for hashing and reuse.
    fn retire(&mut self) {
        if let Some(chunk) = self.current.take() {
            let hashed_length = self.end.unwrap_or(self.position);
            // Bytes after the end are not hashed.
            self.end = self.end.map(|_| 0);
            // If the hashing thread is gone, its panic shows when it is joined.
            let _ = self.spent.send(SpentChunk { chunk, hashed_length });
        }
        self.position = 0;
    }
}

/// Computes the tar digest if the caller wants it, and returns the chunks.
pub(crate) fn hash_spent(wanted: bool, spent: &Receiver<SpentChunk>, free: &Sender<Chunk>) -> Option<Digest> {
    let mut hasher = wanted.then(|| DigestHasher::new(DigestAlgorithm::Sha256));
    for SpentChunk { chunk, hashed_length } in spent {
        if let Some(hasher) = &mut hasher {
            hasher.update(chunk.content().get(..hashed_length).unwrap_or_default());
        }
        // The inflating thread may have ended. Then nobody needs the chunk.
        let _ = free.send(chunk);
    }
    hasher.map(DigestHasher::finish)
}

pub(crate) fn truncated(detail: &str) -> ArchiveError {
    ArchiveError::new(ArchiveErrorKind::Truncated, detail)
}
