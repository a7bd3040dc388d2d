//! Unpacking an archive into a directory. No entry leaves the directory, and no partial file has a final name.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{ArchiveError, ArchiveErrorKind};
use crate::read::{
    ArchiveSummary, ArchiveVisitor, ArchiveWarning, EntryContent, ReadOptions, VisitError, read_archive,
};

/// Size of one read while the target of a hard link is copied.
const COPY_LENGTH: usize = 256 << 10;

/// Prefix of the names of unfinished files. A killed process may leave such files.
pub const TEMPORARY_PREFIX: &str = ".d1oci-unpack-";

/// Options for unpacking an archive.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// Options for reading it.
    pub read: ReadOptions,
    /// Whether to replace existing files and links. Otherwise they stop the unpacking.
    pub overwrite: bool,
    /// Whether to create symbolic links. Otherwise they stop the unpacking.
    pub symbolic_links: bool,
}

/// Watches an archive being unpacked, selects entries, and judges each file before it gets its name.
pub trait UnpackObserver {
    /// Returns whether to write this file, directory or link. The answer for one path is always the same.
    /// Directories above a written entry are created anyway.
    fn wants(&mut self, path: &str) -> bool;

    /// Receives the start of a file of `size` bytes.
    ///
    /// # Errors
    ///
    /// Any error stops the unpacking.
    fn begin(&mut self, path: &str, size: u64) -> Result<(), VisitError>;

    /// Receives the next bytes of the current file.
    fn bytes(&mut self, bytes: &[u8]);

    /// Judges the current file at its end.
    ///
    /// # Errors
    ///
    /// An error removes the file and stops the unpacking.
    fn end(&mut self, path: &str) -> Result<(), VisitError>;

    /// Receives a warning.
    ///
    /// # Errors
    ///
    /// Any error stops the unpacking.
    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError>;
}

/// A summary of the unpacking.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackReport {
    /// The summary of the archive.
    pub archive: ArchiveSummary,
    /// Number of files written, including hard links.
    pub files: u64,
    /// Number of bytes written.
    pub bytes: u64,
    /// Number of symbolic links created.
    pub symbolic_links: u64,
}

/// An archive that could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The archive is damaged, was refused, or cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file system refused.
    #[error("cannot {operation} `{path}`")]
    Io {
        /// The operation.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The path already exists.
    #[error("`{path}` already exists")]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// A link or file has the path of a needed directory.
    #[error("`{path}` is not a directory, so nothing is written through it")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// A link was refused.
    #[error("archive entry `{path}`: {reason}")]
    Link {
        /// Path of the link in the archive.
        path: String,
        /// The reason.
        reason: &'static str,
    },
    /// The observer refused a file.
    #[error("`{path}` was refused")]
    Refused {
        /// Path of the file in the archive.
        path: String,
        /// The cause.
        source: VisitError,
    },
}

impl UnpackOptions {
    /// Returns the defaults for a layer with this title: replace nothing, create links.
    pub fn new(title: impl Into<String>) -> Self {
        Self { read: ReadOptions::new(title), overwrite: false, symbolic_links: true }
    }
}

/// Unpacks an archive into `directory`, which corresponds to the layer's title. It is created if it does not
/// exist.
///
/// Each file is written under a temporary name in its final directory, and renamed when it is complete and the
/// observer has agreed. No write follows a link. Symbolic links are created last. After an error, complete files
/// stay, and no partial file has a final name. Modes are 0755 and 0644 less the umask.
///
/// # Errors
///
/// If the archive is refused, the file system fails, an existing file is in the way, or the observer refuses a
/// file.
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

