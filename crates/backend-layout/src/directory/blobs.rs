//! Blobs as files: reading, storing, listing and removing them.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, stream};
use oci_model::Digest;
use registry_backend::{BlobRead, BlobSource, ByteStream, Error, ErrorKind, Result, Retry};
use tokio::task::JoinHandle;

use super::files::{Paths, TemporaryFile, blocking, failure, joined};
use crate::storage::{Batch, BlobCheck, Presence, StoredBlob, absent, next_batch, outside};

const READ: &str = "read blob";
const WRITE: &str = "write blob";
const REMOVE: &str = "remove blob";

/// How many bytes are read at once; one more piece is read ahead.
const PIECE_BYTES: u64 = 512 * 1024;

/// How many bytes the writing thread gets at once: enough to make the hand-over cheap.
const BATCH_BYTES: usize = 1024 * 1024;

/// The size in bytes from which a write continues an earlier one that was killed or lost its source. Smaller blobs are quickly written
/// again.
const CONTINUED_BYTES: u64 = 8 * 1024 * 1024;

/// The age up to which the next write leaves the beginning of a large blob for a write that continues it.
const LARGE_TEMPORARY_AGE: Duration = Duration::from_secs(24 * 3600);

/// The age from which another program's temporary file is removed: nobody can tell whether that program still lives.
const FOREIGN_TEMPORARY_AGE: Duration = Duration::from_secs(3600);

/// Returns the size of a blob in bytes. A path that is not a file is not a blob.
pub(super) fn size(paths: &Paths, digest: &Digest) -> Result<Option<u64>> {
    let path = paths.blob(digest);
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(failure("stat blob", digest, &path, error)),
    }
}

/// Opens a range of a blob.
pub(super) async fn read(paths: &Paths, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
    let opened = (paths.clone(), digest.clone());
    let (range, blob_size, first, rest) = blocking(READ, move || open(&opened.0, opened.1, range)).await?;
    Ok(BlobRead { range, blob_size, stream: pieces(first, rest) })
}

/// Reads `left` bytes of a blob from the place at which its file is.
pub(crate) async fn read_file(file: File, left: u64, digest: &Digest, path: &Path) -> Result<ByteStream> {
    let reader = Reader { file, left, digest: digest.clone(), path: path.to_owned() };
    let (first, rest) = blocking(READ, move || reader.piece()).await?;
    Ok(pieces(first, rest))
}

/// Returns the content. Opening reads the first piece too, so a small blob takes one change of threads.
fn pieces(first: Bytes, rest: Option<Reader>) -> ByteStream {
    let rest = stream::try_unfold(rest.map(read_ahead), next_piece);
    stream::iter([Ok(first)]).chain(rest).boxed()
}

type Opened = (Range<u64>, u64, Bytes, Option<Reader>);

fn open(paths: &Paths, digest: Digest, range: Option<Range<u64>>) -> Result<Opened> {
    // Checks the kind before opening: opening a pipe would wait for a writer.
    let blob_size = size(paths, &digest)?.ok_or_else(|| absent(READ, &digest))?;
    let range = range.unwrap_or(0..blob_size);
    if range.start > range.end || range.end > blob_size {
        return Err(outside(&digest, &range, blob_size));
    }
    let path = paths.blob(&digest);
    let file = File::open(&path).and_then(|mut file| file.seek(SeekFrom::Start(range.start)).map(|_| file));
    let file = match file {
        // It was removed a moment ago.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent(READ, &digest)),
        file => file.map_err(|error| failure(READ, &digest, &path, error))?,
    };
    let left = range.end.saturating_sub(range.start);
    let (first, rest) = Reader { file, left, digest, path }.piece()?;
    Ok((range, blob_size, first, rest))
}

struct Reader {
    file: File,
    left: u64,
    digest: Digest,
    path: PathBuf,
}

impl Reader {
    /// Reads the next piece; returns the reader if there is more.
    fn piece(mut self) -> Result<(Bytes, Option<Self>)> {
        let wanted = self.left.min(PIECE_BYTES);
        let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
        let read = (&mut self.file).take(wanted).read_to_end(&mut piece);
        read.map_err(|error| failure(READ, &self.digest, &self.path, error))?;
        self.left = self.left.saturating_sub(wanted);
        if (piece.len() as u64) < wanted {
            return Err(Error::new(ErrorKind::Invalid, READ, &self.digest)
                .because(format!("the file became shorter while it was read: `{}`", self.path.display())));
        }
        let rest = (self.left > 0).then_some(self);
        Ok((Bytes::from(piece), rest))
    }
}

