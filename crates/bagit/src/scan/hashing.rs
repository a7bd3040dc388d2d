//! Hashing files in parallel, and noticing when one changes meanwhile.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use crate::algorithm::AlgorithmSet;
use crate::digests::{Digests, MultiHasher};
use crate::parallel::map_largest_first;
use crate::progress::{Progress, ProgressEvent};

/// Names a file to be hashed.
#[derive(Clone, Copy, Debug)]
pub struct FileToHash<'a> {
    /// Its path below the root, with `/` between the components.
    pub path: &'a str,
    /// Its size as far as it is known; it only decides the order.
    pub size: u64,
    /// The digests that are wanted.
    pub algorithms: AlgorithmSet,
}

/// Says what came of hashing one file.
#[derive(Debug)]
pub enum HashOutcome {
    /// All bytes were read and nothing changed meanwhile.
    Hashed {
        /// The number of bytes.
        size: u64,
        /// Their digests.
        digests: Digests,
    },
    /// The file is not a regular file, or could not be opened or read.
    Unreadable(io::Error),
    /// The file was changed or replaced while it was read.
    Changed,
    /// The file was gone when its turn came, or afterwards.
    Vanished,
}

/// Hashes files below a root with several threads, largest first, each file in one read for all its algorithms.
///
/// `threads` 0 is one per core. The outcomes come in the order of the files; memory does not grow with their size.
#[must_use]
pub fn hash_files(
    root: &Path,
    files: &[FileToHash<'_>],
    threads: usize,
    progress: &dyn Progress,
) -> Vec<HashOutcome> {
    map_largest_first(
        files,
        threads,
        |file| file.size,
        |file, buffer| hash_file(root, file, buffer, progress),
    )
}

fn hash_file(root: &Path, file: &FileToHash<'_>, buffer: &mut [u8], progress: &dyn Progress) -> HashOutcome {
    progress.event(ProgressEvent::Started { path: file.path });
    let mut hasher = MultiHasher::new(file.algorithms);
    let outcome = read_unchanged(&root.join(file.path), buffer, |bytes| {
        hasher.update(bytes);
        progress.event(ProgressEvent::Advanced { bytes: bytes.len() as u64 });
        Ok(())
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

/// Says whether a file was the same before, during and after it was read.
pub(crate) enum ReadOutcome {
    Unchanged(Metadata),
    Changed,
    Vanished,
}

/// Gives all bytes of a regular file to `take`, and compares what the file system says before and after.
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

/// Says whether two looks at a file saw the same state of the same file.
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

    use super::{FileToHash, HashOutcome, ReadOutcome, hash_files, read_unchanged};
    use crate::algorithm::{Algorithm, AlgorithmSet};
    use crate::progress::NoProgress;

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
        for (n, outcome) in (0..).zip(hash_files(directory.path(), &files, 3, &NoProgress)) {
            let expected = crate::Digests::of(algorithms, &content(n));
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
