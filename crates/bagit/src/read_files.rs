//! Reading files once for all digests, in several threads, and noticing files that change meanwhile.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use multi_digest::{AlgorithmSet, Digests, Feed, Lanes, MultiHasher};
use safe_files::{Directory, FileState};

use crate::error::Result;
use crate::known::KnownDigests;
use crate::progress::{Progress, ProgressEvent, check_cancelled};

/// Names a file to hash.
#[derive(Clone, Copy, Debug)]
pub struct FileToHash<'a> {
    /// The path below the root, with `/` between the components.
    pub path: &'a str,
    /// The size, or a guess. It decides the order of the work only.
    pub size: u64,
    /// The digests to compute.
    pub algorithms: AlgorithmSet,
}

/// Sets how files are hashed.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HashOptions<'a> {
    /// The number of threads. 0, the default, stands for one per core.
    pub threads: usize,
    /// Digests from earlier runs. A file whose digests are known is not read.
    pub known: Option<&'a dyn KnownDigests>,
}

impl<'a> HashOptions<'a> {
    /// Returns the options with a number of threads.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Returns the options with digests from earlier runs.
    #[must_use]
    pub fn with_known(mut self, known: Option<&'a dyn KnownDigests>) -> Self {
        self.known = known;
        self
    }
}

/// The result of hashing one file.
#[derive(Debug)]
#[non_exhaustive]
pub enum HashOutcome {
    /// All bytes were read, and the file did not change meanwhile. Or the digests are known from an earlier run.
    Hashed {
        /// The number of bytes.
        size: u64,
        /// The digests.
        digests: Digests,
    },
    /// The file is not a regular file, or could not be opened or read.
    Unreadable(io::Error),
    /// The file changed, or another file replaced it, while it was read.
    Changed,
    /// The file vanished before or while it was read.
    Vanished,
}

impl HashOutcome {
    /// Returns the outcome for a file whose root cannot be opened.
    fn without_root(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Vanished,
            kind => Self::Unreadable(io::Error::new(kind, error.to_string())),
        }
    }
}

/// Hashes files below a root in several threads, each file in one read for all its algorithms.
///
/// No link leads out of the root, even if another process replaces a directory meanwhile. With an empty root, paths are those of the
/// operating system, and links are followed.
///
/// Each thread hashes up to [`Lanes::MOST`] files side by side, in a megabyte of memory. The outcomes come in the order of the files.
///
/// # Errors
/// [`crate::Error::Cancelled`].
///
/// ```
/// use bagit::{Algorithm, FileToHash, HashOptions, HashOutcome, NoProgress, hash_files};
///
/// let root = tempfile::tempdir()?;
/// std::fs::write(root.path().join("a.csv"), "abc")?;
/// let file = FileToHash { path: "a.csv", size: 3, algorithms: Algorithm::Sha1.into() };
/// let outcomes = hash_files(root.path(), &[file], &HashOptions::default(), &NoProgress)?;
/// let HashOutcome::Hashed { digests, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
/// assert_eq!(digests.hex(Algorithm::Sha1).unwrap(), "a9993e364706816aba3e25717850c26c9cd0d89d");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hash_files(
    root: &Path,
    files: &[FileToHash<'_>],
    options: &HashOptions<'_>,
    progress: &dyn Progress,
) -> Result<Vec<HashOutcome>> {
    let root = match root.as_os_str().is_empty() {
        true => Ok(Root::Anywhere(PathBuf::new())),
        false => Root::below(root),
    };
    let root = match root {
        Ok(root) => root,
        Err(error) => return Ok(files.iter().map(|_| HashOutcome::without_root(&error)).collect()),
    };
    let size = |file: &FileToHash<'_>| file.size;
    let hashing = HashingOnly { root: &root, files, known: options.known, progress };
    read_largest_first(files, options.threads, size, &hashing, progress)
}

/// The number of files to hash before the results move into an inventory, where they take far less memory.
pub const FILES_AT_ONCE: usize = 1 << 15;

/// The most files that all threads together hold open. A copy holds its target open too, and a process may often have 1,024.
const MOST_OPEN: usize = 256;

/// The bytes that each thread reads at a time.
pub(crate) const BUFFER_SIZE: usize = 256 * 1024;

/// Returns the number of threads, where 0 stands for one per core.
pub(crate) fn thread_count(wanted: usize) -> usize {
    if wanted > 0 { wanted } else { thread::available_parallelism().map_or(1, std::num::NonZero::get) }
}

