//! Where pulled files wait until all of them are there and right: a directory beside their final place.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use oci_model::Digest;

use crate::{Error, Result};

/// A directory in the output directory, named after the manifest: the next attempt to pull the same finds in it what an
/// interrupted one has left.
#[derive(Debug)]
pub(crate) struct Staging {
    output: PathBuf,
    root: PathBuf,
    /// Held while the pull runs; the system lets go of it however the process ends.
    _lock: File,
}

impl Staging {
    /// Opens the staging directory of a manifest in an output directory, both of which are made if need be.
    ///
    /// # Errors
    ///
    /// If another process pulls the same into the same directory, or the file system refuses.
    pub(crate) fn open(output: &Path, manifest: &Digest) -> Result<Self> {
        let root = output.join(format!(".d1oci-pull-{}", manifest.short()));
        for directory in [&root, &root.join("files"), &root.join("parts")] {
            fs::create_dir_all(directory).map_err(|error| Error::io("create", directory, error))?;
        }
        let lock_path = root.join("lock");
        let lock = File::create(&lock_path).map_err(|error| Error::io("create", &lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { directory: output.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &lock_path, error)),
        }
        let staging = Self { output: output.to_owned(), root, _lock: lock };
        remove_temporaries(&staging.files())?;
        Ok(staging)
    }

    /// Removes everything that an earlier attempt left.
    pub(crate) fn clear(&self) -> Result<()> {
        for directory in ["files", "parts"].map(|name| self.root.join(name)) {
            fs::remove_dir_all(&directory).map_err(|error| Error::io("remove", &directory, error))?;
            fs::create_dir(&directory).map_err(|error| Error::io("create", &directory, error))?;
        }
        Ok(())
    }

    /// Returns the directory that takes the place of the output directory until the end.
    pub(crate) fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Returns where a finished file stands; the path has been found safe.
    pub(crate) fn finished(&self, path: &str) -> PathBuf {
        self.files().join(path)
    }

    /// Returns where the bytes of a file gather. The name has a fixed length, whatever the file's own is.
    pub(crate) fn partial(&self, path: &str) -> PathBuf {
        self.root.join("parts").join(Digest::sha256_of(path.as_bytes()).encoded())
    }

    /// Gives the bytes that gathered for `path` their name among the finished files.
    pub(crate) fn finish(&self, path: &str, finished: &str) -> Result<()> {
        let (from, to) = (self.partial(path), self.finished(finished));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        }
        fs::rename(&from, &to).map_err(|error| Error::io("rename", &from, error))
    }

    /// Moves everything that is finished to its final place and removes the staging directory.
    ///
    /// Files that stand in the way are replaced if `overwrite` says so; callers have made sure that otherwise there are
    /// none. What is there besides stays.
    pub(crate) fn publish(&self, overwrite: bool) -> Result<()> {
        merge(&self.files(), &self.output, overwrite)?;
        fs::remove_dir_all(&self.root).map_err(|error| Error::io("remove", &self.root, error))
    }
}

/// Removes what an interrupted unpacking left half-written.
fn remove_temporaries(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).map_err(|error| Error::io("list", directory, error))? {
        let entry = entry.map_err(|error| Error::io("list", directory, error))?;
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
            remove_temporaries(&path)?;
        } else if entry.file_name().to_string_lossy().starts_with(oci_pack::TEMPORARY_PREFIX) {
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
    }
    Ok(())
}

/// Moves the content of one directory into another: whole trees where nothing stands in the way.
fn merge(from: &Path, to: &Path, overwrite: bool) -> Result<()> {
    for entry in fs::read_dir(from).map_err(|error| Error::io("list", from, error))? {
        let entry = entry.map_err(|error| Error::io("list", from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| Error::io("look at", &source, error))?;
        let there = existing(&target)?;
        match there {
            None => move_to(&source, &target)?,
            Some(there) if kind.is_dir() && there.is_dir() => merge(&source, &target, overwrite)?,
            Some(there) if overwrite && !kind.is_dir() && !there.is_dir() => move_to(&source, &target)?,
            Some(_) => return Err(Error::TargetHolds { paths: vec![target] }),
        }
    }
    Ok(())
}

fn move_to(source: &Path, target: &Path) -> Result<()> {
    fs::rename(source, target).map_err(|error| Error::io("rename", source, error))
}

/// Returns what stands at a path, links not followed.
pub(crate) fn existing(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io("look at", path, error)),
    }
}

/// Refuses paths that lead through a link below `base`: nothing is written to where a link points.
///
/// # Errors
///
/// [`Error::Io`] naming the link.
pub(crate) fn refuse_links(base: &Path, path: &str) -> Result<()> {
    let mut place = base.to_owned();
    let Some((parents, _)) = path.rsplit_once('/') else { return Ok(()) };
    for component in parents.split('/') {
        place.push(component);
        match existing(&place)? {
            None => return Ok(()),
            Some(metadata) if metadata.is_dir() => {}
            Some(_) => {
                let error =
                    io::Error::new(ErrorKind::NotADirectory, "it is no directory, and no link is followed");
                return Err(Error::io("write through", &place, error));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(output: &Path, files: &[(&str, &str)]) -> Staging {
        let staging = Staging::open(output, &Digest::sha256_of(b"manifest")).unwrap();
        for (path, content) in files {
            fs::write(staging.partial(path), content).unwrap();
            staging.finish(path, path).unwrap();
        }
        staging
    }

    #[test]
    fn finished_files_appear_at_once_and_nothing_is_left() {
        let output = tempfile::tempdir().unwrap();
        staged(output.path(), &[("bag/data/a", "1"), ("bag/b", "2")]).publish(false).unwrap();
        assert_eq!(fs::read(output.path().join("bag/data/a")).unwrap(), b"1");
        assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1);
    }

    #[test]
    fn other_files_of_the_target_stay() {
        let output = tempfile::tempdir().unwrap();
        fs::create_dir_all(output.path().join("bag/data")).unwrap();
        fs::write(output.path().join("bag/data/mine"), "mine").unwrap();
        fs::write(output.path().join("bag/b"), "old").unwrap();
        let staging = staged(output.path(), &[("bag/data/a", "1"), ("bag/b", "2")]);
        assert!(matches!(staging.publish(false), Err(Error::TargetHolds { .. })));
        assert_eq!(fs::read(output.path().join("bag/b")).unwrap(), b"old");
        staged(output.path(), &[]).publish(true).unwrap();
        assert_eq!(fs::read(output.path().join("bag/b")).unwrap(), b"2");
        assert_eq!(fs::read(output.path().join("bag/data/mine")).unwrap(), b"mine");
    }

    #[test]
    fn one_directory_takes_one_pull_of_a_manifest_at_a_time() {
        let output = tempfile::tempdir().unwrap();
        let first = staged(output.path(), &[]);
        let second = Staging::open(output.path(), &Digest::sha256_of(b"manifest"));
        assert!(matches!(second, Err(Error::Busy { .. })));
        drop(first);
        staged(output.path(), &[]);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let output = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", output.path().join("bag")).unwrap();
        assert!(refuse_links(output.path(), "bag/data/a").is_err());
        assert!(refuse_links(output.path(), "other/data/a").is_ok());
    }
}
