//! Files on disk as blobs to be stored.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};

use crate::byte_stream::{CHUNK_BYTES, blocking_stream};

/// A range of a file whose digest was computed before: a whole object, or a part of a large one.
#[derive(Clone, Debug)]
pub(crate) struct FileSource {
    path: PathBuf,
    start: u64,
    size: u64,
    digest: Digest,
}

impl FileSource {
    /// Takes `size` bytes of the file from `start`.
    pub(crate) fn new(path: PathBuf, start: u64, size: u64, digest: Digest) -> Self {
        Self { path, start, size, digest }
    }
}

#[async_trait]
impl BlobSource for FileSource {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let Self { path, start, size, .. } = self.clone();
        let file = open_file(&path).await?;
        let mut position = start + offset;
        let end = start + size;
        Ok(blocking_stream(move || {
            let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let mut chunk = vec![0; wanted];
            let count = file
                .read_at(&mut chunk, position)
                .map_err(|error| Error::io("read", path.display(), error))?;
            if count == 0 && wanted > 0 {
                return Err(Error::new(ErrorKind::Invalid, "read", path.display()).because(format!(
                    "it ends at byte {position}, but had {end} bytes when it was hashed: it was changed meanwhile"
                )));
            }
            position += count as u64;
            chunk.truncate(count);
            Ok(Bytes::from(chunk))
        }))
    }
}

async fn open_file(path: &Path) -> Result<File> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        File::open(&path).map_err(|error| Error::io("open", path.display(), error))
    });
    opened.await.unwrap_or_else(|error| Err(Error::io("open", "a file", std::io::Error::other(error))))
}
