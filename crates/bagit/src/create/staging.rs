//! Places where a bag is built before it is one, and the last steps that make it one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::declaration;
use crate::error::{Error, Result};

/// Names the directory below a bag where new content waits while it is not complete.
pub(crate) const PARTIAL_NAME: &str = ".bagit-in-place";
/// Names the same directory once it is complete: what is in it only has to be moved up.
pub(crate) const COMMIT_NAME: &str = ".bagit-commit";
/// Names the list, within it, of files of the bag that are to go.
const OBSOLETE_NAME: &str = ".obsolete";

/// Holds a new directory beside a target; it is removed unless it is published.
pub(crate) struct Staging {
    path: Option<PathBuf>,
}

impl Staging {
    /// Makes a directory beside the target, after making sure that the target is free.
    pub(crate) fn beside(target: &Path) -> Result<Self> {
        if !is_free(target).map_err(Error::io("look at", target))? {
            return Err(Error::TargetNotEmpty(target.to_owned()));
        }
        let absolute = std::path::absolute(target).map_err(Error::io("look at", target))?;
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let parent = absolute.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(Error::io("make the directory", parent))?;
        for attempt in 0..1000_u32 {
            let path = parent.join(format!(".{name}.partial-{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path: Some(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("make the directory", path)(error)),
            }
        }
        Err(Error::io("make a directory in", parent)(io::ErrorKind::AlreadyExists.into()))
    }

    /// Gives the directory.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives the directory its final name.
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
            // Best effort: the caller is told of the error that led here.
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

/// Declares the partial directory below a bag complete and moves what is in it up.
///
/// `obsolete` names files directly below the bag that go away; none of them has the name of a new one.
pub(crate) fn commit(bag: &Path, obsolete: &[String]) -> Result<()> {
    let partial = bag.join(PARTIAL_NAME);
    let list = partial.join(OBSOLETE_NAME);
    fs::write(&list, obsolete.join("\n")).map_err(Error::io("write", list))?;
    let ready = bag.join(COMMIT_NAME);
    fs::rename(&partial, &ready).map_err(Error::io("rename", partial))?;
    finish_commit(bag)
}

/// Finishes a commit that was interrupted; `false` if there was none.
pub(crate) fn commit_pending(bag: &Path) -> Result<bool> {
    let pending = bag.join(COMMIT_NAME).is_dir();
    if pending {
        finish_commit(bag)?;
    }
    Ok(pending)
}

/// Every step can be repeated: removing what is gone and moving what is moved already do nothing.
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

/// Lists what a commit moves: payload first, the declaration that makes it a bag last.
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
