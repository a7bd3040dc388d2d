//! The state of a file, to notice that it changed.

use std::fs::{File, Metadata};
use std::io;

/// A state of a file. Two equal states mean that nobody changed or replaced the file in between.
///
/// On Unix it consists of size, device, inode, and the times of the last change of content and of metadata. On other systems it
/// consists of size and time.
///
/// ```
/// use safe_files::{Directory, FileState};
///
/// let work = tempfile::tempdir()?;
/// std::fs::write(work.path().join("a.csv"), "15,7.2\n")?;
/// let directory = Directory::open(work.path())?;
/// let before = FileState::of(&directory.open_file("a.csv")?)?;
/// std::fs::write(work.path().join("a.csv"), "15,7.2\n25,6.9\n")?;
/// assert_ne!(directory.state("a.csv")?, before);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    size: u64,
    #[cfg(unix)]
    node: (u64, u64),
    #[cfg(unix)]
    times: [(i64, i64); 2],
    #[cfg(not(unix))]
    modified: Option<std::time::SystemTime>,
}

impl FileState {
    /// Returns the state of an open file.
    ///
    /// # Errors
    /// As the operating system.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::of_metadata(&file.metadata()?))
    }

    /// Returns the state of a file from its metadata.
    #[cfg(unix)]
    #[must_use]
    pub fn of_metadata(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            size: metadata.len(),
            node: (metadata.dev(), metadata.ino()),
            times: [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())],
        }
    }

    /// Returns the state of a file from its metadata.
    #[cfg(not(unix))]
    #[must_use]
    pub fn of_metadata(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok() }
    }

    /// Returns the state as bytes, for comparison with the state in a later run.
    #[cfg(unix)]
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let [modified, changed] = self.times;
        let unsigned = [self.size, self.node.0, self.node.1].map(u64::to_be_bytes);
        let signed = [modified.0, modified.1, changed.0, changed.1].map(i64::to_be_bytes);
        [unsigned.concat(), signed.concat()].concat()
    }

    /// Returns the time of the last change of content or metadata in seconds since 1970, by the clock of the file system.
    #[cfg(unix)]
    #[must_use]
    pub fn last_change(&self) -> i64 {
        let [modified, changed] = self.times;
        modified.0.max(changed.0)
    }

    /// Returns the size of the file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    #[cfg(unix)]
    pub(crate) fn of_entry(metadata: &cap_std::fs::Metadata) -> Self {
        use cap_std::fs::MetadataExt;
        Self {
            size: metadata.len(),
            node: (metadata.dev(), metadata.ino()),
            times: [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())],
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn of_entry(metadata: &cap_std::fs::Metadata) -> Self {
        let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
        Self { size: metadata.len(), modified }
    }
}
