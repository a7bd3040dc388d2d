//! The paths of a layout, temporary files, and errors of the file system.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci_model::Digest;
use registry_backend::{Error, ErrorKind, Result};
use safe_files::Directory;
use tokio::task::JoinHandle;

use crate::storage::{INDEX_FILE, LAYOUT_FILE};

/// The paths of one layout.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    root: Arc<Path>,
}

impl Paths {
    /// The name of the file that writers lock.
    pub(super) const LOCK: &str = ".index.lock";

    pub(super) fn new(root: PathBuf) -> Self {
        Self { root: root.into() }
    }

    /// The directory of the layout.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn layout_file(&self) -> PathBuf {
        self.root.join(LAYOUT_FILE)
    }

    pub(super) fn index(&self) -> PathBuf {
        self.root.join(INDEX_FILE)
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// The path of a blob. The grammar of digests excludes separators and `..` (image-spec descriptor.md).
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.algorithm_name()).join(digest.encoded())
    }

    /// The directory of temporary files.
    pub(super) fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join(Self::LOCK)
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "oci:{}", self.root.display())
    }
}

/// Returns the error of an operation that failed at a file.
///
/// The kind is [`Io`](ErrorKind::Io) for every cause, permissions included: the user fixes all of them on this machine.
pub(super) fn failure(
    operation: &'static str,
    target: impl fmt::Display,
    path: &Path,
    error: io::Error,
) -> Error {
    Error::io(operation, target, error).because(format!("the file system refused `{}`", path.display()))
}

/// Runs the work on a thread for blocking work.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    joined(operation, tokio::task::spawn_blocking(work)).await
}

/// Waits for work that was started.
pub(super) async fn joined<T>(operation: &'static str, handle: JoinHandle<Result<T>>) -> Result<T> {
    match handle.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::new(ErrorKind::Io, operation, "the layout")
                .because("the program is shutting down")
                .caused_by(error)),
        },
    }
}

/// A file in `ingest/` that gets its final name or disappears. It is locked as long as its writer lives.
pub(super) struct TemporaryFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl TemporaryFile {
    /// The ending of the names of our temporary files.
    pub(super) const SUFFIX: &str = ".partial";

    /// How many names are tried.
    const ATTEMPTS: usize = 100;

    /// The size of the buffer in bytes; larger pieces bypass it.
    const BUFFER_BYTES: usize = 64 * 1024;

    /// Creates a new file with a name that begins with `stem`.
    pub(super) fn create(paths: &Paths, stem: &str) -> io::Result<Self> {
        Self::with_name(paths, stem, |path| {
            OpenOptions::new().read(true).write(true).create_new(true).open(path)
        })
    }

    /// Takes over the longest file that a dead writer has left under `stem` and that has fewer than `most` bytes.
    pub(super) fn left(paths: &Paths, stem: &str, most: u64) -> Option<Self> {
        let is_of_stem = |name: &str| {
            let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| rest.ends_with(Self::SUFFIX))
        };
        let entries = fs::read_dir(paths.ingest()).ok()?.flatten();
        let left = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_of_stem));
        // The metadata are those of a link itself, which is never followed.
        let files = left.filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            (1..most).contains(&metadata.len()).then(|| (metadata.len(), entry.path()))
        });
        let mut files: Vec<_> = files.take(Self::ATTEMPTS).collect();
        files.sort_unstable();
        files.into_iter().rev().find_map(|(_, path)| {
            let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
            let is_own = file.try_lock().is_ok() && is_at(&file, &path).unwrap_or_default();
            is_own.then(|| Self { path, file: BufWriter::with_capacity(Self::BUFFER_BYTES, file) })
        })
    }

    /// Reads the content from the current place to the end, where writing goes on.
    pub(super) fn read_rest(&mut self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut piece = vec![0; 256 * 1024];
        loop {
            let count = self.file.get_ref().read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            each(piece.get(..count).unwrap_or_default())?;
        }
    }

    /// Keeps the file for a writer that goes on later.
    pub(super) fn leave(mut self) {
        // A file that is not complete is only shorter than it could be.
        let _ = self.file.flush();
        self.path = PathBuf::new();
    }

    /// Gives a file without a name one that begins with `stem`.
    pub(super) fn naming(paths: &Paths, stem: &str, file: &File) -> io::Result<Self> {
        Self::with_name(paths, stem, |path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            Directory::open(&paths.ingest())?.name_file(file, name)?;
            file.try_clone()
        })
    }

    fn with_name(paths: &Paths, stem: &str, make: impl Fn(&Path) -> io::Result<File>) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ingest = paths.ingest();
        for _ in 0..Self::ATTEMPTS {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = ingest.join(format!("{stem}.{}-{number}{}", std::process::id(), Self::SUFFIX));
            let file = match make(&path) {
                // Process numbers repeat: the name may belong to a dead writer.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !ingest.is_dir() => {
                    fs::create_dir_all(&ingest)?;
                    continue;
                }
                file => file?,
            };
            // Cleaning up removes files that it can lock. Another name is tried if it was faster than this lock.
            let is_taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            if !is_taken && is_at(&file, &path)? {
                return Ok(Self { path, file: BufWriter::with_capacity(Self::BUFFER_BYTES, file) });
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "found no unused name"))
    }

    /// Returns the temporary path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Syncs the content and renames the file, which replaces an existing file in the same step.
    pub(super) fn persist(mut self, to: &Path) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        match fs::rename(&self.path, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::rename(&self.path, to)?;
            }
            renamed => renamed?,
        }
        // Nothing is left for `drop` to remove.
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // Pruning removes a file that cannot be removed now.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes a file in one step.
pub(super) fn write_file<'a>(
    paths: &Paths,
    path: &Path,
    content: impl IntoIterator<Item = &'a str>,
) -> io::Result<()> {
    let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut file = TemporaryFile::create(paths, stem)?;
    for piece in content {
        file.write(piece.as_bytes())?;
    }
    file.persist(path)
}

/// Tells whether the file still has this name: cleaning up, or a writer that gave the file its final name, may have been faster than
/// the lock.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of the other systems")]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}
