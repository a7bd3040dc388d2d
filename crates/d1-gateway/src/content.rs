//! The bytes of files: read from the repositories in pieces, decoded, and verified while they stream.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use d1_catalog::BlobPiece;
use d1_package::PieceEncoding;
use d1_transfer::parts::{read_blocking, read_range, run_blocking};
use futures::{Stream, StreamExt};
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use oci_pack::{Compression, MemberRange, MemberReader};
use registry_backend::{ByteStream, RegistryBackend};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::blocks::{Blocks, CHUNK_BYTES};
use crate::cache::Cache;
use crate::metrics::Metrics;

/// How many chunks wait between a repository and a client.
const CHUNKS_IN_FLIGHT: usize = 1;

/// How long a client may take for a chunk. After that, its reading closes its file and releases its decoded member. The next chunk
/// starts a reading at the same place.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a reading may hold a decoded member while others wait for memory.
const LONGEST_HOLD: Duration = Duration::from_secs(1);

/// The most bytes, compressed or not, of a member that is decoded in memory.
const LARGEST_IN_MEMORY: u64 = 2 << 20;

/// The most bytes of a stored file that stays in memory after it was verified.
const LARGEST_VERIFIED: u64 = 16 << 20;

/// How many readings collect a file for memory at once.
const COLLECTED_AT_ONCE: usize = 2;

/// How many files are remembered as asked for.
const MOST_ASKED: usize = 10_000;

/// How many larger members are decoded at once. Each occupies a thread until its client has all of it.
const STREAMED_AT_ONCE: usize = 32;

/// How long a reading waits for its turn at a larger member.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

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
    #[error("too many archives are read at once")]
    Busy,
}

/// The bytes of a file, or of a range of it, as they come.
pub(crate) type ContentStream = Receiver<Result<Bytes, ContentError>>;

/// Reads blobs, with the memory and the threads that all readings share.
#[derive(Clone)]
pub(crate) struct Reader {
    /// Blobs of remote stores on the disk.
    blocks: Option<Arc<Blocks>>,
    metrics: Arc<Metrics>,
    /// Decoded members of archives: the files of a directory often share one.
    members: Arc<Cache>,
    /// For members that are decoded or sent: some megabytes each.
    decoded: Arc<Semaphore>,
    streamed: Arc<Semaphore>,
    verified: Arc<Verified>,
}

/// Whole files in memory that were verified. Clients that ask again get them without another reading and hashing.
struct Verified {
    files: Cache,
    /// The files that clients asked for. Only the second request for a file collects it.
    asked: Mutex<HashSet<[u8; 32]>>,
    collecting: Arc<Semaphore>,
}