type Ahead = JoinHandle<Result<(Bytes, Option<Reader>)>>;

fn read_ahead(reader: Reader) -> Ahead {
    tokio::task::spawn_blocking(|| reader.piece())
}

async fn next_piece(ahead: Option<Ahead>) -> Result<Option<(Bytes, Option<Ahead>)>> {
    let Some(ahead) = ahead else { return Ok(None) };
    let (piece, rest) = joined(READ, ahead).await?;
    Ok(Some((piece, rest.map(read_ahead))))
}

/// Stores a blob. A file without a name on the file system of the layout gets its name; anything else is written.
pub(super) async fn store(paths: &Paths, blob: &dyn BlobSource) -> Result<()> {
    let nameless = blob.nameless_file().and_then(|file| file.try_clone().ok());
    if nameless.is_some() {
        let taken = pass(blob, Writer::new(paths, blob, nameless)?, 0).await;
        if taken.as_ref().is_ok_and(|file| file.is_some()) {
            return Ok(());
        }
        // A file of another file system cannot be taken over. Wrong content is an error.
        taken?;
    }
    let writer = Writer::new(paths, blob, None)?;
    if blob.size() >= CONTINUED_BYTES
        && let Some((writer, offset)) = blocking(WRITE, move || Ok(writer.continued())).await?
    {
        tracing::debug!(offset, digest = %blob.digest(), "an earlier write goes on");
        match pass(blob, writer, offset).await {
            // After a power cut, a file may have other bytes than were written.
            Err(error) if error.kind() == ErrorKind::Invalid => {}
            passed => return passed.map(drop),
        }
    }
    pass(blob, Writer::new(paths, blob, None)?, 0).await.map(drop)
}

/// Hashes the content of a blob from a place, and writes it unless a file already holds it. Returns this file if it got the name of the
/// blob. While another thread works on one batch, the next one is gathered.
async fn pass(blob: &dyn BlobSource, mut writer: Writer, offset: u64) -> Result<Option<File>> {
    let begin = async {
        let mut stream = blob.open(offset).await?;
        let batch = next_batch(&mut stream, BATCH_BYTES).await?;
        Ok((stream, batch))
    };
    let (mut stream, mut batch) = match begin.await {
        Ok(begun) => begun,
        Err(error) => {
            writer.leave_after(&error);
            return Err(error);
        }
    };
    loop {
        let last = batch.last;
        let writing = tokio::task::spawn_blocking(move || writer.write(batch));
        if last {
            return joined(WRITE, writing).await.map(|writer| writer.nameless);
        }
        let next = next_batch(&mut stream, BATCH_BYTES).await;
        // Waits for the writer even after an error, so that the temporary file is gone when the caller sees it.
        let written = joined(WRITE, writing).await?;
        batch = match next {
            Err(error) => {
                written.leave_after(&error);
                return Err(error);
            }
            Ok(next) => next,
        };
        writer = written;
    }
}

struct Writer {
    paths: Paths,
    digest: Digest,
    size: u64,
    check: BlobCheck,
    file: Option<TemporaryFile>,
    /// A file that holds the content already.
    nameless: Option<File>,
}

impl Writer {
    /// Returns the writer of a blob. A nameless file holds its content already.
    fn new(paths: &Paths, blob: &dyn BlobSource, nameless: Option<File>) -> Result<Self> {
        let (digest, check) = (blob.digest().clone(), BlobCheck::new(blob)?);
        Ok(Self { paths: paths.clone(), digest, size: blob.size(), check, file: None, nameless })
    }

    /// Returns the writer with the content that a killed writer has left, and the number of its bytes.
    fn continued(mut self) -> Option<(Self, u64)> {
        let mut file = TemporaryFile::left(&self.paths, self.digest.encoded(), self.size)?;
        let mut offset = 0;
        let read = file.read_rest(|piece| {
            offset += piece.len() as u64;
            self.check.update(piece).map_err(io::Error::other)
        });
        read.ok()?;
        self.file = Some(file);
        Some((self, offset))
    }

