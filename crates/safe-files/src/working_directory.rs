//! Directories for temporary files, and the removal of those that a killed process left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::directory::random_name;

/// How many names are tried.
const MOST_ATTEMPTS: u32 = 10;

/// The number of random characters in a name.
const RANDOM_CHARACTERS: usize = 16;

/// A private directory with a random name, which is removed with the value.
///
/// It is locked while the value lives, and the operating system releases the lock when the process ends. So the next directory with the
/// same prefix in the same place removes those that a killed process left.
///
/// ```
/// use safe_files::WorkingDirectory;
///
/// let place = tempfile::tempdir()?;
/// let work = WorkingDirectory::create(place.path(), ".export-")?;
/// std::fs::write(work.path().join("a.csv"), "15,7.2\n")?;
/// drop(work);
/// assert_eq!(std::fs::read_dir(place.path())?.count(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct WorkingDirectory {
    path: PathBuf,
    _lock: File,
}

impl WorkingDirectory {
    /// Creates a directory whose name begins with `prefix`. First removes the directories with this prefix that belong to this user and
    /// that no process uses.
    ///
    /// # Errors
    ///
    /// As the operating system. A failure to remove an old directory is not an error.
    pub fn create(place: &Path, prefix: &str) -> io::Result<Self> {
        for _ in 0..MOST_ATTEMPTS {
            let path = place.join(random_name(prefix));
            match private(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            if let Some(lock) = claim(&path)? {
                remove_leftovers(place, prefix, &lock);
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "found no unused name"))
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkingDirectory {
    fn drop(&mut self) {
        // Best effort: the next run tries again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Locks a new directory, so that nobody takes it for a leftover. Returns `None` if another process did.
pub(crate) fn claim(path: &Path) -> io::Result<Option<File>> {
    let lock = match File::open(path) {
        // Another process removed it before it was locked.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // Some network file systems have no locks. Nothing is removed there.
    let is_taken = matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock));
    Ok((!is_taken && is_same(path, &lock)).then_some(lock))
}

#[cfg(unix)]
fn private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Removes the directories with the prefix that belong to the owner of `own` and that no process uses.
pub(crate) fn remove_leftovers(place: &Path, prefix: &str, own: &File) {
    let (Ok(entries), Ok(own)) = (fs::read_dir(place), own.metadata()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(prefix)).unwrap_or_default();
        let is_random =
            random.len() == RANDOM_CHARACTERS && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_random || !entry.metadata().is_ok_and(|found| found.is_dir() && has_owner_of(&found, &own)) {
            continue;
        }
        let path = entry.path();
        let Ok(lock) = File::open(&path) else { continue };
        // Holds the lock until the directory is gone. Whoever has just created it then takes another name.
        if lock.try_lock().is_ok() && is_same(&path, &lock) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(unix)]
fn has_owner_of(found: &fs::Metadata, own: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    found.uid() == own.uid()
}

#[cfg(not(unix))]
fn has_owner_of(_found: &fs::Metadata, _own: &fs::Metadata) -> bool {
    true
}

/// Tells whether the path still names the open directory. A link in its place is another directory.
#[cfg(unix)]
fn is_same(path: &Path, open: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let pair = fs::symlink_metadata(path).and_then(|there| Ok((there, open.metadata()?)));
    pair.is_ok_and(|(there, open)| (there.dev(), there.ino()) == (open.dev(), open.ino()))
}

#[cfg(not(unix))]
fn is_same(path: &Path, _open: &File) -> bool {
    path.is_dir()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn names(place: &Path) -> Vec<String> {
        let names =
            fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn leftovers_of_dead_processes_are_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "kept").unwrap();
        let alive = WorkingDirectory::create(place.path(), ".work-").unwrap();
        let left = place.path().join(".work-0123456789abcdef");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("half"), "half").unwrap();
        // Nobody's leftovers: another form of name, a file, and a link to a directory.
        fs::create_dir(place.path().join(".work-of-somebody")).unwrap();
        fs::write(place.path().join(".work-0123456789abcde0"), "file").unwrap();
        std::os::unix::fs::symlink(outside.path(), place.path().join(".work-0123456789abcde1")).unwrap();
        let second = WorkingDirectory::create(place.path(), ".work-").unwrap();
        assert!(!left.exists());
        assert!(alive.path().exists() && second.path().exists() && outside.path().join("kept").exists());
        drop((alive, second));
        assert_eq!(
            names(place.path()),
            [".work-0123456789abcde0", ".work-0123456789abcde1", ".work-of-somebody"]
        );
    }
}