/// The bytes of a file so far, and the right to hold them.
struct Collected {
    bytes: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

/// A file to read.
pub(crate) struct Wanted {
    pub(crate) backend: Arc<dyn RegistryBackend>,
    pub(crate) pieces: Vec<BlobPiece>,
    /// The number of bytes that the pieces decode to.
    pub(crate) length: u64,
    /// The digest of the pieces' content, if they are the whole file.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Whether the client wants the files behind it too.
    pub(crate) is_one_of_many: bool,
}

impl Reader {
    /// Returns a reader that keeps up to `kept_bytes` of decoded members, and as much of verified files.
    pub(crate) fn new(blocks: Option<Arc<Blocks>>, metrics: Arc<Metrics>, kept_bytes: u64) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            blocks,
            metrics,
            members: Arc::new(Cache::new(kept_bytes)),
            decoded: Arc::new(Semaphore::new(processors.clamp(8, 32))),
            streamed: Arc::new(Semaphore::new(STREAMED_AT_ONCE)),
            verified: Arc::new(Verified::new(kept_bytes)),
        }
    }

    /// Returns a reader that uses no copies in memory or on the disk: the bytes come from the store.
    pub(crate) fn without_copies(&self) -> Self {
        let (members, verified) = (Arc::new(Cache::new(0)), Arc::new(Verified::new(0)));
        Self { blocks: None, members, verified, ..self.clone() }
    }

    /// Starts reading. The first piece is open when this returns, so a store that is away is noticed before the answer begins.
    ///
    /// Of a whole file, the last chunk is held back until the digest is known to be right.
    pub(crate) async fn read(&self, wanted: Wanted) -> Result<ContentStream, ContentError> {
        let source = self.source(wanted.backend, &wanted.pieces, wanted.is_one_of_many);
        let (sender, receiver) = channel(CHUNKS_IN_FLIGHT);
        let mut output = Output {
            sender,
            hasher: None,
            sha256: wanted.sha256,
            left: wanted.length,
            length: wanted.length,
            held: None,
            collected: None,
        };
        if let (Some(sha256), [piece]) = (&wanted.sha256, wanted.pieces.as_slice())
            && matches!(piece.encoding, PieceEncoding::Raw)
        {
            if let Some(file) = self.verified.files.get(sha256) {
                let piece = piece.clone();
                tokio::spawn(async move {
                    match output.verified(&source, file, &piece).await {
                        Ok(()) => output.end(&source).await,
                        Err(ended) => output.fail(&source, ended).await,
                    }
                });
                return Ok(receiver);
            }
            output.collected = self.verified.collect(sha256, wanted.length);
        }
        output.hasher = wanted.sha256.map(|_| DigestHasher::new(DigestAlgorithm::Sha256));
        let mut pieces = VecDeque::from(wanted.pieces);
        let first = match pieces.pop_front() {
            Some(piece) => Some((source.start(&piece).await?, piece)),
            None => None,
        };
        tokio::spawn(async move {
            let mut next = first;
            while let Some((started, piece)) = next {
                if let Err(ended) = output.piece(&source, started, &piece).await {
                    return output.fail(&source, ended).await;
                }
                next = match pieces.pop_front() {
                    None => None,
                    Some(piece) => match source.start(&piece).await {
                        Ok(started) => Some((started, piece)),
                        Err(error) => return output.fail(&source, error.into()).await,
                    },
                };
            }
            output.end(&source).await;
        });
        Ok(receiver)
    }

    /// Returns a whole file of known size in memory, verified.
    pub(crate) async fn read_all(&self, wanted: Wanted) -> Result<Bytes, ContentError> {
        if let [piece] = wanted.pieces.as_slice()
            && let (PieceEncoding::Members { compression, part }, Some(sha256)) =
                (&piece.encoding, wanted.sha256)
            && fits_in_memory(piece)
        {
            let source = self.source(wanted.backend, &wanted.pieces, wanted.is_one_of_many);
            let decoded = source.decode(piece, *compression, part, 0).await?;
            let (expected, actual) = (Digest::from_sha256(sha256), Digest::sha256_of(&decoded.bytes));
            if expected != actual {
                source.forget();
                return Err(ContentError::WrongDigest { expected, actual });
            }
            // A copy: the whole member would stay in memory with it.
            return Ok(Bytes::copy_from_slice(&decoded.bytes));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(wanted.length).unwrap_or(0));
        let mut stream = self.read(wanted).await?;
        while let Some(chunk) = stream.recv().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes.into())
    }

    /// Waits for the right to occupy a thread until a client has all of its content.
    pub(crate) async fn streamed(&self) -> Result<OwnedSemaphorePermit, ContentError> {
        let place = Arc::clone(&self.streamed).acquire_owned();
        let place = tokio::time::timeout(LONGEST_WAIT, place).await;
        place.ok().and_then(Result::ok).ok_or(ContentError::Busy)
    }

    fn source(
        &self,
        backend: Arc<dyn RegistryBackend>,
        pieces: &[BlobPiece],
        is_one_of_many: bool,
    ) -> Source {
        let capabilities = backend.capabilities();
        let is_remote = !capabilities.local_files && capabilities.range_reads;
        let mut ends: Vec<(Digest, u64)> = Vec::new();
        for piece in pieces {
            match ends.last_mut().filter(|(blob, _)| *blob == piece.blob) {
                Some((_, end)) => *end = piece.range.end,
                None => ends.push((piece.blob.clone(), piece.range.end)),
            }
        }
        // The files behind this one are in the rest of the archive.
        if let (true, Some(piece), Some((_, end))) = (is_one_of_many, pieces.last(), ends.last_mut()) {
            *end = piece.blob_size;
        }
        Source { reader: self.clone(), blocks: self.blocks.clone().filter(|_| is_remote), ends, backend }
    }
}