/// Reads files side by side in several threads, the largest first, and returns the outcomes in the order of the jobs.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub(crate) fn read_largest_first<J, W: SideBySide>(
    jobs: &[J],
    threads: usize,
    size: impl Fn(&J) -> u64,
    work: &W,
    progress: &dyn Progress,
) -> Result<Vec<W::Outcome>> {
    let most = (MOST_OPEN / thread_count(threads)).clamp(1, Lanes::MOST);
    spread_largest_first(jobs, threads, size, progress, |queue| {
        read_side_by_side(work, queue, most, progress)
    })
}

/// The treatment of files that are read side by side: each is hashed, and its bytes may go elsewhere too.
pub(crate) trait SideBySide: Sync {
    /// Takes the bytes of one file.
    type Sink;
    /// The result for one file.
    type Outcome: Send;

    /// Returns the path of a file for events.
    fn path(&self, index: usize) -> &str;

    /// Opens a file. The error is the outcome of a file that need not or cannot be read.
    fn open(&self, index: usize) -> std::result::Result<Opened<'_, Self::Sink>, Self::Outcome>;

    /// Takes the next bytes of a file. Returns whether it wants more.
    fn take(&self, sink: &mut Self::Sink, bytes: &[u8]) -> bool;

    /// Ends a file.
    fn close(
        &self,
        index: usize,
        sink: Self::Sink,
        read: io::Result<ReadOutcome>,
        digests: Digests,
    ) -> Self::Outcome;
}

/// A file to read.
pub(crate) struct Opened<'r, S> {
    pub(crate) file: WatchedFile<'r>,
    pub(crate) algorithms: AlgorithmSet,
    pub(crate) sink: S,
}

/// The positions of jobs that no thread has taken yet, largest jobs first.
struct Queue {
    order: Vec<usize>,
    next: AtomicUsize,
}

impl Queue {
    fn next(&self) -> Option<usize> {
        self.order.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }
}

/// Runs a worker in each of several threads, and returns all their results in the order of the jobs.
fn spread_largest_first<J, R: Send>(
    jobs: &[J],
    threads: usize,
    size: impl Fn(&J) -> u64,
    progress: &dyn Progress,
    worker: impl Fn(&Queue) -> Vec<(usize, R)> + Sync,
) -> Result<Vec<R>> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    // Small files keep their order among themselves, which reads directories in sequence.
    order.sort_by_key(|index| std::cmp::Reverse(jobs.get(*index).map_or(0, &size) / BUFFER_SIZE as u64));
    let queue = Queue { order, next: AtomicUsize::new(0) };
    let worker = || worker(&queue);
    let threads = thread_count(threads).min(jobs.len()).max(1);
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut results = worker();
        for other in others {
            match other.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    check_cancelled(progress)?;
    results.sort_unstable_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// The bytes that a thread reads into before it hashes them. They fit into the second-level cache.
const ROOM: usize = 1024 * 1024;

/// The place of files to read.
#[derive(Debug)]
pub(crate) enum Root {
    /// An open directory. No file outside it is ever read.
    Below(Directory),
    /// An open directory. No link in it is followed.
    WithoutLinks(Directory),
    /// Any path of the operating system, for callers that follow links.
    Anywhere(PathBuf),
}

impl Root {
    /// Opens a directory. No link leads out of it.
    pub(crate) fn below(path: &Path) -> io::Result<Self> {
        Directory::open(path).map(Self::Below)
    }

    /// Returns the full path of a file, for messages.
    pub(crate) fn full(&self, path: impl AsRef<Path>) -> PathBuf {
        match self {
            Self::Below(directory) | Self::WithoutLinks(directory) => directory.path().join(path),
            Self::Anywhere(root) => root.join(path),
        }
    }

    pub(crate) fn open_file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        match self {
            Self::Below(directory) => directory.open_inside(path),
            Self::WithoutLinks(directory) => directory.open_file(path),
            Self::Anywhere(root) => {
                let file = File::open(root.join(path))?;
                let is_file = file.metadata()?.is_file();
                is_file
                    .then_some(file)
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
            }
        }
    }

    fn state(&self, path: impl AsRef<Path>) -> io::Result<FileState> {
        match self {
            Self::Below(directory) | Self::WithoutLinks(directory) => directory.state(path),
            Self::Anywhere(root) => {
                fs::metadata(root.join(path)).map(|metadata| FileState::of_metadata(&metadata))
            }
        }
    }
}

/// A root that lives as long as the plan, or only for one file.
#[derive(Debug)]
pub(crate) enum SourceRoot<'p> {
    Of(&'p Root),
    Own(Root),
}