    /// Keeps the content for a writer that goes on later, if the blob is large and the error may pass.
    fn leave_after(self, error: &Error) {
        if self.size >= CONTINUED_BYTES && error.retry() != Retry::No {
            self.leave();
        }
    }

    /// Keeps the content for a writer that goes on later.
    fn leave(self) {
        if let Some(file) = self.file {
            file.leave();
        }
    }

    fn write(self, batch: Batch) -> Result<Self> {
        if self.nameless.is_some() { self.take_over(&batch) } else { self.copy(&batch) }
    }

    fn take_over(mut self, batch: &Batch) -> Result<Self> {
        batch.pieces.iter().try_for_each(|piece| self.check.update(piece))?;
        if batch.last {
            self.check.finish()?;
            self.nameless = self.nameless.take().filter(|file| self.name(file).is_ok());
        }
        Ok(self)
    }

    fn name(&self, file: &File) -> io::Result<()> {
        let named = TemporaryFile::naming(&self.paths, self.digest.encoded(), file)?;
        named.persist(&self.paths.blob(&self.digest))
    }

    fn copy(mut self, batch: &Batch) -> Result<Self> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => TemporaryFile::create(&self.paths, self.digest.encoded())
                .map_err(|error| failure(WRITE, &self.digest, &self.paths.ingest(), error))?,
        };
        for piece in &batch.pieces {
            self.check.update(piece)?;
            file.write(piece).map_err(|error| failure(WRITE, &self.digest, file.path(), error))?;
        }
        if !batch.last {
            self.file = Some(file);
            return Ok(self);
        }
        self.check.finish()?;
        let path = self.paths.blob(&self.digest);
        file.persist(&path).map_err(|error| failure(WRITE, &self.digest, &path, error))?;
        Ok(self)
    }
}

/// Dates a blob as if it were stored now. The caller holds the lock that keeps pruning from removing it.
///
/// A blob of another user cannot be renewed. It counts as absent: storing it again replaces it.
pub(super) fn renew(paths: &Paths, digest: &Digest, size: u64, _lock: &impl Sized) -> Presence {
    let path = paths.blob(digest);
    let exists = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size);
    let renewed = || File::open(&path)?.set_modified(SystemTime::now());
    if exists && renewed().is_ok() { Presence::Kept } else { Presence::Absent }
}

/// Syncs the directories of all blobs, so that the names of the blobs survive a power cut.
pub(super) fn sync_names(paths: &Paths) -> io::Result<()> {
    let blobs = paths.blobs();
    let algorithms = match fs::read_dir(&blobs) {
        // There are no blobs to sync.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        algorithms => algorithms?,
    };
    for algorithm in algorithms {
        let algorithm = algorithm?;
        if algorithm.file_type()?.is_dir() {
            safe_files::sync_directory(&algorithm.path())?;
        }
    }
    safe_files::sync_directory(&blobs)
}

/// Lists all blobs. Files whose names are not digests are ignored.
pub(super) fn list(paths: &Paths) -> Result<Vec<StoredBlob>> {
    let blobs = paths.blobs();
    refuse_link(paths, &blobs)?;
    let mut found = Vec::new();
    for algorithm in entries(paths, &blobs)? {
        if !algorithm.path().is_dir() {
            continue;
        }
        refuse_link(paths, &algorithm.path())?;
        for entry in entries(paths, &algorithm.path())? {
            let blob = stored_blob(&algorithm, &entry);
            found.extend(blob.map_err(|error| list_failure(paths, &entry.path(), error))?);
        }
    }
    Ok(found)
}

