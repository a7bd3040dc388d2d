//! Finding a layout in a directory, and making one.

use std::fs;
use std::io;
use std::path::Path;

use registry_backend::{Access, Error, ErrorKind, Result};

use super::failure::failure;
use super::lock::{Lock, Mode};
use super::partial::{PartialFile, sync_directory};
use super::paths::Paths;
use crate::index::{EMPTY_INDEX, Index};
use crate::storage::{INDEX_FILE, LAYOUT_FILE_CONTENT, check_layout_file};

const OPERATION: &str = "open";

/// The most bytes of an `oci-layout` file that are read.
const LAYOUT_FILE_LIMIT: u64 = 64 * 1024;

/// Tells whether a layout is there; an error if it has to be and is not, or if the place is taken by something else.
pub(super) fn open(paths: &Paths, access: Access) -> Result<bool> {
    let root = paths.root();
    let io_failure = |error| failure(OPERATION, paths, root, error);
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(
                Error::new(ErrorKind::Invalid, OPERATION, paths).because("it is a file, not a directory")
            );
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Create => {
            return Ok(false);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(
                Error::new(ErrorKind::NotFound, OPERATION, paths).because("there is no such directory")
            );
        }
        Err(error) => return Err(io_failure(error)),
    }
    if let Some(text) = read_layout_file(paths)? {
        check_layout_file(&text, paths)?;
        if access != Access::Read {
            // It is found out early whether writing is possible at all, by asking once for what every update asks for.
            Lock::attempt(paths, Mode::Shared)?;
        }
        return Ok(true);
    }
    if access != Access::Create {
        return Err(Error::new(ErrorKind::NotFound, OPERATION, paths)
            .because("the directory is no image layout: it has no `oci-layout` file"));
    }
    check_room(paths)?;
    Ok(false)
}

fn read_layout_file(paths: &Paths) -> Result<Option<Vec<u8>>> {
    let path = paths.layout_file();
    let too_large =
        || Error::new(ErrorKind::Invalid, OPERATION, paths).because("its `oci-layout` file is too large");
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() > LAYOUT_FILE_LIMIT => return Err(too_large()),
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure(OPERATION, paths, &path, error)),
    }
    fs::read(&path).map(Some).map_err(|error| failure(OPERATION, paths, &path, error))
}

/// A layout is made only where there is nothing, or the beginning of one: what `make` leaves when it is interrupted.
fn check_room(paths: &Paths) -> Result<()> {
    let root = paths.root();
    let entries = fs::read_dir(root).map_err(|error| failure(OPERATION, paths, root, error))?;
    for entry in entries {
        let name = entry.map_err(|error| failure(OPERATION, paths, root, error))?.file_name();
        let is_beginning = match name.to_str() {
            Some("blobs" | "ingest" | Paths::LOCK) => true,
            Some(INDEX_FILE) => holds_index(&paths.index()),
            _ => false,
        };
        if !is_beginning {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, paths).because(format!(
                "the directory is no image layout and holds other files, such as `{}`",
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

/// Makes the directory, so that it can hold the file that is locked.
pub(super) fn make_root(paths: &Paths) -> Result<()> {
    let root = paths.root();
    fs::create_dir_all(root).map_err(|error| failure("create", paths, root, error))
}

/// Makes the layout. `oci-layout` comes last: while it is missing there is no layout, and making it can begin anew.
pub(super) fn make(paths: &Paths, _lock: Lock) -> Result<()> {
    if read_layout_file(paths)?.is_some() {
        return Ok(());
    }
    check_room(paths)?;
    let at = |path: &Path, done: io::Result<()>| done.map_err(|error| failure("create", paths, path, error));
    at(&paths.blobs(), fs::create_dir_all(paths.blobs()))?;
    if !holds_index(&paths.index()) {
        at(&paths.index(), write_file(paths, &paths.index(), [EMPTY_INDEX]))?;
    }
    at(paths.root(), sync_directory(paths.root()))?;
    at(&paths.layout_file(), write_file(paths, &paths.layout_file(), [LAYOUT_FILE_CONTENT]))?;
    at(paths.root(), sync_directory(paths.root()))?;
    // The directory itself was perhaps made a moment ago; whoever may not read its parent has to do without.
    if let Some(parent) = paths.root().parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let _ = sync_directory(parent);
    }
    Ok(())
}

/// Writes a file in one step.
pub(super) fn write_file<'a>(
    paths: &Paths,
    path: &Path,
    content: impl IntoIterator<Item = &'a str>,
) -> io::Result<()> {
    let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut file = PartialFile::create(paths, stem)?;
    for piece in content {
        file.write(piece.as_bytes())?;
    }
    file.persist(path)
}
