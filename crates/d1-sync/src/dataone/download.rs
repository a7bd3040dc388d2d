//! An object from a node into a file, hashed on the way and compared with its system metadata.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bagit::{AlgorithmSet, Digests, MultiHasher};
use d1_transfer::parts::{CHUNK_BYTES, Meter, read_blocking, run_blocking};
use futures::{StreamExt, TryStreamExt};

use super::describe::DescribedObject;
use super::source::{DataOneSource, as_backend_error};
use crate::{Error, Result};

/// From where, and into which directory.
#[derive(Clone, Copy)]
pub(super) struct Downloading<'a> {
    pub(super) source: &'a DataOneSource,
    pub(super) staging: &'a Path,
    pub(super) algorithms: AlgorithmSet,
    pub(super) meter: &'a Meter,
}

/// Brings an object to its place below the directory, and returns its digests. What stands there of an earlier attempt is
/// hashed and taken up.
///
/// # Errors
///
/// [`Error::Members`] if the node does not give the object, or it is not what its system metadata declare: then nothing stays.
pub(super) async fn download(downloading: &Downloading<'_>, object: &DescribedObject) -> Result<Digests> {
    let path = downloading.staging.join(&object.path);
    let had = fs::symlink_metadata(&path).is_ok();
    match attempt(downloading, object, &path).await {
        // What was there may be of something else.
        Err(Error::Members { .. }) if had => {
            remove(&path)?;
            attempt(downloading, object, &path).await
        }
        result => result,
    }
}

async fn attempt(downloading: &Downloading<'_>, object: &DescribedObject, path: &Path) -> Result<Digests> {
    let size = object.record.size;
    let (file, hasher, have) = {
        let (path, algorithms) = (path.to_owned(), downloading.algorithms);
        run_blocking(move || open(&path, algorithms, size)).await?
    };
    let (digests, length) = if have == size && size > 0 {
        downloading.meter.advance(0, size);
        (hasher.finish(), have)
    } else {
        downloading.meter.advance(0, have);
        receive(downloading, object, (file, path.to_owned()), hasher, have).await?
    };
    match object.fault(length, &digests) {
        None => Ok(digests),
        Some(fault) => {
            remove(path)?;
            Err(Error::Members { faults: vec![fault] })
        }
    }
}

/// Opens the file, and hashes what is there.
fn open(path: &Path, algorithms: AlgorithmSet, size: u64) -> Result<(File, MultiHasher, u64)> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
    }
    let failed = |error| Error::io("open", path, error);
    let is_other = fs::symlink_metadata(path).is_ok_and(|found| !found.is_file() || found.len() > size);
    if is_other {
        remove(path)?;
    }
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    let mut file = opened.map_err(failed)?;
    let mut hasher = MultiHasher::new(algorithms);
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut have = 0;
    loop {
        let count = file.read(&mut buffer).map_err(|error| Error::io("read", path, error))?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        have += bytes.len() as u64;
    }
    file.seek(SeekFrom::Start(have)).map_err(failed)?;
    Ok((file, hasher, have))
}

async fn receive(
    downloading: &Downloading<'_>,
    object: &DescribedObject,
    (mut file, path): (File, PathBuf),
    mut hasher: MultiHasher,
    have: u64,
) -> Result<(Digests, u64)> {
    let failed =
        |error: &dyn std::error::Error| Error::member(object.record.identifier.clone(), error.to_string());
    let read = downloading.source.read(&object.record.identifier, have, object.record.size).await;
    let read = read.map_err(|error| failed(&error))?;
    let stream = downloading.meter.count(read.stream.map_err(as_backend_error).boxed());
    let written = read_blocking(stream, move |reader| {
        let came = copy_hashed(reader, &mut file, &mut hasher)?;
        Ok::<_, io::Error>((hasher.finish(), have + came))
    })
    .await;
    let written = written.map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => failed(cause),
        None => failed(&error),
    })?;
    written.map_err(|error| Error::io("write", path, error))
}

/// Copies to the end, hashing; returns the number of bytes.
pub(super) fn copy_hashed(
    reader: &mut impl BufRead,
    writer: &mut impl Write,
    hasher: &mut MultiHasher,
) -> io::Result<u64> {
    let mut length = 0;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(length);
        }
        hasher.update(bytes);
        writer.write_all(bytes)?;
        let count = bytes.len();
        length += count as u64;
        reader.consume(count);
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}
