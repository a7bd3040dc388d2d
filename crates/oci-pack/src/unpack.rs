//! Unpacking an archive into a directory. No entry leaves the directory, and no partial file has a final name.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use safe_files::{Directory, NodeKind, is_below, parent};

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

/// Unpacks an archive into the directory at a path, which corresponds to the layer's title. It is created if it does
/// not exist. Otherwise like [`unpack_below`].
///
/// # Errors
///
/// As [`unpack_below`].
pub fn unpack_into<R: Read + Send>(
    directory: &Path,
    reader: R,
    options: &UnpackOptions,
    observer: &mut dyn UnpackObserver,
) -> Result<UnpackReport, UnpackError> {
    fs::create_dir_all(directory).map_err(failed("create the directory", directory))?;
    let directory = Directory::open(directory).map_err(failed("open the directory", directory))?;
    unpack_below(&directory, reader, options, observer)
}

/// Unpacks an archive into an open directory, which corresponds to the layer's title.
///
/// Each file is written under a temporary name in its final directory, and renamed when it is complete and the
/// observer has agreed. Every directory is reached through its descriptor: no write follows a link, even if another
/// process swaps a directory for a link meanwhile. Symbolic links are created last. After an error, complete files
/// stay, and no partial file has a final name. Modes are 0777 and 0666 less the umask, as for other new files.
///
/// # Errors
///
/// If the archive is refused, the file system fails, an existing file is in the way, or the observer refuses a
/// file.
pub fn unpack_below<R: Read + Send>(
    directory: &Directory,
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
        let file = self.target.root.open_file(target).map_err(failed("open", &from))?;
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
struct UnpackTarget {
    root: Rc<Directory>,
    overwrite: bool,
    /// The directory that was opened last, and its path below the root.
    current: (String, Rc<Directory>),
}

/// A file without its final name. It is removed if it does not get one.
struct TemporaryFile {
    file: File,
    directory: Rc<Directory>,
    temporary: String,
    name: String,
    overwrite: bool,
    renamed: bool,
}

impl UnpackTarget {
    fn new(root: &Directory, overwrite: bool) -> Result<Self, UnpackError> {
        let root = Rc::new(root.try_clone().map_err(failed("open the directory", root.path()))?);
        Ok(Self { current: (String::new(), Rc::clone(&root)), root, overwrite })
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    /// Opens a directory, and creates it and those above it. A link in the place of one is an error, wherever it leads.
    fn directory(&mut self, relative: &str) -> Result<Rc<Directory>, UnpackError> {
        if relative == self.current.0 {
            return Ok(Rc::clone(&self.current.1));
        }
        let (mut directory, rest) = if !self.current.0.is_empty() && is_below(relative, &self.current.0) {
            (Rc::clone(&self.current.1), relative.get(self.current.0.len() + 1..).unwrap_or_default())
        } else {
            (Rc::clone(&self.root), relative)
        };
        for name in rest.split('/').filter(|name| !name.is_empty()) {
            directory = Rc::new(directory.enter(name).map_err(|error| {
                let path = directory.path().join(name);
                match error.kind() {
                    io::ErrorKind::NotADirectory => UnpackError::NotADirectory { path },
                    _ => failed("create the directory", &path)(error),
                }
            })?);
        }
        self.current = (relative.to_owned(), Rc::clone(&directory));
        Ok(directory)
    }

    /// Begins a file in its final directory.
    fn file(&mut self, relative: &str) -> Result<TemporaryFile, UnpackError> {
        let (directory, name) = self.place(relative)?;
        let (file, temporary) = with_temporary_name(|name| directory.create_file(name))
            .map_err(failed("create a file beside", &directory.path().join(&name)))?;
        let overwrite = self.overwrite;
        Ok(TemporaryFile { file, directory, temporary, name, overwrite, renamed: false })
    }

    /// Creates a symbolic link.
    fn symbolic_link(&mut self, relative: &str, target: &str) -> Result<(), UnpackError> {
        let (directory, name) = self.place(relative)?;
        let ((), temporary) = with_temporary_name(|name| directory.create_link(target, name))
            .map_err(failed("create a link beside", &directory.path().join(&name)))?;
        rename(&directory, &temporary, &name, self.overwrite).inspect_err(|_| remove(&directory, &temporary))
    }

    /// Opens the directory of a file or link, and returns its name there.
    fn place(&mut self, relative: &str) -> Result<(Rc<Directory>, String), UnpackError> {
        let above = parent(relative);
        let directory = self.directory(above)?;
        let name = relative.get(above.len()..).unwrap_or_default().trim_start_matches('/');
        Ok((directory, name.to_owned()))
    }
}

impl TemporaryFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        self.file.write_all(bytes).map_err(|error| {
            let path = self.directory.path().join(&self.name);
            failed("write", &path)(error)
        })
    }

    /// Renames the file to its final name.
    fn rename(mut self) -> Result<(), UnpackError> {
        rename(&self.directory, &self.temporary, &self.name, self.overwrite)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.renamed {
            remove(&self.directory, &self.temporary);
        }
    }
}

/// Returns a function that makes an error of the file system an unpacking error.
fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    move |source| UnpackError::Io { operation, path: path.to_owned(), source }
}

/// Gives a file or link its final name. It replaces a file or link only if `overwrite` is set, and never a directory.
fn rename(directory: &Directory, from: &str, to: &str, overwrite: bool) -> Result<(), UnpackError> {
    let renamed = if !overwrite {
        directory.rename_new(from, directory, to)
    } else if directory.kind(to).is_ok_and(|kind| kind == Some(NodeKind::Directory)) {
        Err(io::ErrorKind::AlreadyExists.into())
    } else {
        directory.rename(from, directory, to)
    };
    renamed.map_err(|error| {
        let path = directory.path().join(to);
        match error.kind() {
            io::ErrorKind::AlreadyExists => UnpackError::Exists { path },
            _ => failed("rename a file to", &path)(error),
        }
    })
}

fn remove(directory: &Directory, name: &str) {
    // The unpacking has already failed with a reason.
    let _ = directory.remove_file(name);
}

/// Creates a file or link under a temporary name.
fn with_temporary_name<T>(create: impl Fn(&str) -> io::Result<T>) -> io::Result<(T, String)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let process = std::process::id();
    for _ in 0..MOST_NAMES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY_PREFIX}{process}-{number}");
        match create(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|created| (created, name)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files are left there"))
}
