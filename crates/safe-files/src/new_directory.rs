//! Directories that appear under their name when they are complete.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::directory::{Directory, NodeKind, random_name};
use crate::working_directory::{claim, remove_leftovers};

/// The prefix of the names of private directories.
const PREFIX: &str = ".part-";

/// The name of the new directory below the private one.
const CONTENT: &str = "content";

/// A directory that a program fills for its user.
///
/// The files go to a new directory with a random name beside the target, which only this user can reach. [`NewDirectory::publish`] syncs
/// them and gives the directory its name. Without that, the new directory is removed and the target stays.
///
/// ```
/// use std::io::Write;
///
/// use safe_files::NewDirectory;
///
/// let work = tempfile::tempdir()?;
/// let target = work.path().join("bag");
/// let new = NewDirectory::beside(&target)?;
/// new.directory().create_file("bagit.txt")?.write_all(b"BagIt-Version: 1.0\n")?;
/// assert!(!target.exists());
/// new.publish()?;
/// assert!(target.join("bagit.txt").exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct NewDirectory {
    parent: Directory,
    /// The name of the private directory.
    private: String,
    content: Directory,
    /// The path of the content below the private directory.
    content_path: PathBuf,
    name: OsString,
    is_published: bool,
    /// Tells other processes that the private directory is in use.
    _lock: File,
}

impl NewDirectory {
    /// Creates the directory. Directories that lead to the target are created too.
    ///
    /// # Errors
    /// As the operating system; `AlreadyExists` if anything but an empty directory exists at the target.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let absolute = std::path::absolute(target)?;
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name");
        let name = absolute.file_name().ok_or_else(no_name)?.to_owned();
        let parent = absolute.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent)?;
        let parent = Directory::open(parent)?;
        if !is_free(&parent, &name)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let private = random_name(PREFIX);
        parent.create_private_directory(&private)?;
        let lock = claim(&parent.path().join(&private))?
            .ok_or_else(|| io::Error::other("another process took the new directory"))?;
        remove_leftovers(parent.path(), PREFIX, &lock);
        let inner = parent.open_directory(&private)?;
        inner.create_directory(CONTENT)?;
        let content = inner.open_directory(CONTENT)?;
        let content_path = CONTENT.into();
        Ok(Self { parent, private, content, content_path, name, is_published: false, _lock: lock })
    }

    /// Returns the directory to fill.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.content
    }

    /// Makes a directory inside the new directory the new one. All files beside it are lost.
    ///
    /// # Errors
    /// As the operating system; no part of the path may be a link.
    pub fn keep_only(&mut self, path: &str) -> io::Result<()> {
        self.content = self.content.open_directory(path)?;
        self.content_path.push(path);
        Ok(())
    }

    /// Writes everything to the disk, and gives the directory its name. An empty directory at the target is replaced.
    ///
    /// # Errors
    /// As the operating system; `AlreadyExists` if anything but an empty directory exists at the target by now.
    pub fn publish(mut self) -> io::Result<()> {
        self.content.sync_tree()?;
        if self.parent.kind(&self.name)? == Some(NodeKind::Directory) {
            // This fails if the directory is not empty.
            self.parent.remove_directory(&self.name).map_err(|error| match error.kind() {
                io::ErrorKind::DirectoryNotEmpty => io::ErrorKind::AlreadyExists.into(),
                _ => error,
            })?;
        }
        let content = Path::new(&self.private).join(&self.content_path);
        self.parent.rename_new(content, &self.parent, &self.name)?;
        self.is_published = true;
        self.parent.remove_tree(&self.private)?;
        self.parent.sync()
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if !self.is_published {
            // Best effort: the caller gets the error that led here.
            let _ = self.parent.remove_tree(&self.private);
        }
    }
}

fn is_free(parent: &Directory, name: &OsString) -> io::Result<bool> {
    match parent.kind(name)? {
        None => Ok(true),
        Some(NodeKind::Directory) => Ok(parent.open_directory(name)?.names()?.is_empty()),
        Some(_) => Ok(false),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;

    use super::NewDirectory;

    #[test]
    fn a_directory_appears_when_it_is_published_and_leaves_nothing_otherwise() {
        let work = tempfile::tempdir().unwrap();
        let target = work.path().join("deep/target");
        let new = NewDirectory::beside(&target).unwrap();
        new.directory().create_file("x").unwrap();
        drop(new);
        assert_eq!(fs::read_dir(work.path().join("deep")).unwrap().count(), 0);
        fs::create_dir(&target).unwrap();
        let new = NewDirectory::beside(&target).unwrap();
        new.directory().create_file("x").unwrap();
        new.publish().unwrap();
        assert!(target.join("x").exists());
        assert_eq!(fs::read_dir(work.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_inside_can_take_the_place_of_the_new_one() {
        let work = tempfile::tempdir().unwrap();
        let target = work.path().join("target");
        let mut new = NewDirectory::beside(&target).unwrap();
        new.directory().create_directories("a/b").unwrap();
        new.directory().create_file("a/b/x").unwrap();
        new.directory().create_file("a/lost").unwrap();
        symlink(work.path(), new.directory().path().join("link")).unwrap();
        assert!(new.keep_only("link").is_err() && new.keep_only("nothing").is_err());
        new.keep_only("a/b").unwrap();
        assert!(new.directory().kind("x").unwrap().is_some());
        new.publish().unwrap();
        let names: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_target_with_content_is_never_replaced() {
        let work = tempfile::tempdir().unwrap();
        let target = work.path().join("target");
        let new = NewDirectory::beside(&target).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("kept"), "kept").unwrap();
        assert_eq!(new.publish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(NewDirectory::beside(&target).unwrap_err().kind(), ErrorKind::AlreadyExists);
        symlink("nowhere", work.path().join("link")).unwrap();
        assert_eq!(
            NewDirectory::beside(&work.path().join("link")).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    }
}