impl Deref for SourceRoot<'_> {
    type Target = Root;

    fn deref(&self) -> &Root {
        match self {
            Self::Of(root) => root,
            Self::Own(root) => root,
        }
    }
}

/// Hashes files, and does nothing else with them.
struct HashingOnly<'a> {
    root: &'a Root,
    files: &'a [FileToHash<'a>],
    known: Option<&'a dyn KnownDigests>,
    progress: &'a dyn Progress,
}

impl SideBySide for HashingOnly<'_> {
    type Sink = ();
    type Outcome = HashOutcome;

    fn path(&self, index: usize) -> &str {
        self.files.get(index).map_or("", |file| file.path)
    }

    fn open(&self, index: usize) -> std::result::Result<Opened<'_, ()>, HashOutcome> {
        let Some(file) = self.files.get(index) else { return Err(HashOutcome::Vanished) };
        let opened = match WatchedFile::open(SourceRoot::Of(self.root), Path::new(file.path)) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Err(HashOutcome::Vanished),
            Err(error) => return Err(HashOutcome::Unreadable(error)),
        };
        if let Some(digests) = self.known.and_then(|known| opened.lookup(known, file.algorithms)) {
            let size = opened.before.len();
            self.progress.event(ProgressEvent::Advanced { bytes: size });
            self.progress.event(ProgressEvent::Finished { path: file.path });
            return Err(HashOutcome::Hashed { size, digests });
        }
        Ok(Opened { file: opened, algorithms: file.algorithms, sink: () })
    }

    fn take(&self, (): &mut (), _bytes: &[u8]) -> bool {
        true
    }

    fn close(&self, index: usize, (): (), read: io::Result<ReadOutcome>, digests: Digests) -> HashOutcome {
        match read {
            Ok(ReadOutcome::Unchanged(metadata)) => {
                if let Some(known) = self.known {
                    let state = FileState::of_metadata(&metadata);
                    known.remember(&self.root.full(self.path(index)), &state, &digests);
                }
                HashOutcome::Hashed { size: metadata.len(), digests }
            }
            Ok(ReadOutcome::Changed) => HashOutcome::Changed,
            Ok(ReadOutcome::Vanished) => HashOutcome::Vanished,
            Err(error) => HashOutcome::Unreadable(error),
        }
    }
}

/// A file that is being read.
struct Reading<'r, S> {
    /// Its position among the files.
    index: usize,
    file: WatchedFile<'r>,
    hasher: MultiHasher,
    sink: S,
    /// The bytes that the last read gave; fewer than asked for at the end of the file.
    read: io::Result<usize>,
    wants_more: bool,
}

/// Reads at most `most` files from the queue side by side until it is empty.
fn read_side_by_side<W: SideBySide>(
    work: &W,
    queue: &Queue,
    most: usize,
    progress: &dyn Progress,
) -> Vec<(usize, W::Outcome)> {
    let lanes = Lanes::new();
    let mut room = vec![0; ROOM];
    let mut results = Vec::new();
    let mut open: Vec<Reading<'_, W::Sink>> = Vec::with_capacity(most);
    loop {
        // One large file in each round: then other threads get some of the large files too.
        let mut taken = 0;
        while open.len() < most && taken < ROOM as u64 && !progress.is_cancelled() {
            let Some(index) = queue.next() else { break };
            progress.event(ProgressEvent::Started { path: work.path(index) });
            match work.open(index) {
                Ok(Opened { file, algorithms, sink }) => {
                    taken += file.before.len();
                    let hasher = MultiHasher::new(algorithms);
                    open.push(Reading { index, file, hasher, sink, read: Ok(0), wants_more: true });
                }
                Err(outcome) => results.push((index, outcome)),
            }
        }
        if open.is_empty() || progress.is_cancelled() {
            return results;
        }
        let piece = ROOM / open.len();
        read_and_hash(work, lanes, &mut open, &mut room, piece, progress);
        let goes_on = |reading: &Reading<'_, W::Sink>| {
            reading.wants_more && reading.read.as_ref().is_ok_and(|count| *count == piece)
        };
        let (rest, ended): (Vec<_>, Vec<_>) = open.into_iter().partition(goes_on);
        open = rest;
        let (states, hashers): (Vec<_>, Vec<_>) = ended
            .into_iter()
            .map(|reading| ((reading.index, reading.file, reading.sink, reading.read), reading.hasher))
            .unzip();
        for ((index, file, sink, read), digests) in states.into_iter().zip(lanes.finish(hashers)) {
            let read = read.and_then(|_| file.finish());
            results.push((index, work.close(index, sink, read, digests)));
            progress.event(ProgressEvent::Finished { path: work.path(index) });
        }
    }
}

