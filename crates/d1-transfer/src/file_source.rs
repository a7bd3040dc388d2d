//! Files on disk as blobs to be stored.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};

use crate::blocking::run_blocking;
use crate::byte_stream::{CHUNK_BYTES, blocking_stream};

/// A range of a file whose digest was computed before: a whole object, or a part of a large one.
#[derive(Clone, Debug)]
pub struct FileSource {
    path: PathBuf,
    /// Size of the whole file in bytes when it was hashed.
    file_size: u64,
    range: Range<u64>,
    digest: Digest,
}

impl FileSource {
    /// Takes a range of a file that had `file_size` bytes when it was hashed.
    pub fn new(path: PathBuf, file_size: u64, range: Range<u64>, digest: Digest) -> Self {
        Self { path, file_size, range, digest }
    }
}

#[async_trait]
impl BlobSource for FileSource {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let Self { path, file_size, range, .. } = self.clone();
        let opened = path.clone();
        let file = run_blocking(move || open_unchanged(&opened, file_size)).await?;
        let mut position = range.start + offset;
        Ok(blocking_stream(move || {
            let left = usize::try_from(range.end.saturating_sub(position)).unwrap_or(usize::MAX);
            let mut chunk = vec![0; left.min(CHUNK_BYTES)];
            let failed = |error| Error::io("read", path.display(), error);
            let count = file.read_at(&mut chunk, position).map_err(failed)?;
            if count == 0 && !chunk.is_empty() {
                return Err(changed(&path, position, file_size));
            }
            position += count as u64;
            chunk.truncate(count);
            Ok(Bytes::from(chunk))
        }))
    }
}

fn open_unchanged(path: &Path, file_size: u64) -> Result<File> {
    let file = File::open(path).map_err(|error| Error::io("open", path.display(), error))?;
    let metadata = file.metadata().map_err(|error| Error::io("look at", path.display(), error))?;
    if metadata.len() == file_size { Ok(file) } else { Err(changed(path, metadata.len(), file_size)) }
}

fn changed(path: &Path, size: u64, file_size: u64) -> Error {
    let reason = format!("it has {size} bytes now, and had {file_size} when it was hashed");
    Error::new(ErrorKind::Invalid, "read", path.display()).because(reason)
}
