//! Blobs to be stored: ranges of files, spooled layers, and blobs of another store.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use oci_model::{Descriptor, Digest};
use registry_backend::{BlobRead, BlobSource, ByteStream, Error, ErrorKind, RegistryBackend, Result};
use safe_files::Directory;

use crate::blocking::{CHUNK_BYTES, blocking_stream, run_blocking};

/// Reads a range of a blob of known size. If the store sends more than the range, the rest is dropped.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid) if the blob does not have the size in its descriptor.
pub async fn read_range(
    backend: &dyn RegistryBackend,
    digest: &Digest,
    size: u64,
    range: Range<u64>,
) -> Result<ByteStream> {
    let whole = range == (0..size);
    let read = backend.read_blob(digest, (!whole).then(|| range.clone())).await?;
    if read.blob_size != size {
        return Err(Error::new(ErrorKind::Invalid, "read blob", digest)
            .because(format!("expected {size} bytes, found {}", read.blob_size)));
    }
    if read.range == range {
        return Ok(read.stream);
    }
    if read.range.start > range.start || read.range.end < range.end {
        return Err(Error::new(ErrorKind::Protocol, "read blob", digest).because(format!(
            "bytes {} to {} came instead of {} to {}",
            read.range.start, read.range.end, range.start, range.end
        )));
    }
    Ok(cut(read, &range))
}

/// Drops the bytes before and behind the wanted range.
fn cut(read: BlobRead, wanted: &Range<u64>) -> ByteStream {
    let mut skip = wanted.start - read.range.start;
    let mut left = wanted.end - wanted.start;
    read.stream
        .map(move |chunk| {
            chunk.map(|bytes| {
                let from = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
                skip -= from as u64;
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - from);
                left -= count as u64;
                (bytes.slice(from..from + count), left == 0)
            })
        })
        .scan(false, |done, item| {
            let item = (!*done).then(|| {
                item.map(|(bytes, last)| {
                    *done = last;
                    bytes
                })
            });
            futures::future::ready(item)
        })
        .filter(|item| futures::future::ready(!matches!(item, Ok(bytes) if Bytes::is_empty(bytes))))
        .boxed()
}

/// A blob of another store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackendSource<'a> {
    pub(crate) backend: &'a dyn RegistryBackend,
    pub(crate) descriptor: &'a Descriptor,
}

#[async_trait]
impl BlobSource for BackendSource<'_> {
    fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    fn size(&self) -> u64 {
        self.descriptor.size
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let Descriptor { digest, size, .. } = self.descriptor;
        read_range(self.backend, digest, *size, offset..*size).await
    }

    fn blob_place(&self) -> Option<&str> {
        self.backend.capabilities().blob_place.as_deref()
    }
}

/// A range of a file with a known digest: a whole object, or a part of a large one.
#[derive(Clone, Debug)]
pub struct FileSource {
    path: PathBuf,
    /// Size of the whole file in bytes when it was hashed.
    file_size: u64,
    range: Range<u64>,
    digest: Digest,
}

impl FileSource {
    /// Wraps a range of a file that had `file_size` bytes when it was hashed.
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
    let reason = format!("it has {size} bytes, but had {file_size} when it was hashed");
    Error::new(ErrorKind::Invalid, "read", path.display()).because(reason)
}

/// How many bytes of all layers of a push stay in memory before the rest goes to a file.
const MEMORY_LIMIT: usize = 4 * 1024 * 1024;

/// How many layers get a file of their own: each keeps a descriptor open until the push ends.
const MOST_OWN_FILES: usize = 64;

/// Storage for layers between packing and sending: memory up to a bound, then one file without a name.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    memory_left: usize,
    /// All layers that are not in memory, one after the other. A file for each could exceed the limit of open
    /// files.
    file: Option<Arc<File>>,
    length: u64,
    /// A directory of the store, which takes over files that are made there. So each layer gets a file of its own.
    store: Option<Directory>,
    files_left: usize,
}

/// Writes one layer.
#[derive(Debug)]
pub struct SpoolWriter<'a> {
    spool: &'a mut Spool,
    memory: Vec<u8>,
    place: Place,
}

/// Where the bytes of a layer go.
#[derive(Debug)]
enum Place {
    Memory,
    /// Into the common file, from this offset.
    Common(u64),
    /// Into a file of its own.
    Own(File),
}