impl Verified {
    fn new(capacity: u64) -> Self {
        let collecting = Arc::new(Semaphore::new(COLLECTED_AT_ONCE));
        Self { files: Cache::new(capacity), asked: Mutex::default(), collecting }
    }

    /// Begins to collect a file that was asked for before.
    fn collect(&self, sha256: &[u8; 32], length: u64) -> Option<Collected> {
        if length > LARGEST_VERIFIED {
            return None;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.contains(sha256) {
            let place = Arc::clone(&self.collecting).try_acquire_owned().ok()?;
            return Some(Collected { bytes: Vec::new(), _place: place });
        }
        if asked.len() >= MOST_ASKED {
            asked.clear();
        }
        asked.insert(*sha256);
        None
    }

    async fn keep(&self, sha256: [u8; 32], collected: Collected) {
        let bytes = async { Ok::<_, Infallible>(Bytes::from(collected.bytes)) };
        let Ok(_) = self.files.get_or_load(sha256, bytes).await;
    }
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

fn fits_in_memory(piece: &BlobPiece) -> bool {
    piece.decoded.max(piece.range.end - piece.range.start) <= LARGEST_IN_MEMORY
}

/// The place where one reading finds its blobs.
struct Source {
    reader: Reader,
    backend: Arc<dyn RegistryBackend>,
    blocks: Option<Arc<Blocks>>,
    /// The blobs of the reading in order, each with the end of its range.
    ends: Vec<(Digest, u64)>,
}

/// A piece whose first bytes are there.
enum Started {
    Raw(ByteStream),
    /// A member, decoded from the beginning of the wanted part on.
    Decoded(Decoded),
    Streamed(ByteStream, OwnedSemaphorePermit),
}

/// Decoded bytes, and the right to hold them.
struct Decoded {
    bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Source {
    /// Opens a piece.
    async fn start(&self, piece: &BlobPiece) -> Result<Started, ContentError> {
        let PieceEncoding::Members { compression, part } = &piece.encoding else {
            return Ok(Started::Raw(self.open(piece, 0).await?));
        };
        if fits_in_memory(piece) {
            return Ok(Started::Decoded(self.decode(piece, *compression, part, 0).await?));
        }
        let place = self.reader.streamed().await?;
        Ok(Started::Streamed(self.open(piece, 0).await?, place))
    }

    /// Opens the blob of a piece behind its first bytes.
    async fn open(&self, piece: &BlobPiece, from: u64) -> registry_backend::Result<ByteStream> {
        let range = piece.range.start + from..piece.range.end;
        if let (Some(blocks), Some(sha256)) = (&self.blocks, piece.blob.sha256_bytes())
            && !blocks.is_broken()
        {
            let ends = self.ends.iter().find(|(blob, _)| *blob == piece.blob);
            let until = ends.map_or(range.end, |(_, end)| *end);
            let blob = (&piece.blob, sha256, piece.blob_size);
            match blocks.read(&self.backend, blob, range.clone(), until).await {
                Err(_) if blocks.is_broken() => {}
                read => return read,
            }
        }
        self.reader.metrics.store_bytes.add(range.end - range.start);
        read_range(&*self.backend, &piece.blob, piece.blob_size, range).await
    }

    /// Decodes the part of a member behind its first `from` bytes.
    async fn decode(
        &self,
        piece: &BlobPiece,
        compression: Compression,
        part: &MemberRange,
        from: u64,
    ) -> Result<Decoded, ContentError> {
        let place = Arc::clone(&self.reader.decoded).acquire_owned().await.ok();
        let name = format!("{} {} {compression:?}", piece.blob, piece.range.start);
        let key = Digest::sha256_of(name.as_bytes()).sha256_bytes().unwrap_or_default();
        let member = self.reader.members.get_or_load(key, self.whole_member(piece, compression)).await?;
        let range = part.skip.saturating_add(from)..part.skip.saturating_add(part.length);
        Ok(Decoded { bytes: slice(&member, &range), _place: place })
    }

    async fn whole_member(&self, piece: &BlobPiece, compression: Compression) -> Result<Bytes, ContentError> {
        let mut compressed = Vec::new();
        let mut stream = self.open(piece, 0).await?;
        while let Some(chunk) = stream.next().await {
            compressed.extend_from_slice(&chunk?);
        }
        let whole = MemberRange { compressed: piece.range.clone(), skip: 0, length: piece.decoded };
        let decoded = run_blocking(move || {
            let mut bytes = Vec::with_capacity(usize::try_from(whole.length).unwrap_or(0));
            let mut reader = MemberReader::new(&*compressed, compression, &whole)?;
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let decoded = decoded.await;
        decoded.map(Bytes::from).map_err(|source| ContentError::Decode { blob: piece.blob.clone(), source })
    }

    /// Makes the next reading ask the store again: some bytes were wrong.
    fn forget(&self) {
        self.reader.members.clear();
        self.reader.verified.files.clear();
        let Some(blocks) = &self.blocks else { return };
        self.ends.iter().filter_map(|(blob, _)| blob.sha256_bytes()).for_each(|blob| blocks.forget(&blob));
    }
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
    /// The bytes so far, if the file is to stay in memory.
    collected: Option<Collected>,
}

/// The reason why a reading ends early.
enum Ended {
    /// The client is gone.
    Gone,
    Failed(ContentError),
}

impl From<ContentError> for Ended {
    fn from(error: ContentError) -> Self {
        Self::Failed(error)
    }
}

impl From<registry_backend::Error> for Ended {
    fn from(error: registry_backend::Error) -> Self {
        Self::Failed(error.into())
    }
}

type Flow<T = ()> = Result<T, Ended>;

impl Output {
    async fn piece(&mut self, source: &Source, started: Started, piece: &BlobPiece) -> Flow {
        match (started, &piece.encoding) {
            (Started::Raw(stream), _) => self.raw(source, stream, piece, 0).await,
            (Started::Decoded(decoded), PieceEncoding::Members { compression, part }) => {
                self.decoded(source, decoded, (piece, *compression, part)).await
            }
            (Started::Streamed(stream, _place), PieceEncoding::Members { compression, part }) => {
                self.streamed(stream, (piece, *compression, part)).await
            }
            (_, PieceEncoding::Raw) => Ok(()),
        }
    }

    /// Sends a file that is in memory. If the client is slow, the memory is given back, and the rest comes from the store.
    async fn verified(&mut self, source: &Source, file: Bytes, piece: &BlobPiece) -> Flow {
        let mut sent = 0;
        for chunk in file.chunks(CHUNK_BYTES) {
            if !self.has_room().await? {
                let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
                hasher.update(&file[..sent]);
                self.hasher = Some(hasher);
                drop(file);
                self.wait_for_room().await?;
                let sent = sent as u64;
                let stream = source.open(piece, sent).await?;
                return self.raw(source, stream, piece, sent).await;
            }
            sent += chunk.len();
            // A copy, so that a slow client does not hold the whole file.
            self.chunk(Bytes::copy_from_slice(chunk)).await?;
        }
        Ok(())
    }

    /// Sends the bytes of a blob behind the first `sent`. If the client is slow, the blob is closed meanwhile.
    async fn raw(
        &mut self,
        source: &Source,
        mut stream: ByteStream,
        piece: &BlobPiece,
        mut sent: u64,
    ) -> Flow {
        let may_reopen = source.blocks.is_some() || source.backend.capabilities().local_files;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            let mut is_slow = false;
            for part in chunk.chunks(CHUNK_BYTES) {
                is_slow = may_reopen && !self.has_room().await?;
                if is_slow {
                    break;
                }
                // A copy, so that a slow client does not hold the whole of a larger chunk.
                let part =
                    if part.len() == chunk.len() { chunk.clone() } else { Bytes::copy_from_slice(part) };
                sent += part.len() as u64;
                self.chunk(part).await?;
            }
            if is_slow {
                drop((stream, chunk));
                self.collected = None;
                self.wait_for_room().await?;
                stream = source.open(piece, sent).await?;
            }
        }
        Ok(())
    }

    /// Sends a decoded member. If the client is slow, the bytes are given back and decoded again later.
    async fn decoded(
        &mut self,
        source: &Source,
        mut decoded: Decoded,
        (piece, compression, part): (&BlobPiece, Compression, &MemberRange),
    ) -> Flow {
        let mut sent = 0;
        loop {
            let began = Instant::now();
            let mut is_slow = false;
            for chunk in decoded.bytes.chunks(CHUNK_BYTES) {
                is_slow = !self.has_room().await? || began.elapsed() > LONGEST_HOLD;
                if is_slow {
                    break;
                }
                sent += chunk.len() as u64;
                self.chunk(Bytes::copy_from_slice(chunk)).await?;
            }
            drop(decoded);
            if !is_slow {
                return Ok(());
            }
            self.wait_for_room().await?;
            decoded = source.decode(piece, compression, part, sent).await?;
        }
    }

    /// Sends a member as it is decoded, by a thread that waits for the client.
    async fn streamed(
        &mut self,
        stream: ByteStream,
        (piece, compression, part): (&BlobPiece, Compression, &MemberRange),
    ) -> Flow {
        let part = part.clone();
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
            self.chunk(chunk).await?;
        }
        let blob = &piece.blob;
        match decoding.await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(source))) => Err(ContentError::Decode { blob: blob.clone(), source }.into()),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => {
                Err(ContentError::Decode { blob: blob.clone(), source: io::Error::other(error) }.into())
            }
        }
    }

