//! Listing what a directory holds, and removing from it.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use oci_model::Digest;
use registry_backend::{Error, ErrorKind, Result};

use super::failure::failure;
use super::partial::SUFFIX;
use super::paths::Paths;
use crate::storage::StoredBlob;

/// How long ago another program's temporary file must have been written to: it is not known whether that program lives.
const FOREIGN_PARTIAL_AGE: Duration = Duration::from_secs(3600);

/// Lists all blobs; files whose names are no digests are nobody's business here.
pub(super) fn list(paths: &Paths) -> Result<Vec<StoredBlob>> {
    let blobs = paths.blobs();
    refuse_link(paths, &blobs)?;
    let mut found = Vec::new();
    for algorithm in entries(paths, &blobs)? {
        if !algorithm.path().is_dir() {
            continue;
        }
        refuse_link(paths, &algorithm.path())?;
        for entry in entries(paths, &algorithm.path())? {
            if let Some(blob) =
                stored_blob(&algorithm, &entry).map_err(|error| fail(paths, &entry.path(), error))?
            {
                found.push(blob);
            }
        }
    }
    Ok(found)
}

/// Blobs in a directory that lies elsewhere are perhaps those of other layouts too.
fn refuse_link(paths: &Paths, directory: &Path) -> Result<()> {
    if !is_link(directory) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "list the blobs of", paths).because(format!(
        "`{}` is a link to a place that other layouts may use too, so it is not known what is needed there",
        directory.display()
    )))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn stored_blob(algorithm: &DirEntry, entry: &DirEntry) -> io::Result<Option<StoredBlob>> {
    let (algorithm, encoded) = (algorithm.file_name(), entry.file_name());
    let text =
        algorithm.to_str().zip(encoded.to_str()).map(|(algorithm, encoded)| format!("{algorithm}:{encoded}"));
    let Some(digest) = text.and_then(|text| text.parse::<Digest>().ok()) else { return Ok(None) };
    match fs::metadata(entry.path()) {
        Ok(metadata) if metadata.is_file() => {
            Ok(Some(StoredBlob { digest, size: metadata.len(), modified: metadata.modified()? }))
        }
        Ok(_) => Ok(None),
        // Another prune was faster, or it is a link to nowhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the blobs that are still there and were not renewed after `before`.
pub(super) fn remove(paths: &Paths, blobs: Vec<StoredBlob>, before: SystemTime) -> Result<Vec<StoredBlob>> {
    let mut removed = Vec::new();
    for blob in blobs {
        let path = paths.blob(&blob.digest);
        let modified = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.and_then(|metadata| metadata.modified()),
        };
        let modified = modified.map_err(|error| failure("remove blob", &blob.digest, &path, error))?;
        if modified <= before {
            fs::remove_file(&path).map_err(|error| failure("remove blob", &blob.digest, &path, error))?;
            removed.push(blob);
        }
    }
    Ok(removed)
}

/// Removes the temporary files of writers that are gone.
pub(super) fn remove_partial(paths: &Paths, before: SystemTime, only_count: bool) -> Result<u64> {
    let ingest = paths.ingest();
    if is_link(&ingest) {
        return Ok(0);
    }
    let foreign_before = SystemTime::now().checked_sub(FOREIGN_PARTIAL_AGE).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut count = 0;
    for entry in entries(paths, &ingest)? {
        let (path, name) = (entry.path(), entry.file_name());
        let Some(writer) = name.to_str().and_then(Writer::of) else { continue };
        let before = if writer == Writer::Own { before } else { before.min(foreign_before) };
        let is_stale = stale_file(&path, before, writer).map_err(|error| fail(paths, &path, error))?;
        // The lock is held until the file is removed, so that its name cannot be taken by a new writer meanwhile.
        if let Some(_lock) = is_stale {
            if !only_count {
                fs::remove_file(&path).map_err(|error| fail(paths, &path, error))?;
            }
            count += 1;
        }
    }
    Ok(count)
}

/// Who made a temporary file, as its name tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// This crate: as long as it writes, it holds a lock on the file.
    Own,
    /// `oras`: its files are named after the digest, too.
    Oras,
}

impl Writer {
    fn of(name: &str) -> Option<Self> {
        if name.ends_with(SUFFIX) {
            return Some(Self::Own);
        }
        let (hex, number) = name.split_once('_')?;
        let is_hex = hex.len() >= 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        (is_hex && is_number).then_some(Self::Oras)
    }
}

/// Returns the locked file if nobody writes to it any more.
fn stale_file(path: &Path, before: SystemTime, writer: Writer) -> io::Result<Option<File>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if !metadata.is_file() || metadata.modified()? > before {
        return Ok(None);
    }
    let file = match OpenOptions::new().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let is_alive = writer == Writer::Own && file.try_lock().is_err();
    Ok((!is_alive).then_some(file))
}

fn entries(paths: &Paths, directory: &Path) -> Result<Vec<DirEntry>> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(Iterator::collect),
    };
    listed.map_err(|error| fail(paths, directory, error))
}

fn fail(paths: &Paths, path: &Path, error: io::Error) -> registry_backend::Error {
    failure("list the blobs of", paths, path, error)
}
