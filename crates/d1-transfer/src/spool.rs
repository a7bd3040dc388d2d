//! A place for an archive layer between packing and sending: memory up to a bound, then a file without a name.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, Error, Result};

use crate::byte_stream::{CHUNK_BYTES, blocking_stream};

/// How much of an archive layer is kept in memory before it goes to a file, in bytes.
const MEMORY_LIMIT: usize = 8 * 1024 * 1024;

/// Takes the bytes of a layer.
#[derive(Debug)]
pub(crate) struct SpoolWriter {
    directory: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
}

/// A finished layer: it can be read any number of times, and is gone when the last reader is.
#[derive(Clone, Debug)]
pub(crate) enum Spool {
    Memory(Bytes),
    File(Arc<File>),
}

/// A spooled layer on its way to a store.
#[derive(Clone, Debug)]
pub(crate) struct SpoolSource {
    pub(crate) spool: Spool,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl SpoolWriter {
    /// Returns an empty spool whose file, if it needs one, is made in this directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), memory: Vec::new(), file: None }
    }

    /// Ends writing.
    pub(crate) fn finish(mut self) -> io::Result<Spool> {
        match self.file.take() {
            Some(mut file) => {
                file.flush()?;
                Ok(Spool::File(Arc::new(file)))
            }
            None => Ok(Spool::Memory(self.memory.into())),
        }
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() {
            if self.memory.len() + bytes.len() <= MEMORY_LIMIT {
                self.memory.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            // The file has no name from the start, so nothing is left behind however the process ends.
            let mut file = tempfile::tempfile_in(&self.directory)?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

#[async_trait]
impl BlobSource for SpoolSource {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        match &self.spool {
            Spool::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(futures::stream::iter([Ok(bytes.slice(start..))]).boxed())
            }
            Spool::File(file) => {
                let file = Arc::clone(file);
                let mut position = offset;
                Ok(blocking_stream(move || {
                    let mut chunk = vec![0; CHUNK_BYTES];
                    let count = file
                        .read_at(&mut chunk, position)
                        .map_err(|error| Error::io("read", "the spooled layer", error))?;
                    position += count as u64;
                    chunk.truncate(count);
                    Ok(Bytes::from(chunk))
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn what_is_written_comes_back_from_any_offset() {
        let directory = tempfile::tempdir().unwrap();
        for size in [0, 10, MEMORY_LIMIT + 3 * CHUNK_BYTES + 7] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let mut writer = SpoolWriter::new(directory.path());
            for piece in content.chunks(1 << 20) {
                writer.write_all(piece).unwrap();
            }
            let source = SpoolSource {
                spool: writer.finish().unwrap(),
                digest: Digest::sha256_of(&content),
                size: content.len() as u64,
            };
            for offset in [0, size / 2, size] {
                let mut stream = source.open(offset as u64).await.unwrap();
                let mut read = Vec::new();
                while let Some(chunk) = stream.try_next().await.unwrap() {
                    read.extend_from_slice(&chunk);
                }
                assert!(read == content[offset..], "size {size}, offset {offset}");
            }
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