/// Reads the next piece of each file, hashes all pieces, and passes them on.
fn read_and_hash<W: SideBySide>(
    work: &W,
    lanes: Lanes,
    open: &mut [Reading<'_, W::Sink>],
    room: &mut [u8],
    piece: usize,
    progress: &dyn Progress,
) {
    for (reading, room) in open.iter_mut().zip(room.chunks_exact_mut(piece)) {
        reading.read = reading.file.fill(room);
    }
    let filled = |read: &io::Result<usize>| *read.as_ref().unwrap_or(&0);
    let pieces = open.iter_mut().zip(room.chunks_exact(piece)).map(|(reading, room)| {
        let bytes = room.get(..filled(&reading.read)).unwrap_or_default();
        Feed { hasher: &mut reading.hasher, bytes }
    });
    lanes.update(pieces.collect());
    for (reading, room) in open.iter_mut().zip(room.chunks_exact(piece)) {
        let bytes = room.get(..filled(&reading.read)).unwrap_or_default();
        if !bytes.is_empty() {
            reading.wants_more = work.take(&mut reading.sink, bytes);
            progress.event(ProgressEvent::Advanced { bytes: bytes.len() as u64 });
        }
    }
}

/// Says whether a file stayed the same while it was read.
pub(crate) enum ReadOutcome {
    Unchanged(Metadata),
    Changed,
    Vanished,
}

/// A regular file whose state is compared before and after it is read.
pub(crate) struct WatchedFile<'r> {
    root: SourceRoot<'r>,
    path: PathBuf,
    file: File,
    before: Metadata,
    total: u64,
}

impl<'r> WatchedFile<'r> {
    /// Opens a file; `None` means that there is no such file.
    pub(crate) fn open(root: SourceRoot<'r>, path: &Path) -> io::Result<Option<Self>> {
        let file = match root.open_file(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let before = file.metadata()?;
        Ok(Some(Self { root, path: path.to_owned(), file, before, total: 0 }))
    }

    /// Returns the digests of the file, if they are known from an earlier run.
    fn lookup(&self, known: &dyn KnownDigests, algorithms: AlgorithmSet) -> Option<Digests> {
        known.lookup(&self.root.full(&self.path), &FileState::of_metadata(&self.before), algorithms)
    }

    /// Reads until the buffer is full or the file ends, and returns the number of bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.file.read(room) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.total = self.total.saturating_add(filled as u64);
        Ok(filled)
    }

    /// Compares the state of the file with that before.
    fn finish(self) -> io::Result<ReadOutcome> {
        let at_path = match self.root.state(&self.path) {
            Ok(state) => state,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ReadOutcome::Vanished),
            Err(error) => return Err(error),
        };
        let before = FileState::of_metadata(&self.before);
        let same = self.total == before.size() && before == FileState::of(&self.file)? && before == at_path;
        Ok(if same { ReadOutcome::Unchanged(self.before) } else { ReadOutcome::Changed })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{self, Write};

    use multi_digest::{Algorithm, AlgorithmSet, Digests};

