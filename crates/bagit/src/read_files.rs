//! Reading files once for all digests, in several threads, and noticing files that change meanwhile.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use multi_digest::{AlgorithmSet, Digests, MultiHasher};

use crate::error::Result;
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

/// The result of hashing one file.
#[derive(Debug)]
#[non_exhaustive]
pub enum HashOutcome {
    /// All bytes were read, and the file did not change meanwhile.
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

/// Hashes files below a root in several threads, each file in one read for all its algorithms.
///
/// `threads` 0 stands for one per core. The outcomes come in the order of the files. Memory does not grow with the size of the files.
///
/// # Errors
/// [`crate::Error::Cancelled`].
///
/// ```
/// use bagit::{Algorithm, FileToHash, HashOutcome, NoProgress, hash_files};
///
/// let root = tempfile::tempdir()?;
/// std::fs::write(root.path().join("a.csv"), "abc")?;
/// let file = FileToHash { path: "a.csv", size: 3, algorithms: Algorithm::Sha1.into() };
/// let outcomes = hash_files(root.path(), &[file], 0, &NoProgress)?;
/// let HashOutcome::Hashed { digests, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
/// assert_eq!(digests.hex(Algorithm::Sha1).unwrap(), "a9993e364706816aba3e25717850c26c9cd0d89d");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hash_files(
    root: &Path,
    files: &[FileToHash<'_>],
    threads: usize,
    progress: &dyn Progress,
) -> Result<Vec<HashOutcome>> {
    map_largest_first(
        files,
        threads,
        |file| file.size,
        progress,
        |file, buffer| hash_file(root, file, buffer, progress),
    )
}

/// The number of files to hash before the results move into an inventory, where they take far less memory.
pub const FILES_AT_ONCE: usize = 1 << 15;

/// The bytes that each thread reads at a time.
pub(crate) const BUFFER_SIZE: usize = 256 * 1024;

/// Returns the number of threads, where 0 stands for one per core.
pub(crate) fn thread_count(wanted: usize) -> usize {
    if wanted > 0 { wanted } else { thread::available_parallelism().map_or(1, std::num::NonZero::get) }
}

/// Does `work` on every job in several threads, and returns the results in the order of the jobs.
///
/// Each thread has a buffer of its own, and takes the largest job that is left, so that no large job starts last.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub(crate) fn map_largest_first<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    size: impl Fn(&J) -> u64,
    progress: &dyn Progress,
    work: impl Fn(&J, &mut [u8]) -> R + Sync,
) -> Result<Vec<R>> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    // Small files keep their order among themselves, which reads directories in sequence.
    order.sort_by_key(|index| std::cmp::Reverse(jobs.get(*index).map_or(0, &size) / BUFFER_SIZE as u64));
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut buffer = vec![0; BUFFER_SIZE];
        let mut results = Vec::new();
        while let Some(index) =
            order.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !progress.is_cancelled())
        {
            if let Some(job) = jobs.get(*index) {
                results.push((*index, work(job, &mut buffer)));
            }
        }
        results
    };
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

fn hash_file(root: &Path, file: &FileToHash<'_>, buffer: &mut [u8], progress: &dyn Progress) -> HashOutcome {
    progress.event(ProgressEvent::Started { path: file.path });
    let mut hasher = MultiHasher::new(file.algorithms);
    let outcome = read_unchanged(&root.join(file.path), buffer, |bytes| {
        hasher.update(bytes);
        progress.event(ProgressEvent::Advanced { bytes: bytes.len() as u64 });
        // Nobody sees this error: the caller is told that it cancelled the work.
        if progress.is_cancelled() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    });
    progress.event(ProgressEvent::Finished { path: file.path });
    match outcome {
        Ok(ReadOutcome::Unchanged(metadata)) => {
            HashOutcome::Hashed { size: metadata.len(), digests: hasher.finish() }
        }
        Ok(ReadOutcome::Changed) => HashOutcome::Changed,
        Ok(ReadOutcome::Vanished) => HashOutcome::Vanished,
        Err(error) => HashOutcome::Unreadable(error),
    }
}

/// Says whether a file stayed the same while it was read.
pub(crate) enum ReadOutcome {
    Unchanged(Metadata),
    Changed,
    Vanished,
}

/// Passes all bytes of a regular file to `take`, and compares the state of the file before and after.
pub(crate) fn read_unchanged(
    path: &Path,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<ReadOutcome> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ReadOutcome::Vanished),
        Err(error) => return Err(error),
    };
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut total = 0_u64;
    loop {
        let count = match file.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        total = total.saturating_add(bytes.len() as u64);
        take(bytes)?;
    }
    let after = file.metadata()?;
    let there = match fs::metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ReadOutcome::Vanished),
        Err(error) => return Err(error),
    };
    let same = total == before.len() && is_same_state(&before, &after) && is_same_state(&before, &there);
    Ok(if same { ReadOutcome::Unchanged(before) } else { ReadOutcome::Changed })
}

/// Says whether two looks at a path found the same state of the same file.
pub(crate) fn is_same_state(first: &Metadata, second: &Metadata) -> bool {
    let times = first.modified().ok() == second.modified().ok();
    first.len() == second.len() && times && is_same_node(first, second)
}

#[cfg(unix)]
fn is_same_node(first: &Metadata, second: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let key = |metadata: &Metadata| (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec());
    key(first) == key(second)
}

#[cfg(not(unix))]
fn is_same_node(_first: &Metadata, _second: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use multi_digest::{Algorithm, AlgorithmSet, Digests};

    use super::{FileToHash, HashOutcome, ReadOutcome, hash_files, map_largest_first, read_unchanged};
    use crate::progress::NoProgress;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..1000).map(|n| n * 7919 % 1000 * 1_000_000).collect();
        for threads in [0, 1, 2, 7] {
            let results = map_largest_first(
                &jobs,
                threads,
                |job| *job,
                &NoProgress,
                |job, buffer| (*job, buffer.len()),
            )
            .unwrap();
            assert!(results.iter().map(|(job, _)| job).eq(&jobs));
        }
        assert!(map_largest_first(&[] as &[u64], 3, |job| *job, &NoProgress, |_, _| ()).unwrap().is_empty());
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
        for (n, outcome) in (0..).zip(hash_files(directory.path(), &files, 3, &NoProgress).unwrap()) {
            let expected = Digests::of(algorithms, &content(n));
            assert!(matches!(outcome, HashOutcome::Hashed { digests, .. } if digests == expected), "{n}");
        }
    }

    #[test]
    fn changes_during_the_read_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
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
            let mut once = Some(change);
            let outcome = read_unchanged(&path, &mut [0; 4096], |_| {
                if let Some(change) = once.take() {
                    change(&path);
                }
                Ok(())
            });
            match outcome.unwrap() {
                ReadOutcome::Changed => assert!(!vanishes, "{name}"),
                ReadOutcome::Vanished => assert!(vanishes, "{name}"),
                ReadOutcome::Unchanged(_) => panic!("{name}: not noticed"),
            }
        }
        let gone = directory.path().join("gone");
        assert!(matches!(read_unchanged(&gone, &mut [0; 1], |_| Ok(())).unwrap(), ReadOutcome::Vanished));
        assert!(read_unchanged(directory.path(), &mut [0; 1], |_| Ok(())).is_err());
    }
}
