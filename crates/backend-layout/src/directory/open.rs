//! Finding a layout in a directory, and creating one.

use std::fs;
use std::io;
use std::path::Path;

use registry_backend::{Access, Error, ErrorKind, Result};

use super::files::{Paths, failure, write_file};
use super::index_file::{IndexLock, Mode};
use crate::index::{EMPTY_INDEX, Index};
use crate::storage::{INDEX_FILE, LAYOUT_FILE_CONTENT, LAYOUT_FILE_LIMIT, check_layout_file};

const OPERATION: &str = "open";

/// Tells whether the layout exists.
///
/// # Errors
///
/// If the layout has to exist and does not, or if something else is in its place.
pub(super) fn open(paths: &Paths, access: Access) -> Result<bool> {
    let root = paths.root();
    let fail = |kind| Error::new(kind, OPERATION, paths);
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(fail(ErrorKind::Invalid).because("expected a directory, found a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Create => {
            return Ok(false);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(fail(ErrorKind::NotFound).because("the directory does not exist"));
        }
        Err(error) => return Err(failure(OPERATION, paths, root, error)),
    }
    if let Some(text) = read_layout_file(paths)? {
        check_layout_file(&text, paths)?;
        if access != Access::Read {
            // Every update needs the lock: fail early if it cannot be had.
            IndexLock::attempt(paths, Mode::Shared)?;
        }
        return Ok(true);
    }
    if access != Access::Create {
        return Err(fail(ErrorKind::NotFound)
            .because("the directory is not an image layout: it has no `oci-layout` file"));
    }
    check_room(paths)?;
    Ok(false)
}

fn read_layout_file(paths: &Paths) -> Result<Option<Vec<u8>>> {
    let path = paths.layout_file();
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() > LAYOUT_FILE_LIMIT => {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, paths)
                .because(format!("expected an `oci-layout` file of at most {LAYOUT_FILE_LIMIT} bytes")));
        }
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure(OPERATION, paths, &path, error)),
    }
    fs::read(&path).map(Some).map_err(|error| failure(OPERATION, paths, &path, error))
}

/// Checks that the directory is empty, or holds only what an interrupted [`create`] leaves.
fn check_room(paths: &Paths) -> Result<()> {
    let root = paths.root();
    let entries = fs::read_dir(root).map_err(|error| failure(OPERATION, paths, root, error))?;
    for entry in entries {
        let name = entry.map_err(|error| failure(OPERATION, paths, root, error))?.file_name();
        let is_ours = match name.to_str() {
            Some("blobs" | "ingest" | Paths::LOCK) => true,
            Some(INDEX_FILE) => holds_index(&paths.index()),
            _ => false,
        };
        if !is_ours {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, paths).because(format!(
                "the directory is not an image layout and holds other files, such as `{}`",
                name.to_string_lossy()
            )));
        }
    }
    Ok(())
}

fn holds_index(path: &Path) -> bool {
    let is_small =
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LAYOUT_FILE_LIMIT);
    is_small && fs::read_to_string(path).is_ok_and(|text| Index::parse(text).is_ok())
}

/// Creates the directory, so that it can hold the file that writers lock.
pub(super) fn create_root(paths: &Paths) -> Result<()> {
    let root = paths.root();
    fs::create_dir_all(root).map_err(|error| failure("create", paths, root, error))
}

/// Creates the layout. `oci-layout` comes last: while it is missing there is no layout, and creating it can start again.
pub(super) fn create(paths: &Paths, _lock: &IndexLock) -> Result<()> {
    if read_layout_file(paths)?.is_some() {
        return Ok(());
    }
    check_room(paths)?;
    let at = |path: &Path, done: io::Result<()>| done.map_err(|error| failure("create", paths, path, error));
    at(&paths.blobs(), fs::create_dir_all(paths.blobs()))?;
    if !holds_index(&paths.index()) {
        at(&paths.index(), write_file(paths, &paths.index(), [EMPTY_INDEX]))?;
    }
    at(paths.root(), safe_files::sync_directory(paths.root()))?;
    at(&paths.layout_file(), write_file(paths, &paths.layout_file(), [LAYOUT_FILE_CONTENT]))?;
    at(paths.root(), safe_files::sync_directory(paths.root()))?;
    // The directory itself may be new too. Users who may not read its parent do without this sync.
    if let Some(parent) = paths.root().parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let _ = safe_files::sync_directory(parent);
    }
    Ok(())
}

/// Creates an empty index if it is missing, although the layout has content.
pub(super) fn replace_lost_index(paths: &Paths, _lock: &IndexLock) -> Result<()> {
    let path = paths.index();
    if path.exists() {
        return Ok(());
    }
    let written =
        write_file(paths, &path, [EMPTY_INDEX]).and_then(|()| safe_files::sync_directory(paths.root()));
    written.map_err(|error| failure("create", paths, &path, error))
}