    /// Returns whether the client takes the next chunk soon.
    async fn has_room(&self) -> Flow<bool> {
        match tokio::time::timeout(PATIENCE, self.sender.reserve()).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Ok(false),
        }
    }

    async fn wait_for_room(&self) -> Flow {
        self.sender.reserve().await.map(drop).map_err(|_| Ended::Gone)
    }

    async fn chunk(&mut self, chunk: Bytes) -> Flow {
        if chunk.is_empty() {
            return Ok(());
        }
        let count = chunk.len() as u64;
        if count > self.left {
            let actual = self.length - self.left + count;
            return Err(ContentError::WrongLength { expected: self.length, actual }.into());
        }
        self.left -= count;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        if let Some(collected) = &mut self.collected {
            collected.bytes.extend_from_slice(&chunk);
        }
        let ready = if self.hasher.is_some() { self.held.replace(chunk) } else { Some(chunk) };
        let Some(ready) = ready else { return Ok(()) };
        self.sender.send(Ok(ready)).await.map_err(|_| Ended::Gone)
    }

    async fn end(mut self, source: &Source) {
        if self.left > 0 {
            let actual = self.length - self.left;
            let error = ContentError::WrongLength { expected: self.length, actual };
            return self.fail(source, error.into()).await;
        }
        if let (Some(hasher), Some(sha256)) = (self.hasher.take(), self.sha256) {
            let (expected, actual) = (Digest::from_sha256(sha256), hasher.finish());
            if expected != actual {
                return self.fail(source, ContentError::WrongDigest { expected, actual }.into()).await;
            }
            if let Some(collected) = self.collected.take() {
                source.reader.verified.keep(sha256, collected).await;
            }
        }
        if let Some(last) = self.held.take() {
            let _ = self.sender.send(Ok(last)).await;
        }
    }

    async fn fail(&self, source: &Source, ended: Ended) {
        let Ended::Failed(error) = ended else { return };
        if matches!(
            error,
            ContentError::Decode { .. } | ContentError::WrongDigest { .. } | ContentError::WrongLength { .. }
        ) {
            source.forget();
        }
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
