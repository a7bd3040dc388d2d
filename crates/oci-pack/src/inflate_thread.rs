//! Reading and inflating a stream in a thread of its own, in chunks of bounded number.

use std::cell::Cell;
use std::io::{self, BufReader, Read};

use crossbeam_channel::{Receiver, Sender};

use crate::decode::{DETECTION_LENGTH, Decoder, detect};
use crate::{ArchiveError, ArchiveErrorKind, Compression, ReadLimits};

/// Size of a chunk in bytes.
const CHUNK_LENGTH: usize = 256 << 10;
/// Number of chunks that go round between the threads, which bounds the memory.
pub(crate) const CHUNK_COUNT: usize = 12;

/// A piece of the tar archive.
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    filled: usize,
}

impl Chunk {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; CHUNK_LENGTH], filled: 0 }
    }

    pub(crate) fn content(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

/// Inflates all of `reader`, sends it in chunks, and returns the compression that was found.
///
/// Ends quietly when nobody takes chunks any more. A failure is sent as the last thing.
pub(crate) fn inflate<R: Read>(
    reader: R,
    limits: &ReadLimits,
    free: &Receiver<Chunk>,
    inflated: &Sender<Result<Chunk, ArchiveError>>,
) -> Option<Compression> {
    match inflate_or_fail(reader, limits, free, inflated) {
        Ok(compression) => Some(compression),
        Err(error) => {
            // If the other end is gone it has failed for a reason of its own.
            let _ = inflated.send(Err(error));
            None
        }
    }
}

fn inflate_or_fail<R: Read>(
    mut reader: R,
    limits: &ReadLimits,
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
    // The other end is gone when no chunk comes back or none is taken.
    while let Ok(mut chunk) = free.recv() {
        let result = fill(&mut decoder, &mut chunk);
        inflated_length = inflated_length.saturating_add(chunk.filled as u64);
        if compression != Compression::None {
            check_ratio(limits, progress.length.get(), inflated_length)?;
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

/// Fills the chunk, and tells whether the stream ended; what came before an error is in the chunk.
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

fn check_ratio(limits: &ReadLimits, compressed: u64, inflated: u64) -> Result<(), ArchiveError> {
    let Some(ratio) = limits.ratio.filter(|_| inflated > limits.ratio_floor) else { return Ok(()) };
    if inflated > compressed.saturating_mul(ratio) {
        let detail =
            format!("the archive inflates more than {ratio} times ({compressed} to {inflated} bytes so far)");
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

/// Counts what is read, and notes whether an error came from the stream rather than from the decompressor.
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