/// Writes the entries of an archive.
struct Unpacking<'a> {
    target: UnpackTarget,
    options: &'a UnpackOptions,
    observer: &'a mut dyn UnpackObserver,
    /// Path and target of the links to create.
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

    fn hard_link(&mut self, path: &str, target: &str, _size: u64) -> Result<(), VisitError> {
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

/// The most temporary names to try. Leftovers of killed processes may have some of them.
const MOST_NAMES: usize = 1000;

/// The directory into which an archive is unpacked.
pub(crate) struct UnpackTarget {
    root: PathBuf,
    overwrite: bool,
    /// Directories that are known to exist and not to be links.
    known: HashSet<String>,
}

/// A file without its final name. It is removed if it does not get one.
pub(crate) struct TemporaryFile {
    file: File,
    path: PathBuf,
    destination: PathBuf,
    overwrite: bool,
    renamed: bool,
}

impl UnpackTarget {
    /// Opens or creates the directory.
    pub(crate) fn new(root: &Path, overwrite: bool) -> Result<Self, UnpackError> {
        fs::create_dir_all(root).map_err(failed("create the directory", root))?;
        Ok(Self { root: root.to_owned(), overwrite, known: HashSet::new() })
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Creates a directory and those above it. A link in the place of one is an error, wherever it leads.
    pub(crate) fn directory(&mut self, relative: &str) -> Result<(), UnpackError> {
        if relative.is_empty() || self.known.contains(relative) {
            return Ok(());
        }
        let ends = relative.match_indices('/').map(|(slash, _)| slash).chain([relative.len()]);
        for directory in ends.filter_map(|end| relative.get(..end)) {
            if self.known.contains(directory) {
                continue;
            }
            let path = self.path(directory);
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(UnpackError::NotADirectory { path }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => make_directory(&path)?,
                Err(error) => return Err(failed("look at", &path)(error)),
            }
            self.known.insert(directory.to_owned());
        }
        Ok(())
    }

    /// Begins a file in its final directory.
    pub(crate) fn file(&mut self, relative: &str) -> Result<TemporaryFile, UnpackError> {
        let destination = self.place(relative)?;
        let (file, path) = with_temporary_name(&destination, |path| {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
            options.open(path)
        })
        .map_err(failed("create a file beside", &destination))?;
        Ok(TemporaryFile { file, path, destination, overwrite: self.overwrite, renamed: false })
    }

    /// Creates a symbolic link.
    pub(crate) fn symbolic_link(&mut self, relative: &str, target: &str) -> Result<(), UnpackError> {
        let destination = self.place(relative)?;
        let ((), path) = with_temporary_name(&destination, |path| make_link(target, path))
            .map_err(failed("create a link beside", &destination))?;
        rename(&path, &destination, self.overwrite).inspect_err(|_| remove(&path))
    }

    /// Creates the directories above a file or link, and checks that its place is free.
    fn place(&mut self, relative: &str) -> Result<PathBuf, UnpackError> {
        if let Some((parent, _)) = relative.rsplit_once('/') {
            self.directory(parent)?;
        }
        let destination = self.path(relative);
        check_free(&destination, self.overwrite)?;
        Ok(destination)
    }
}

impl TemporaryFile {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        self.file.write_all(bytes).map_err(failed("write", &self.destination))
    }

    /// Renames the file to its final name.
    pub(crate) fn rename(mut self) -> Result<(), UnpackError> {
        rename(&self.path, &self.destination, self.overwrite)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.renamed {
            remove(&self.path);
        }
    }
}

/// Returns a function that makes an error of the file system an unpacking error.
pub(crate) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    move |source| UnpackError::Io { operation, path: path.to_owned(), source }
}

fn make_directory(path: &Path) -> Result<(), UnpackError> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    match builder.create(path) {
        // A parallel unpacking of another layer may create the same directory.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            _ => Err(UnpackError::NotADirectory { path: path.to_owned() }),
        },
        result => result.map_err(failed("create the directory", path)),
    }
}

fn check_free(destination: &Path, overwrite: bool) -> Result<(), UnpackError> {
    match fs::symlink_metadata(destination) {
        Ok(found) if overwrite && !found.is_dir() => Ok(()),
        Ok(_) => Err(UnpackError::Exists { path: destination.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", destination)(error)),
    }
}

fn rename(from: &Path, destination: &Path, overwrite: bool) -> Result<(), UnpackError> {
    check_free(destination, overwrite)?;
    fs::rename(from, destination).map_err(failed("rename a file to", destination))
}

fn remove(path: &Path) {
    // The unpacking has already failed with a reason.
    let _ = fs::remove_file(path);
}

/// Creates a file or link under a temporary name in the directory of `destination`.
fn with_temporary_name<T>(
    destination: &Path,
    create: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let process = std::process::id();
    for _ in 0..MOST_NAMES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = destination.with_file_name(format!("{TEMPORARY_PREFIX}{process}-{number}"));
        match create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|created| (created, path)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files are left there"))
}

#[cfg(unix)]
fn make_link(target: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn make_link(_: &str, _: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "symbolic links are supported on Unix only"))
}
