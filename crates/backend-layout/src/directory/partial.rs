//! A file that gathers under a temporary name, and gets its final name or vanishes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::paths::Paths;

/// What the names of our files end in.
pub(super) const SUFFIX: &str = ".partial";

/// How often a name is tried before giving up.
const ATTEMPTS: usize = 100;

/// What is gathered before it is written; larger pieces are written as they are.
const BUFFER_BYTES: usize = 64 * 1024;

/// A file in `ingest/`; it is locked as long as its writer lives, and removed when it is dropped.
pub(super) struct PartialFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl PartialFile {
    /// Makes a new file with a name that begins with `stem`.
    pub(super) fn create(paths: &Paths, stem: &str) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ingest = paths.ingest();
        for _ in 0..ATTEMPTS {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = ingest.join(format!("{stem}.{}-{number}{SUFFIX}", std::process::id()));
            let file = match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                // Process numbers come round: the name may be that of a dead writer.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&ingest)?;
                    continue;
                }
                file => file?,
            };
            // Clearing up locks what it removes. Where locks do not work, it goes by age alone.
            let _ = file.try_lock();
            if is_linked(&file)? {
                return Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, file) });
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no unused name was found"))
    }

    /// Returns the temporary path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Syncs the content and gives the file its final name; what had the name before is replaced in the same step.
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
        // Nothing is left to remove.
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed now is removed by pruning.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Tells whether the file still has a name: clearing up may have been faster than the lock.
#[cfg(unix)]
fn is_linked(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink() > 0)
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of the other systems")]
fn is_linked(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Syncs a directory, so that the names in it last.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Other systems have no such thing.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of the other systems")]
pub(super) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