/// Refuses a directory that lies elsewhere: its blobs may belong to other layouts too.
fn refuse_link(paths: &Paths, directory: &Path) -> Result<()> {
    if !is_link(directory) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "list the blobs of", paths).because(format!(
        "expected a directory, found a link at `{}`: other layouts may need the blobs there",
        directory.display()
    )))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn stored_blob(algorithm: &DirEntry, entry: &DirEntry) -> io::Result<Option<StoredBlob>> {
    let (algorithm, encoded) = (algorithm.file_name(), entry.file_name());
    let text =
        algorithm.to_str().zip(encoded.to_str()).map(|(algorithm, encoded)| format!("{algorithm}:{encoded}"));
    let Some(digest) = text.and_then(|text| text.parse::<Digest>().ok()) else { return Ok(None) };
    match fs::metadata(entry.path()) {
        Ok(metadata) if metadata.is_file() => {
            Ok(Some(StoredBlob { digest, size: metadata.len(), modified: metadata.modified()? }))
        }
        Ok(_) => Ok(None),
        // Another prune was faster, or it is a dangling link.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the blobs that still exist and were not renewed after `before`.
pub(super) fn remove(paths: &Paths, blobs: Vec<StoredBlob>, before: SystemTime) -> Result<Vec<StoredBlob>> {
    let mut removed = Vec::new();
    for blob in blobs {
        let path = paths.blob(&blob.digest);
        let modified = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.and_then(|metadata| metadata.modified()),
        };
        let modified = modified.map_err(|error| failure(REMOVE, &blob.digest, &path, error))?;
        if modified <= before {
            fs::remove_file(&path).map_err(|error| failure(REMOVE, &blob.digest, &path, error))?;
            removed.push(blob);
        }
    }
    if !removed.is_empty() {
        // After a power cut, content that was withdrawn must not be back.
        sync_names(paths).map_err(|error| failure(REMOVE, paths, &paths.blobs(), error))?;
    }
    Ok(removed)
}

/// Removes the temporary files of dead writers, without those that a write may continue.
pub(super) fn sweep(paths: &Paths) -> Result<()> {
    remove_left(paths, SystemTime::now(), false, LARGE_TEMPORARY_AGE).map(drop)
}

/// Removes the temporary files of dead writers, or only counts them.
pub(super) fn remove_partial(paths: &Paths, before: SystemTime, only_count: bool) -> Result<u64> {
    remove_left(paths, before, only_count, Duration::ZERO)
}

/// Removes the temporary files of dead writers. Those that a write may continue stay up to `age_of_large`.
fn remove_left(paths: &Paths, before: SystemTime, only_count: bool, age_of_large: Duration) -> Result<u64> {
    let ingest = paths.ingest();
    if is_link(&ingest) {
        return Ok(0);
    }
    let ago = |age| SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let is_large =
        |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.len() >= CONTINUED_BYTES);
    let mut count = 0;
    for entry in entries(paths, &ingest)? {
        let (path, name) = (entry.path(), entry.file_name());
        let Some(owner) = name.to_str().and_then(Owner::of) else { continue };
        let before = before.min(match owner {
            Owner::ThisCrate if is_large(&path) => ago(age_of_large),
            Owner::ThisCrate => before,
            Owner::Oras => ago(FOREIGN_TEMPORARY_AGE),
        });
        let stale = lock_stale(&path, before, owner).map_err(|error| list_failure(paths, &path, error))?;
        // The lock is held until the file is removed, so that no new writer takes its name meanwhile.
        if let Some(_lock) = stale {
            if !only_count {
                fs::remove_file(&path).map_err(|error| list_failure(paths, &path, error))?;
            }
            count += 1;
        }
    }
    Ok(count)
}

/// The program that created a temporary file, as its name tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// This crate, which locks the file as long as it writes.
    ThisCrate,
    /// `oras`, which also names files after the digest.
    Oras,
}

impl Owner {
    fn of(name: &str) -> Option<Self> {
        if name.ends_with(TemporaryFile::SUFFIX) {
            return Some(Self::ThisCrate);
        }
        let (hex, number) = name.split_once('_')?;
        let is_hex = hex.len() >= 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        (is_hex && is_number).then_some(Self::Oras)
    }
}

/// Locks a file and returns it if its writer is dead.
fn lock_stale(path: &Path, before: SystemTime, owner: Owner) -> io::Result<Option<File>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if !metadata.is_file() || metadata.modified()? > before {
        return Ok(None);
    }
    let file = match OpenOptions::new().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let is_alive = owner == Owner::ThisCrate && file.try_lock().is_err();
    Ok((!is_alive).then_some(file))
}

fn entries(paths: &Paths, directory: &Path) -> Result<Vec<DirEntry>> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(Iterator::collect),
    };
    listed.map_err(|error| list_failure(paths, directory, error))
}

fn list_failure(paths: &Paths, path: &Path, error: io::Error) -> Error {
    failure("list the blobs of", paths, path, error)
}
