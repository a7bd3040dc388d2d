//! The file system side of unpacking: directories, files that get their name when they are complete, and links.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::unpack::{TEMPORARY_PREFIX, UnpackError};

/// Most names that are tried for a temporary file: leftovers of killed processes may have some.
const MOST_NAMES: usize = 1000;

/// A directory that is written into.
pub(crate) struct UnpackTarget {
    root: PathBuf,
    overwrite: bool,
    /// Directories that are known to be there and to be no links.
    known: HashSet<String>,
}

/// A file that has no final name yet; it is removed if it does not get one.
pub(crate) struct TemporaryFile {
    file: File,
    path: PathBuf,
    destination: PathBuf,
    overwrite: bool,
    renamed: bool,
}

impl UnpackTarget {
    /// Opens or makes the directory.
    pub(crate) fn new(root: &Path, overwrite: bool) -> Result<Self, UnpackError> {
        fs::create_dir_all(root).map_err(failed("create the directory", root))?;
        Ok(Self { root: root.to_owned(), overwrite, known: HashSet::new() })
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Makes a directory and those above it; a link in their place is an error, wherever it leads.
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

    /// Begins a file, in the directory where it is to be.
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

    /// Makes a symbolic link.
    pub(crate) fn symbolic_link(&mut self, relative: &str, target: &str) -> Result<(), UnpackError> {
        let destination = self.place(relative)?;
        let ((), path) = with_temporary_name(&destination, |path| make_link(target, path))
            .map_err(failed("create a link beside", &destination))?;
        rename(&path, &destination, self.overwrite).inspect_err(|_| remove(&path))
    }

    /// Makes the directories above a file or link, and checks that its place is free.
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

    /// Gives the file its name.
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

/// Returns what makes an error of the file system one of unpacking.
pub(crate) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    move |source| UnpackError::Io { operation, path: path.to_owned(), source }
}

fn make_directory(path: &Path) -> Result<(), UnpackError> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    match builder.create(path) {
        // Another layer may be unpacked into the same place at the same time.
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
    // The unpacking has failed already, and says why.
    let _ = fs::remove_file(path);
}

/// Creates something under a temporary name in the directory of `destination`.
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
    Err(io::Error::new(io::ErrorKind::Unsupported, "symbolic links are made on Unix alone"))
}
