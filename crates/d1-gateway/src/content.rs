//! The bytes of files: read from the repositories in pieces, decoded, and verified while they stream.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use d1_catalog::BlobPiece;
use d1_package::PieceEncoding;
use d1_transfer::parts::{read_blocking, read_range};
use futures::{Stream, StreamExt};
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use oci_pack::MemberReader;
use registry_backend::{ByteStream, RegistryBackend};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many decoded bytes are sent at once. Slow clients hold some chunks each.
const CHUNK_BYTES: usize = 64 << 10;

/// How many bytes of a file on this machine are read at once. Each slow client holds some of them, and opening the file again
/// costs little.
const WINDOW_BYTES: u64 = 64 << 10;

/// How many chunks wait between a repository and a client.
const CHUNKS_IN_FLIGHT: usize = 2;

/// The reason why reading content failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    #[error(transparent)]
    Store(#[from] registry_backend::Error),
    #[error(transparent)]
    Transfer(#[from] d1_transfer::Error),
    #[error(transparent)]
    Catalog(#[from] d1_catalog::Error),
    #[error("cannot decode {blob}: {source}")]
    Decode { blob: Digest, source: io::Error },
    #[error("expected content with the SHA-256 {expected}, found {actual}")]
    WrongDigest { expected: Digest, actual: Digest },
    #[error("expected {expected} bytes of content, found {actual}")]
    WrongLength { expected: u64, actual: u64 },
    #[error("{0}")]
    Unreadable(String),
    #[error("no repository of the name `{0}` is open")]
    UnknownRepository(String),
}

/// The bytes of a file, or of a range of it, as they come.
pub(crate) type ContentStream = Receiver<Result<Bytes, ContentError>>;

/// A file to read.
pub(crate) struct Wanted {
    pub(crate) backend: Arc<dyn RegistryBackend>,
    pub(crate) pieces: Vec<BlobPiece>,
    /// The number of bytes that the pieces decode to.
    pub(crate) length: u64,
    /// The digest of the pieces' content, if they are the whole file.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// Starts reading. The first piece is open when this returns, so a store that is away is noticed before the answer begins.
///
/// Of a whole file, the last chunk is held back until the digest is known to be right.
pub(crate) async fn read(wanted: Wanted) -> Result<ContentStream, ContentError> {
    let window = wanted.backend.capabilities().takes_files_of.as_ref().map(|_| WINDOW_BYTES);
    let mut pieces = Pieces { pieces: wanted.pieces.into(), window };
    let first = match pieces.next() {
        Some(piece) => Some((open(&*wanted.backend, &piece).await?, piece)),
        None => None,
    };
    let (sender, receiver) = channel(CHUNKS_IN_FLIGHT);
    let backend = wanted.backend;
    let output = Output {
        sender,
        hasher: wanted.sha256.map(|_| DigestHasher::new(DigestAlgorithm::Sha256)),
        sha256: wanted.sha256,
        left: wanted.length,
        length: wanted.length,
        held: None,
    };
    tokio::spawn(async move {
        let mut output = output;
        let mut next = first;
        while let Some((stream, piece)) = next {
            if output.piece(stream, &piece).await.is_break() {
                return;
            }
            next = match pieces.next() {
                None => None,
                Some(piece) => match open(&*backend, &piece).await {
                    Ok(stream) => Some((stream, piece)),
                    Err(error) => return output.fail(error.into()).await,
                },
            };
        }
        output.end().await;
    });
    Ok(receiver)
}

/// Returns a whole file of known size in memory, verified.
pub(crate) async fn read_all(wanted: Wanted) -> Result<Bytes, ContentError> {
    let mut bytes = Vec::with_capacity(usize::try_from(wanted.length).unwrap_or(0));
    let mut stream = read(wanted).await?;
    while let Some(chunk) = stream.recv().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes.into())
}

/// Returns a stream of chunks that are already in memory.
pub(crate) fn in_memory(bytes: Bytes) -> ContentStream {
    let (sender, receiver) = channel(1);
    if !bytes.is_empty() {
        // The channel has room for one.
        let _ = sender.try_send(Ok(bytes));
    }
    receiver
}

/// Returns the chunks as a stream for a body.
pub(crate) fn as_stream(stream: ContentStream) -> impl Stream<Item = Result<Bytes, ContentError>> + Send {
    futures::stream::unfold(
        stream,
        |mut stream| async move { stream.recv().await.map(|chunk| (chunk, stream)) },
    )
}

/// The pieces to read, in order. Where there is a window, a raw piece comes in parts of its size.
struct Pieces {
    pieces: VecDeque<BlobPiece>,
    window: Option<u64>,
}

impl Iterator for Pieces {
    type Item = BlobPiece;

    fn next(&mut self) -> Option<BlobPiece> {
        let first = self.pieces.front_mut()?;
        let Some(window) = self.window.filter(|_| first.encoding == PieceEncoding::Raw) else {
            return self.pieces.pop_front();
        };
        let end = first.range.start.saturating_add(window);
        if end >= first.range.end {
            return self.pieces.pop_front();
        }
        let part = BlobPiece { range: first.range.start..end, ..first.clone() };
        first.range.start = end;
        Some(part)
    }
}

async fn open(backend: &dyn RegistryBackend, piece: &BlobPiece) -> registry_backend::Result<ByteStream> {
    read_range(backend, &piece.blob, piece.blob_size, piece.range.clone()).await
}

/// The end of a reading that the client has.
struct Output {
    sender: Sender<Result<Bytes, ContentError>>,
    hasher: Option<DigestHasher>,
    sha256: Option<[u8; 32]>,
    left: u64,
    length: u64,
    /// The chunk that waits until the next one, or until the digest is right.
    held: Option<Bytes>,
}

/// Whether to go on. A reading ends early if it failed, or the client is gone.
type Flow = std::ops::ControlFlow<()>;

impl Output {
    async fn piece(&mut self, mut stream: ByteStream, piece: &BlobPiece) -> Flow {
        let PieceEncoding::Members { compression, part } = &piece.encoding else {
            while let Some(chunk) = stream.next().await {
                let flow = match chunk {
                    Ok(chunk) => self.chunk(chunk).await,
                    Err(error) => {
                        self.fail(error.into()).await;
                        return Flow::Break(());
                    }
                };
                if flow.is_break() {
                    return flow;
                }
            }
            return Flow::Continue(());
        };
        let (compression, part) = (*compression, part.clone());
        let (sender, mut decoded) = channel(CHUNKS_IN_FLIGHT);
        let decoding = tokio::spawn(read_blocking(stream, move |reader| {
            let mut reader = MemberReader::new(reader, compression, &part)?;
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let count = reader.read(&mut chunk)?;
                chunk.truncate(count);
                if count == 0 || sender.blocking_send(Bytes::from(chunk)).is_err() {
                    return io::Result::Ok(());
                }
            }
        }));
        while let Some(chunk) = decoded.recv().await {
            if self.chunk(chunk).await.is_break() {
                return Flow::Break(());
            }
        }
        let blob = &piece.blob;
        let error = match decoding.await {
            Ok(Ok(Ok(()))) => return Flow::Continue(()),
            Ok(Ok(Err(source))) => ContentError::Decode { blob: blob.clone(), source },
            Ok(Err(error)) => error.into(),
            Err(error) => ContentError::Decode { blob: blob.clone(), source: io::Error::other(error) },
        };
        self.fail(error).await;
        Flow::Break(())
    }

    async fn chunk(&mut self, chunk: Bytes) -> Flow {
        if chunk.is_empty() {
            return Flow::Continue(());
        }
        let count = chunk.len() as u64;
        if count > self.left {
            let actual = self.length - self.left + count;
            self.fail(ContentError::WrongLength { expected: self.length, actual }).await;
            return Flow::Break(());
        }
        self.left -= count;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        let ready = if self.hasher.is_some() { self.held.replace(chunk) } else { Some(chunk) };
        let Some(ready) = ready else { return Flow::Continue(()) };
        match self.sender.send(Ok(ready)).await {
            Ok(()) => Flow::Continue(()),
            Err(_) => Flow::Break(()),
        }
    }

    async fn end(mut self) {
        if self.left > 0 {
            let actual = self.length - self.left;
            return self.fail(ContentError::WrongLength { expected: self.length, actual }).await;
        }
        if let (Some(hasher), Some(sha256)) = (self.hasher.take(), self.sha256) {
            let (expected, actual) = (Digest::from_sha256(sha256), hasher.finish());
            if expected != actual {
                return self.fail(ContentError::WrongDigest { expected, actual }).await;
            }
        }
        if let Some(last) = self.held.take() {
            let _ = self.sender.send(Ok(last)).await;
        }
    }

    async fn fail(&self, error: ContentError) {
        let _ = self.sender.send(Err(error)).await;
    }
}

/// Returns a part of bytes in memory.
pub(crate) fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let length = bytes.len();
    let at = |place: u64| usize::try_from(place).unwrap_or(length).min(length);
    let (start, end) = (at(range.start), at(range.end));
    bytes.slice(start..end.max(start))
}

/// Sends written bytes as chunks. It blocks, so it belongs to a blocking thread.
pub(crate) struct ChunkWriter(pub(crate) Sender<Result<Bytes, ContentError>>);

impl io::Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = bytes.get(..bytes.len().min(CHUNK_BYTES)).unwrap_or(bytes);
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(chunk)));
        sent.map(|()| chunk.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_piece_comes_in_parts_of_the_window() {
        let blob = Digest::sha256_of(b"");
        let piece = BlobPiece { blob, blob_size: 20, range: 3..15, encoding: PieceEncoding::Raw };
        let parts = |window| {
            let pieces = Pieces { pieces: vec![piece.clone()].into(), window };
            pieces.map(|part| (part.range.start, part.range.end)).collect::<Vec<_>>()
        };
        assert_eq!(parts(None), [(3, 15)]);
        assert_eq!(parts(Some(5)), [(3, 8), (8, 13), (13, 15)]);
        assert_eq!(parts(Some(12)), [(3, 15)]);
    }
}
