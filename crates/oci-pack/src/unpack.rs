//! Unpacking an archive into a directory so that nothing leaves it and nothing half-done is seen.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::unpack_target::{UnpackTarget, failed};
use crate::{
    ArchiveError, ArchiveErrorKind, ArchiveSummary, ArchiveVisitor, ArchiveWarning, EntryContent,
    ReadOptions, VisitError, read_archive,
};

/// Size of a read while the file behind a hard link is copied.
const COPY_LENGTH: usize = 256 << 10;

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
    /// Tells whether to write this file, directory or link, the same each time for one path; the directories above what is
    /// written are made anyway.
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
    let mut unpacking = Unpacking {
        target: UnpackTarget::new(directory, options.overwrite)?,
        options,
        observer,
        links: Vec::new(),
        files: 0,
        bytes: 0,
    };
    let archive = read_archive(reader, &options.read, &mut unpacking).map_err(UnpackError::from_reading)?;
    for (path, target) in &unpacking.links {
        unpacking.target.symbolic_link(path, target)?;
    }
    let Unpacking { files, bytes, links, .. } = unpacking;
    Ok(UnpackReport { archive, files, bytes, symbolic_links: links.len() as u64 })
}

/// Writes what an archive shows.
struct Unpacking<'a> {
    target: UnpackTarget,
    options: &'a UnpackOptions,
    observer: &'a mut dyn UnpackObserver,
    /// Path and target of the links to be made.
    links: Vec<(String, String)>,
    files: u64,
    bytes: u64,
}

impl Unpacking<'_> {
    fn write(&mut self, path: &str, size: u64, content: &mut dyn BufRead) -> Result<(), UnpackError> {
        let refused = |source| UnpackError::Refused { path: path.to_owned(), source };
        let mut file = self.target.file(path)?;
        self.observer.begin(path, size).map_err(refused)?;
        loop {
            let bytes = content.fill_buf().map_err(failed("read", Path::new(path)))?;
            let count = bytes.len();
            if count == 0 {
                break;
            }
            file.write(bytes)?;
            self.observer.bytes(bytes);
            content.consume(count);
        }
        self.observer.end(path).map_err(refused)?;
        file.rename()?;
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        Ok(())
    }

    fn copy(&mut self, path: &str, target: &str) -> Result<(), UnpackError> {
        if !self.observer.wants(target) {
            let reason = "it is a hard link to a file that was not selected";
            return Err(UnpackError::Link { path: path.to_owned(), reason });
        }
        let from = self.target.path(target);
        let file = File::open(&from).map_err(failed("open", &from))?;
        let size = file.metadata().map_err(failed("look at", &from))?.len();
        self.write(path, size, &mut BufReader::with_capacity(COPY_LENGTH, file))
    }
}

impl ArchiveVisitor for Unpacking<'_> {
    fn directory(&mut self, path: &str) -> Result<(), VisitError> {
        if self.observer.wants(path) {
            self.target.directory(path)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
        if self.observer.wants(path) {
            self.write(path, content.size(), content)?;
        }
        Ok(())
    }

    fn symbolic_link(&mut self, path: &str, target: &str) -> Result<(), VisitError> {
        if !self.observer.wants(path) {
            return Ok(());
        }
        if !self.options.symbolic_links {
            let reason = "symbolic links are not allowed here";
            return Err(UnpackError::Link { path: path.to_owned(), reason }.into());
        }
        self.links.push((path.to_owned(), target.to_owned()));
        Ok(())
    }

    fn hard_link(&mut self, path: &str, target: &str) -> Result<(), VisitError> {
        if self.observer.wants(path) {
            self.copy(path, target)?;
        }
        Ok(())
    }

    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError> {
        self.observer.warning(warning)
    }
}

impl UnpackError {
    /// Takes back the error with which the visitor stopped the reading.
    fn from_reading(error: ArchiveError) -> Self {
        if error.kind() != ArchiveErrorKind::Visitor {
            return Self::Archive(error);
        }
        let path = error.entry().unwrap_or_default().to_owned();
        match error.into_source().map(|source| source.downcast::<Self>()) {
            Some(Ok(error)) => *error,
            Some(Err(source)) => Self::Refused { path, source },
            None => Self::Refused { path, source: "the reading was stopped".into() },
        }
    }
}
