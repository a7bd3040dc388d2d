//! Directories in which a bag is built, and the last steps that make it a bag.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::declaration;
use crate::error::{Error, Result};

/// The name of the directory below a bag that collects new content until it is complete.
pub(crate) const PARTIAL_NAME: &str = ".bagit-in-place";
/// The name of the same directory once it is complete. Its content only has to move up.
pub(crate) const COMMIT_NAME: &str = ".bagit-commit";
/// The name of the list, in that directory, of obsolete files of the bag.
const OBSOLETE_NAME: &str = ".obsolete";

/// A new directory beside a target. It is removed unless it is published.
pub(crate) struct Staging {
    path: Option<PathBuf>,
}

impl Staging {
    /// Creates a directory beside the target, if the target is free.
    pub(crate) fn beside(target: &Path) -> Result<Self> {
        if !is_free(target).map_err(Error::io("look at", target))? {
            return Err(Error::TargetNotEmpty(target.to_owned()));
        }
        let absolute = std::path::absolute(target).map_err(Error::io("look at", target))?;
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let parent = absolute.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(Error::io("create the directory", parent))?;
        for attempt in 0..1000_u32 {
            let path = parent.join(format!(".{name}.partial-{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path: Some(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create the directory", path)(error)),
            }
        }
        Err(Error::io("create a directory in", parent)(io::ErrorKind::AlreadyExists.into()))
    }

    /// Returns the directory.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Renames the directory to the target.
    pub(crate) fn publish(mut self, target: &Path) -> Result<()> {
        // Some systems do not rename over an empty directory.
        if target.is_dir() {
            fs::remove_dir(target).map_err(Error::io("replace", target))?;
        }
        fs::rename(self.path(), target).map_err(Error::io("rename the finished bag to", target))?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Best effort: the caller gets the error that led here.
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn is_free(target: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => Ok(fs::read_dir(target)?.next().is_none()),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Declares the partial directory below a bag complete, and moves its content up.
///
/// `obsolete` has the names of files directly below the bag to remove. No new file has one of these names.
pub(crate) fn commit(bag: &Path, obsolete: &[String]) -> Result<()> {
    let partial = bag.join(PARTIAL_NAME);
    let list = partial.join(OBSOLETE_NAME);
    fs::write(&list, obsolete.join("\n")).map_err(Error::io("write", list))?;
    let ready = bag.join(COMMIT_NAME);
    fs::rename(&partial, &ready).map_err(Error::io("rename", partial))?;
    finish_commit(bag)
}

/// Finishes an interrupted commit. Returns `false` if there is none.
pub(crate) fn commit_pending(bag: &Path) -> Result<bool> {
    let pending = bag.join(COMMIT_NAME).is_dir();
    if pending {
        finish_commit(bag)?;
    }
    Ok(pending)
}

/// Each step can be repeated: it skips the files that are removed or moved already.
fn finish_commit(bag: &Path) -> Result<()> {
    let ready = bag.join(COMMIT_NAME);
    let list = ready.join(OBSOLETE_NAME);
    let obsolete = match fs::read_to_string(&list) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("read", list)(error)),
    };
    for name in obsolete.lines().filter(|name| !name.is_empty() && !name.contains('/')) {
        let path = bag.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", path)(error));
            }
            _ => {}
        }
    }
    for name in names_in_order(&ready)? {
        let (from, to) = (ready.join(&name), bag.join(&name));
        fs::rename(&from, &to).map_err(Error::io("move into place", to))?;
    }
    if list.exists() {
        fs::remove_file(&list).map_err(Error::io("remove", list))?;
    }
    fs::remove_dir(&ready).map_err(Error::io("remove", ready))
}

/// Lists the files that a commit moves: the payload first, and the declaration that makes it a bag last.
fn names_in_order(ready: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(ready).map_err(Error::io("read the directory", ready))? {
        let entry = entry.map_err(Error::io("read the directory", ready))?;
        names.extend(entry.file_name().into_string().ok().filter(|name| name != OBSOLETE_NAME));
    }
    let rank = |name: &String| match name.as_str() {
        "data" => 0,
        declaration::FILE_NAME => 2,
        _ => 1,
    };
    names.sort_by_key(rank);
    Ok(names)
}
