//! The `index.json` of a directory: reading it no more often than it changes, locking it, and replacing it.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use registry_backend::{Error, ErrorKind, Result, Retry};
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::blobs;
use super::files::{Paths, blocking, failure, write_file};
use crate::index::{Edit, INDEX_LIMIT, Index};
use crate::storage::{Commit, IndexUpdate, StoredBlob};

const READ: &str = "read the index of";
const UPDATE: &str = "update the index of";
const LOCK: &str = "lock the index of";

/// The age from which a file's times distinguish it from a later one: clocks of file systems tick slowly.
const SETTLED: Duration = Duration::from_secs(2);

/// How long a reader waits for another program that is writing the index in place.
const HALF_WRITTEN_PATIENCE: Duration = Duration::from_millis(500);

/// The pause between two looks at a half-written index.
const HALF_WRITTEN_PAUSE: Duration = Duration::from_millis(20);

/// How many bytes of a file are compared at once with the known index.
const COMPARED_BYTES: usize = 64 * 1024;

/// The index, with the last state of it that was read.
#[derive(Debug)]
pub(super) struct IndexFile {
    paths: Paths,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    read: Option<ReadIndex>,
    /// A state of the file that stayed damaged while a reader waited.
    damaged: Option<Stamp>,
}

#[derive(Debug)]
struct ReadIndex {
    stamp: Stamp,
    /// Whether every file with this stamp has this content.
    is_settled: bool,
    index: Arc<Index>,
}

/// Distinguishes one state of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

impl IndexFile {
    pub(super) fn new(paths: Paths) -> Self {
        Self { paths, known: Mutex::default() }
    }

