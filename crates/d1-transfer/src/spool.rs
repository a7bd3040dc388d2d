//! A place for archive layers between packing and sending: memory up to a bound, then one file without a name.

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

/// How much of all layers of a push is kept in memory before the rest goes to a file, in bytes.
const MEMORY_LIMIT: usize = 8 * 1024 * 1024;

/// Takes layers, one after the other.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    memory_left: usize,
    /// All layers that are not in memory, in a row: a file for each could be more files than a process may open.
    file: Option<Arc<File>>,
    length: u64,
}

/// Takes the bytes of one layer.
#[derive(Debug)]
pub struct SpoolWriter<'a> {
    spool: &'a mut Spool,
    memory: Vec<u8>,
    /// Where the layer begins in the file, if it is not in memory.
    start: Option<u64>,
}

/// A finished layer: it can be read any number of times, and is gone when the last reader is.
#[derive(Clone, Debug)]
pub enum SpooledLayer {
    /// All of its bytes.
    Memory(Bytes),
    /// A part of a file without a name.
    File {
        /// The file.
        file: Arc<File>,
        /// Offset of the layer's first byte.
        start: u64,
    },
}

/// A spooled layer on its way to a store.
#[derive(Clone, Debug)]
pub struct SpoolSource {
    /// Its bytes.
    pub layer: SpooledLayer,
    /// Their digest.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

impl Spool {
    /// Returns an empty spool whose file, if it needs one, is made in this directory.
    pub fn new(directory: &Path) -> Self {
        Self::with_memory(directory, MEMORY_LIMIT)
    }

    /// Returns an empty spool that keeps so many bytes in memory.
    pub fn with_memory(directory: &Path, memory: usize) -> Self {
        Self { directory: directory.to_owned(), memory_left: memory, file: None, length: 0 }
    }

    /// Begins a layer.
    pub fn layer(&mut self) -> SpoolWriter<'_> {
        SpoolWriter { spool: self, memory: Vec::new(), start: None }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            // The file has no name from the start, so nothing is left behind however the process ends.
            self.file = Some(Arc::new(tempfile::tempfile_in(&self.directory)?));
        }
        if let Some(file) = &self.file {
            file.write_all_at(bytes, self.length)?;
            self.length += bytes.len() as u64;
        }
        Ok(())
    }
}

impl SpoolWriter<'_> {
    /// Ends the layer.
    pub fn finish(self) -> SpooledLayer {
        match (self.start, &self.spool.file) {
            (Some(start), Some(file)) => SpooledLayer::File { file: Arc::clone(file), start },
            _ => {
                self.spool.memory_left -= self.memory.len();
                SpooledLayer::Memory(self.memory.into())
            }
        }
    }
}

impl Write for SpoolWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.start.is_none() && self.memory.len() + bytes.len() <= self.spool.memory_left {
            self.memory.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        if self.start.is_none() {
            let start = self.spool.length;
            let memory = std::mem::take(&mut self.memory);
            self.spool.append(&memory)?;
            self.start = Some(start);
        }
        self.spool.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
        match &self.layer {
            SpooledLayer::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(futures::stream::iter([Ok(bytes.slice(start..))]).boxed())
            }
            SpooledLayer::File { file, start } => {
                let file = Arc::clone(file);
                let (mut position, end) = (start + offset, start + self.size);
                Ok(blocking_stream(move || {
                    let left = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
                    let mut chunk = vec![0; left.min(CHUNK_BYTES)];
                    let read = file.read_exact_at(&mut chunk, position);
                    read.map_err(|error| Error::io("read", "the spooled layer", error))?;
                    position += chunk.len() as u64;
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
        let mut spool = Spool::new(directory.path());
        let mut layers = Vec::new();
        let (mut in_memory, mut kept) = (0, 0);
        for size in [0, 10, MEMORY_LIMIT - 20, 20, 5, MEMORY_LIMIT + 3 * CHUNK_BYTES + 7, 5, 0, 100] {
            let content: Vec<u8> = (0..=250).cycle().skip(layers.len()).take(size).collect();
            let mut writer = spool.layer();
            content.chunks(1 << 20).for_each(|piece| writer.write_all(piece).unwrap());
            let layer = writer.finish();
            if let SpooledLayer::Memory(bytes) = &layer {
                in_memory += bytes.len();
                kept += 1;
            }
            layers.push((content, layer));
        }
        assert!(in_memory <= MEMORY_LIMIT && kept == 6, "{kept} layers with {in_memory} bytes");
        for (content, layer) in layers {
            let (digest, size) = (Digest::sha256_of(&content), content.len() as u64);
            let source = SpoolSource { layer, digest, size };
            for offset in [0, content.len() / 2, content.len()] {
                let stream = source.open(offset as u64).await.unwrap();
                let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
                assert!(chunks.concat() == content[offset..], "size {size}, offset {offset}");
            }
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