    use super::{
        FileToHash, HashOptions, HashOutcome, Queue, ReadOutcome, Root, SourceRoot, WatchedFile, hash_files,
        spread_largest_first,
    };
    use crate::progress::NoProgress;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..1000).map(|n| n * 7919 % 1000 * 1_000_000).collect();
        let worker = |queue: &Queue| {
            std::iter::from_fn(|| queue.next()).map(|index| (index, jobs[index])).collect::<Vec<_>>()
        };
        for threads in [0, 1, 2, 7] {
            let results = spread_largest_first(&jobs, threads, |job| *job, &NoProgress, worker).unwrap();
            assert_eq!(results, jobs);
        }
        let none: [u64; 0] = [];
        assert!(spread_largest_first(&none, 3, |job| *job, &NoProgress, worker).unwrap().is_empty());
    }

    #[test]
    fn files_of_any_size_are_hashed_in_the_order_given() {
        let directory = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..20_u8).map(|n| format!("f{n}")).collect();
        let content = |n: u8| vec![n; usize::from(n) * 100_000];
        for (n, name) in (0..).zip(&names) {
            fs::write(directory.path().join(name), content(n)).unwrap();
        }
        let algorithms: AlgorithmSet = [Algorithm::Sha256].into_iter().collect();
        let files: Vec<_> = names.iter().map(|path| FileToHash { path, size: 0, algorithms }).collect();
        for (n, outcome) in (0..).zip(
            hash_files(directory.path(), &files, &HashOptions::default().with_threads(3), &NoProgress)
                .unwrap(),
        ) {
            let expected = Digests::of(algorithms, &content(n));
            assert!(matches!(outcome, HashOutcome::Hashed { digests, .. } if digests == expected), "{n}");
        }
    }

    #[test]
    fn more_files_than_lanes_have_the_digests_that_each_has_alone() {
        let directory = tempfile::tempdir().unwrap();
        let sizes: Vec<usize> = [0, 1, 63, 64, 127, 128, 129, 1_048_575, 1_048_576, 1_048_577, 3_000_001]
            .into_iter()
            .chain((0..60).map(|n| n * 1_009))
            .collect();
        let names: Vec<String> = sizes.iter().enumerate().map(|(n, _)| format!("f{n}")).collect();
        let content = |n: usize| (0..sizes[n]).map(|at| (at * (n + 3)).to_le_bytes()[1]).collect::<Vec<u8>>();
        for (n, name) in names.iter().enumerate() {
            fs::write(directory.path().join(name), content(n)).unwrap();
        }
        let set = |n: usize| Algorithm::ALL.into_iter().skip(n % 3).step_by(2).collect::<AlgorithmSet>();
        let size = |n: usize| sizes[n] as u64;
        let files = names.iter().enumerate();
        let files = files.map(|(n, path)| FileToHash { path, size: size(n), algorithms: set(n) });
        let mut files: Vec<_> = files.collect();
        files.push(FileToHash { path: "absent", size: 1, algorithms: set(0) });
        files.push(FileToHash { path: ".", size: 1, algorithms: set(0) });
        for threads in [1, 2, 5] {
            let outcomes = hash_files(
                directory.path(),
                &files,
                &HashOptions::default().with_threads(threads),
                &NoProgress,
            )
            .unwrap();
            assert_eq!(outcomes.len(), files.len());
            for (n, outcome) in outcomes.iter().enumerate().take(names.len()) {
                let HashOutcome::Hashed { size: found, digests } = outcome else {
                    panic!("{n}: {outcome:?}")
                };
                assert_eq!((*found, digests), (size(n), &Digests::of(set(n), &content(n))), "{n}");
            }
            assert!(matches!(outcomes[names.len()], HashOutcome::Vanished));
            assert!(matches!(outcomes[names.len() + 1], HashOutcome::Unreadable(_)));
        }
    }

    #[test]
    fn changes_during_the_read_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, root) = (directory.path().join("x"), Root::below(directory.path()).unwrap());
        type Change = fn(&std::path::Path);
        let cases: [(&str, Change, bool); 4] = [
            (
                "grows",
                |path| fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap(),
                false,
            ),
            (
                "is replaced by a file of the same size",
                |path| {
                    fs::write(path.with_extension("new"), [1; 100_000]).unwrap();
                    fs::rename(path.with_extension("new"), path).unwrap();
                },
                false,
            ),
            (
                "shrinks",
                |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(10).unwrap(),
                false,
            ),
            ("vanishes", |path| fs::remove_file(path).unwrap(), true),
        ];
        for (name, change, vanishes) in cases {
            fs::write(&path, [0; 100_000]).unwrap();
            let outcome = read(&root, "x", || change(&path));
            match outcome.unwrap() {
                ReadOutcome::Changed => assert!(!vanishes, "{name}"),
                ReadOutcome::Vanished => assert!(vanishes, "{name}"),
                ReadOutcome::Unchanged(_) => panic!("{name}: not noticed"),
            }
        }
        assert!(matches!(read(&root, "gone", || {}).unwrap(), ReadOutcome::Vanished));
        assert!(read(&root, ".", || {}).is_err());
    }

    /// Reads a file to its end. Calls `change` after the first bytes.
    fn read(root: &Root, path: &str, change: impl FnOnce()) -> io::Result<ReadOutcome> {
        let Some(mut file) = WatchedFile::open(SourceRoot::Of(root), path.as_ref())? else {
            return Ok(ReadOutcome::Vanished);
        };
        let (mut buffer, mut change) = ([0; 4096], Some(change));
        loop {
            let count = file.fill(&mut buffer)?;
            if let (Some(change), 1..) = (change.take(), count) {
                change();
            }
            if count < buffer.len() {
                return file.finish();
            }
        }
    }
}