    /// Returns the index and the stamp of the file; an empty index without a stamp if the file may be absent and is.
    pub(super) fn read(&self, may_be_absent: bool) -> Result<(Arc<Index>, Option<Stamp>)> {
        let stamp = match self.stamp() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_absent => {
                return Ok((Arc::new(Index::empty()), None));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.invalid("its `index.json` is missing: restore it from a backup, or list the artifacts again with `d1oci repair --relist`"
                    .to_owned()).caused_by(error));
            }
            stamp => stamp.map_err(|error| self.failed(error))?,
        };
        // Callers that ask meanwhile wait for the same answer instead of reading the file too.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = known.read.as_ref().filter(|read| read.is_settled && read.stamp == stamp) {
            return Ok((Arc::clone(&read.index), Some(stamp)));
        }
        let begun = Instant::now();
        loop {
            let (file, stamp, is_settled) = self.open().map_err(|error| self.failed(error))?;
            match self.parse_or_keep(&mut known, file) {
                Ok(index) => {
                    known.read = Some(ReadIndex { stamp, is_settled, index: Arc::clone(&index) });
                    return Ok((index, Some(stamp)));
                }
                // Other programs write the file in place: wait until they are done.
                Err(error) if error.kind() == ErrorKind::Invalid && !is_settled => {
                    if known.damaged == Some(stamp) || begun.elapsed() >= HALF_WRITTEN_PATIENCE {
                        known.damaged = Some(stamp);
                        return Err(error);
                    }
                    thread::sleep(HALF_WRITTEN_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the current stamp of the file.
    fn stamp(&self) -> io::Result<Stamp> {
        fs::metadata(self.paths.index()).map(|metadata| Stamp::of(&metadata))
    }

    /// Opens the file; returns its stamp, and whether it is settled.
    fn open(&self) -> io::Result<(File, Stamp, bool)> {
        let file = File::open(self.paths.index())?;
        let stamp = Stamp::of(&file.metadata()?);
        let age = stamp.modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        Ok((file, stamp, age.is_some_and(|age| age > SETTLED)))
    }

    /// Returns the known index if the file holds the same text, and parses the file otherwise.
    fn parse_or_keep(&self, known: &mut Known, mut file: File) -> Result<Arc<Index>> {
        match known.read.take().map(|read| read.index) {
            Some(index) if holds(&mut file, index.text()).map_err(|error| self.failed(error))? => Ok(index),
            // The old index is freed before the new one is read: both would need twice the memory.
            other => {
                let buffer = other.map(Index::into_buffer).unwrap_or_default();
                file.rewind().map_err(|error| self.failed(error))?;
                Ok(Arc::new(self.parse(file, buffer)?))
            }
        }
    }

    fn parse(&self, file: File, mut bytes: Vec<u8>) -> Result<Index> {
        let size = file.metadata().map_err(|error| self.failed(error))?.len();
        let expected = size.min(INDEX_LIMIT).saturating_add(1);
        bytes.reserve_exact(usize::try_from(expected).unwrap_or_default());
        let read = file.take(INDEX_LIMIT.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| self.failed(error))?;
        if bytes.len() as u64 > INDEX_LIMIT {
            return Err(
                self.invalid(format!("expected an `index.json` of at most {INDEX_LIMIT} bytes, found more"))
            );
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| self.invalid("its `index.json` is not UTF-8".to_owned()).caused_by(error))?;
        Index::parse(text).map_err(|error| {
            self.invalid("its `index.json` is not an image index".to_owned()).caused_by(error)
        })
    }

    fn failed(&self, error: io::Error) -> Error {
        failure(READ, &self.paths, &self.paths.index(), error)
    }

    fn invalid(&self, reason: String) -> Error {
        Error::new(ErrorKind::Invalid, READ, &self.paths).because(reason)
    }
}

/// Tells whether the file holds exactly this text.
fn holds(file: &mut File, text: &str) -> io::Result<bool> {
    let mut left = text.as_bytes();
    if file.metadata()?.len() != left.len() as u64 {
        return Ok(false);
    }
    let mut buffer = vec![0; COMPARED_BYTES];
    loop {
        let count = match file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        match buffer.get(..count).unwrap_or_default() {
            [] => return Ok(left.is_empty()),
            read => match left.strip_prefix(read) {
                Some(rest) => left = rest,
                None => return Ok(false),
            },
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { modified: metadata.modified().ok(), size: metadata.len(), inode: inode(metadata) }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// A lock on the index that is held until the value is dropped.
#[derive(Debug)]
pub(super) struct IndexLock {
    _file: File,
}

/// Who else may hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nobody.
    Exclusive,
    /// Others that share it.
    Shared,
}

impl IndexLock {
    /// The longest pause between two attempts.
    const LONGEST_PAUSE: Duration = Duration::from_millis(20);

    /// Waits for the lock, at most for `patience`.
    ///
    /// It polls, so no thread blocks while others hold the lock, and those who hold it can always continue.
    pub(super) async fn acquire(paths: &Paths, mode: Mode, patience: Duration) -> Result<Self> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let tried = paths.clone();
            if let Some(lock) = blocking(LOCK, move || Self::attempt(&tried, mode)).await? {
                return Ok(lock);
            }
            if begun.elapsed() >= patience {
                return Err(Error::new(ErrorKind::Conflict, LOCK, paths)
                    .because(format!(
                        "another process has held the lock on `{}` for {} seconds",
                        paths.lock().display(),
                        patience.as_secs()
                    ))
                    .with_retry(Retry::Yes));
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(Self::LONGEST_PAUSE);
        }
    }

    /// Takes the lock if it is free.
    pub(super) fn attempt(paths: &Paths, mode: Mode) -> Result<Option<Self>> {
        let path = paths.lock();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| failure(LOCK, paths, &path, error))?;
        let tried = match mode {
            Mode::Exclusive => file.try_lock(),
            Mode::Shared => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(no_locks(paths, error)),
        }
    }
}

fn no_locks(paths: &Paths, error: io::Error) -> Error {
    Error::new(ErrorKind::Unsupported, LOCK, paths)
        .because(
            "its file system does not support locks, and without locks two writers would lose each other's work: \
             write to a local directory and copy it there",
        )
        .caused_by(error)
}

/// An update that holds the lock.
pub(super) struct Update {
    index: Arc<Index>,
    held: Held,
}

struct Held {
    file: Arc<IndexFile>,
    stamp: Option<Stamp>,
    _lock: IndexLock,
    _turn: OwnedMutexGuard<()>,
}

impl Update {
    pub(super) fn begin(file: Arc<IndexFile>, lock: IndexLock, turn: OwnedMutexGuard<()>) -> Result<Self> {
        let (index, stamp) = file.read(false)?;
        Ok(Self { index, held: Held { file, stamp, _lock: lock, _turn: turn } })
    }
}

#[async_trait]
impl IndexUpdate for Update {
    fn index(&self) -> &Arc<Index> {
        &self.index
    }

    async fn commit(self: Box<Self>, edit: Edit) -> Result<Commit> {
        // The closure owns the lock: it is held until the index is replaced, even if the caller gives up.
        let Self { index, held } = *self;
        blocking(UPDATE, move || held.replace(&index, &edit)).await
    }

    async fn remove(self: Box<Self>, blobs: Vec<StoredBlob>, before: SystemTime) -> Result<Vec<StoredBlob>> {
        let held = self.held;
        blocking("remove blob", move || blobs::remove(&held.file.paths, blobs, before)).await
    }
}

impl Held {
    fn replace(&self, index: &Index, edit: &Edit) -> Result<Commit> {
        let paths = &self.file.paths;
        let failed = |path: &std::path::Path, error| failure(UPDATE, paths, path, error);
        // The content of the blobs was synced before they got their names. Now the names are.
        blobs::sync_names(paths).map_err(|error| failed(&paths.blobs(), error))?;
        // Other programs take no lock: what they wrote since must not be lost.
        if self.file.stamp().ok() != self.stamp {
            return Ok(Commit::Raced);
        }
        let path = paths.index();
        write_file(paths, &path, index.pieces(edit)).map_err(|error| failed(&path, error))?;
        safe_files::sync_directory(paths.root()).map_err(|error| failed(paths.root(), error))?;
        Ok(Commit::Done)
    }
}

/// The thread that reads the index. It starts with its first work and ends with the value.
///
/// Each read of a large index takes a few large pieces of memory. Allocators give every thread a part of the memory of its own. If any
/// thread for blocking work read the index, each of them would keep such pieces.
#[derive(Debug, Default)]
pub(super) struct IndexThread {
    works: Mutex<Option<mpsc::Sender<Work>>>,
}

type Work = Box<dyn FnOnce() + Send>;

impl IndexThread {
    /// Runs the work on the thread, after the work that it got before.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, result) = oneshot::channel();
        let failed = |error: io::Error| Error::io(operation, "the layout", error);
        self.give(Box::new(move || {
            // The caller may have given up.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        }))
        .map_err(failed)?;
        match result.await {
            Ok(result) => result.unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => Err(failed(io::Error::other("its thread has ended"))),
        }
    }

    fn give(&self, work: Work) -> io::Result<()> {
        let mut works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match works.take() {
            Some(sender) => sender,
            None => {
                let (sender, receiver) = mpsc::channel::<Work>();
                let run = move || receiver.iter().for_each(|work| work());
                thread::Builder::new().name("layout index".to_owned()).spawn(run)?;
                sender
            }
        };
        // The thread ends only after its senders.
        sender.send(work).map_err(|_| io::Error::other("its thread has ended"))?;
        *works = Some(sender);
        Ok(())
    }
}

/// Those who wait for the next read of the index. One read answers all who asked before it began.
///
/// A file that changed a moment ago is compared as a whole at each read, because its times do not tell its states apart. While many
/// tasks write and ask, that costs more than anything else.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Vec<oneshot::Sender<Arc<Index>>>>);

impl Readers {
    /// Adds a reader. Returns whether it is the first, who has to cause the read.
    pub(super) fn join(&self, reader: oneshot::Sender<Arc<Index>>) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(reader);
        waiting.len() == 1
    }

    /// Lets all who wait now read by themselves.
    pub(super) fn send_away(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Reads the index once for all who wait now. It blocks.
    pub(super) fn answer(&self, read: impl FnOnce() -> Result<Arc<Index>>) -> Result<()> {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let index = read()?;
        for reader in waiting {
            // The caller may have given up.
            let _ = reader.send(Arc::clone(&index));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_read_answers_all_who_asked_before_it_began() {
        let readers = Readers::default();
        let index = Arc::new(Index::empty());
        let (mut answers, mut causes) = (Vec::new(), 0);
        for _ in 0..3 {
            let (sender, answer) = oneshot::channel();
            causes += usize::from(readers.join(sender));
            answers.push(answer);
        }
        let (late, late_answer) = oneshot::channel();
        let read = || {
            causes += usize::from(readers.join(late));
            Ok(Arc::clone(&index))
        };
        readers.answer(read).unwrap();
        assert_eq!(causes, 2, "a reader who asks during the read causes the next one");
        for answer in answers {
            assert!(Arc::ptr_eq(&answer.await.unwrap(), &index));
        }
        let refused = || Err(Error::new(ErrorKind::Invalid, "test", "x"));
        assert!(readers.answer(refused).is_err());
        assert!(late_answer.await.is_err(), "nobody waits for a read that failed");
    }

    #[tokio::test]
    async fn work_runs_in_order_on_one_thread_and_survives_errors() {
        let index = IndexThread::default();
        let thread = || Ok(thread::current().id());
        let first = index.run("test", thread).await.unwrap();
        let refused = || Err::<(), _>(Error::new(ErrorKind::Invalid, "test", "x"));
        assert_eq!(index.run("test", refused).await.unwrap_err().kind(), ErrorKind::Invalid);
        drop(index.run("test", thread));
        assert_eq!(index.run("test", thread).await.unwrap(), first);
        assert_ne!(first, thread().unwrap());
    }
}
