//! Unpacking an archive into a directory so that nothing leaves it and nothing half-done is seen.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::{ArchiveError, ArchiveSummary, ArchiveWarning, ReadOptions, VisitError};

/// How the names of files that are being written begin; a process that was killed may leave such files behind.
pub const TEMPORARY_PREFIX: &str = ".d1oci-unpack-";

/// How to unpack an archive.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// How to read it.
    pub read: ReadOptions,
    /// Whether files and links that are there already are replaced; else they stop the unpacking.
    pub overwrite: bool,
    /// Whether symbolic links are made; else they stop the unpacking.
    pub symbolic_links: bool,
}

/// Watches an archive being unpacked, chooses what is written, and judges each file before it gets its name.
pub trait UnpackObserver {
    /// Tells whether to write this file, directory or link; the parent directories of what is written are made anyway.
    fn wants(&mut self, path: &str) -> bool;

    /// Learns that a file of `size` bytes begins.
    ///
    /// # Errors
    ///
    /// Any error stops the unpacking.
    fn begin(&mut self, path: &str, size: u64) -> Result<(), VisitError>;

    /// Takes the next bytes of the file that began last.
    fn bytes(&mut self, bytes: &[u8]);

    /// Judges the file that began last.
    ///
    /// # Errors
    ///
    /// An error removes the file and stops the unpacking.
    fn end(&mut self, path: &str) -> Result<(), VisitError>;

    /// Learns of something odd.
    ///
    /// # Errors
    ///
    /// Any error stops the unpacking.
    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError>;
}

/// What was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpackReport {
    /// What was read.
    pub archive: ArchiveSummary,
    /// Number of files written, hard links included.
    pub files: u64,
    /// Number of bytes written.
    pub bytes: u64,
    /// Number of symbolic links made.
    pub symbolic_links: u64,
}

/// An archive that could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The archive is damaged, refused, or cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file system refused.
    #[error("cannot {operation} `{path}`")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something is there already.
    #[error("`{path}` is there already")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// A link or file stands where a directory is needed.
    #[error("`{path}` is not a directory, so nothing is written through it")]
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// A link is refused.
    #[error("archive entry `{path}`: {reason}")]
    Link {
        /// Path of the link in the archive.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The observer refused a file.
    #[error("`{path}` was refused")]
    Refused {
        /// Path of the file in the archive.
        path: String,
        /// Why.
        source: VisitError,
    },
}

impl UnpackOptions {
    /// Returns the defaults for a layer with this title: nothing is replaced, links are made.
    pub fn new(title: impl Into<String>) -> Self {
        Self { read: ReadOptions::new(title), overwrite: false, symbolic_links: true }
    }
}

/// Unpacks an archive into `directory`, which stands for the layer's title and is made if it is not there.
///
/// Files are written under a temporary name beside their place and renamed when they are complete and the observer
/// has agreed. Nothing is written through a link. Symbolic links are made last. After an error, files that are
/// complete stay, and nothing partial has a final name. Modes are 0755 and 0644 less the umask.
///
/// # Errors
///
/// If the archive is refused, the file system fails, something is in the way, or the observer refuses a file.
pub fn unpack_into<R: Read + Send>(
    directory: &Path,
    reader: R,
    options: &UnpackOptions,
    observer: &mut dyn UnpackObserver,
) -> Result<UnpackReport, UnpackError> {
    let _ = (reader, options, observer);
    todo!("{directory:?}")
}