/// A finished layer. It can be read any number of times, and vanishes with its last reader.
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
    /// A file without a name that holds this layer alone.
    OwnFile(Arc<File>),
}

/// A spooled layer as a blob.
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
    /// Returns an empty spool. Its file, if it needs one, is in this directory.
    pub fn new(directory: &Path) -> Self {
        Self::with_memory(directory, MEMORY_LIMIT)
    }

    /// Returns an empty spool that keeps so many bytes in memory.
    pub fn with_memory(directory: &Path, memory: usize) -> Self {
        let directory = directory.to_owned();
        Self {
            directory,
            memory_left: memory,
            file: None,
            length: 0,
            store: None,
            files_left: MOST_OWN_FILES,
        }
    }

    /// Returns the spool with a directory of the store, which takes over files that are made there.
    pub(crate) fn in_store(mut self, directory: Option<&Path>) -> Self {
        self.store = directory.and_then(|directory| Directory::open(directory).ok());
        self
    }

    /// Begins a layer.
    pub fn layer(&mut self) -> SpoolWriter<'_> {
        SpoolWriter { spool: self, memory: Vec::new(), place: Place::Memory }
    }

    /// Creates the file of one layer, if the store takes over files.
    fn own_file(&mut self) -> Option<File> {
        self.files_left = self.files_left.checked_sub(1)?;
        self.store.as_ref()?.create_nameless_file()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            // The file never has a name, so it vanishes however the process ends.
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
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Place::Own(file) => file.write_all(bytes),
            Place::Memory | Place::Common(_) => self.spool.append(bytes),
        }
    }

    /// Ends the layer.
    pub fn finish(self) -> SpooledLayer {
        match (self.place, &self.spool.file) {
            (Place::Own(file), _) => SpooledLayer::OwnFile(Arc::new(file)),
            (Place::Common(start), Some(file)) => SpooledLayer::File { file: Arc::clone(file), start },
            _ => {
                self.spool.memory_left -= self.memory.len();
                SpooledLayer::Memory(self.memory.into())
            }
        }
    }
}

impl Write for SpoolWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if matches!(self.place, Place::Memory) {
            if self.memory.len() + bytes.len() <= self.spool.memory_left {
                self.memory.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            let memory = std::mem::take(&mut self.memory);
            self.place = match self.spool.own_file() {
                Some(file) => Place::Own(file),
                None => Place::Common(self.spool.length),
            };
            self.append(&memory)?;
        }
        self.append(bytes)?;
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
            SpooledLayer::File { file, start } => Ok(self.stream(file, *start, offset)),
            SpooledLayer::OwnFile(file) => Ok(self.stream(file, 0, offset)),
        }
    }

    fn nameless_file(&self) -> Option<&File> {
        match &self.layer {
            SpooledLayer::OwnFile(file) => Some(file),
            SpooledLayer::Memory(_) | SpooledLayer::File { .. } => None,
        }
    }
}

impl SpoolSource {
    /// Reads the layer from a place in it. It begins at `start` in the file.
    fn stream(&self, file: &Arc<File>, start: u64, offset: u64) -> ByteStream {
        let file = Arc::clone(file);
        let (mut position, end) = (start + offset, start + self.size);
        blocking_stream(move || {
            let left = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
            let mut chunk = vec![0; left.min(CHUNK_BYTES)];
            let read = file.read_exact_at(&mut chunk, position);
            read.map_err(|error| Error::io("read", "the spooled layer", error))?;
            position += chunk.len() as u64;
            Ok(Bytes::from(chunk))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_store_that_sends_too_much_is_cut() {
        let content: Vec<u8> = (0..100).collect();
        for (start, end) in [(0_u8, 100_u8), (0, 10), (10, 10), (35, 65), (90, 100)] {
            let chunks: Vec<Result<Bytes>> =
                content.chunks(7).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            let read =
                BlobRead { range: 0..100, blob_size: 100, stream: futures::stream::iter(chunks).boxed() };
            let got: Vec<Bytes> = cut(read, &(start.into()..end.into())).try_collect().await.unwrap();
            assert_eq!(got.concat(), content[start.into()..end.into()]);
        }
    }

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
