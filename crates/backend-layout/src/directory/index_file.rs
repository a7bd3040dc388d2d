//! The `index.json` of a directory, read and parsed no more often than it changes.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use registry_backend::{Error, ErrorKind, Result};

use super::failure::failure;
use super::paths::Paths;
use crate::index::{INDEX_LIMIT, Index};

const OPERATION: &str = "read the index of";

/// How old a file has to be for its times to tell it from a later one: clocks of file systems tick slowly.
const SETTLED: Duration = Duration::from_secs(2);

/// How much of a file is compared at once with what is known.
const COMPARED_BYTES: usize = 64 * 1024;

/// The index with the last state of it that was read.
#[derive(Debug)]
pub(super) struct IndexFile {
    path: PathBuf,
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// Whether a file with this stamp is sure to have this content.
    is_settled: bool,
    index: Arc<Index>,
}

/// What tells one state of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

impl IndexFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, known: Mutex::default() }
    }

    /// Returns the index and the stamp of the file; an empty one without a file where there need not be one.
    pub(super) fn read(&self, paths: &Paths, may_be_absent: bool) -> Result<(Arc<Index>, Option<Stamp>)> {
        let fail = |error| failure(OPERATION, paths, &self.path, error);
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => Stamp::of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_absent => {
                return Ok((Arc::new(Index::empty()), None));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::Invalid, OPERATION, paths)
                    .because("its `index.json` is missing")
                    .caused_by(error));
            }
            Err(error) => return Err(fail(error)),
        };
        // It is held while the file is read: those who ask meanwhile wait for the same answer instead of reading it, too.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.is_settled && known.stamp == stamp) {
            return Ok((Arc::clone(&known.index), Some(stamp)));
        }
        let (mut file, stamp, is_settled) = self.open().map_err(fail)?;
        let index = match known.take().map(|known| known.index) {
            Some(index) if holds(&mut file, index.text()).map_err(fail)? => index,
            // What was known is let go before the new one is read: both would need twice the memory.
            other => {
                let memory = other.map(Index::memory).unwrap_or_default();
                file.rewind().map_err(fail)?;
                Arc::new(self.parse(paths, file, memory)?)
            }
        };
        *known = Some(Known { stamp, is_settled, index: Arc::clone(&index) });
        Ok((index, Some(stamp)))
    }

    /// Returns the stamp of the file as it is now.
    pub(super) fn stamp(&self) -> io::Result<Stamp> {
        fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata))
    }

    /// Opens the file; returns its stamp, and whether it is settled.
    fn open(&self) -> io::Result<(File, Stamp, bool)> {
        let file = File::open(&self.path)?;
        let stamp = Stamp::of(&file.metadata()?);
        let age = stamp.modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        Ok((file, stamp, age.is_some_and(|age| age > SETTLED)))
    }

    fn parse(&self, paths: &Paths, file: File, mut bytes: Vec<u8>) -> Result<Index> {
        let fail = |error| failure(OPERATION, paths, &self.path, error);
        let expected = file.metadata().map_err(fail)?.len().min(INDEX_LIMIT).saturating_add(1);
        bytes.reserve_exact(usize::try_from(expected).unwrap_or_default());
        file.take(INDEX_LIMIT.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
        let invalid = |reason: String| Error::new(ErrorKind::Invalid, OPERATION, paths).because(reason);
        if bytes.len() as u64 > INDEX_LIMIT {
            return Err(invalid(format!("its `index.json` has more than {INDEX_LIMIT} bytes")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| invalid("its `index.json` is not UTF-8".to_owned()).caused_by(error))?;
        Index::parse(text).map_err(|error| {
            invalid("its `index.json` cannot be read as an image index".to_owned()).caused_by(error)
        })
    }
}

/// Tells whether the file holds this text and nothing else.
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
