//! Receiving the bytes of one file from the blobs that hold it: hashed as they come, and written if there is a place.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{AlgorithmSet, Digests, MultiHasher};
use futures::{StreamExt, TryStreamExt};
use oci_model::Digest;
use registry_backend::{ByteStream, RegistryBackend};
use tokio::runtime::Handle;

use crate::blob_reader::read_range;
use crate::byte_stream::CHUNK_BYTES;
use crate::{Error, Event, Observer, Phase, Result};

/// The blobs that hold a file's bytes, one after the other: mostly one, several for a file in parts.
#[derive(Clone, Debug)]
pub(crate) struct FileBlobs {
    /// Path in the package.
    pub(crate) path: String,
    /// Digests and sizes.
    pub(crate) pieces: Vec<(Digest, u64)>,
}

/// Receives a file into `partial`, or only hashes it if there is none; returns its digests.
///
/// What `partial` holds already is taken for the file's beginning and not received again; the caller checks the digests of
/// the whole, and removes the file if they are wrong.
pub(crate) async fn receive_file(
    backend: &dyn RegistryBackend,
    file: &FileBlobs,
    algorithms: AlgorithmSet,
    partial: Option<&Path>,
    observer: &Arc<dyn Observer>,
) -> Result<Digests> {
    let size: u64 = file.pieces.iter().map(|(_, size)| size).sum();
    let mut writer =
        Writer { hasher: MultiHasher::new(algorithms), file: None, observer: Arc::clone(observer) };
    let mut position = 0;
    if let Some(path) = partial {
        let path = path.to_owned();
        let opened = run_blocking(move || writer.take_up(path, size)).await?;
        (writer, position) = opened;
    }
    let mut start = 0;
    for (digest, piece_size) in &file.pieces {
        let end = start + piece_size;
        if position < end {
            let stream = read_range(backend, digest, *piece_size, position - start..*piece_size).await?;
            let handle = Handle::current();
            writer = run_blocking(move || writer.take_in(stream, &handle)).await?;
            position = end;
        }
        start = end;
    }
    Ok(writer.hasher.finish())
}

/// Takes bytes in, in a blocking thread.
struct Writer {
    hasher: MultiHasher,
    file: Option<(PathBuf, File)>,
    observer: Arc<dyn Observer>,
}

impl Writer {
    /// Opens the partial file, hashes what it holds, and returns how much that is; one that is too long begins anew.
    fn take_up(mut self, path: PathBuf, size: u64) -> Result<(Self, u64)> {
        let failed = |operation| {
            let path = path.clone();
            move |error| Error::Io { operation, path, source: error }
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open"))?;
        let length = file.metadata().map_err(failed("look at"))?.len();
        if length > size {
            file.set_len(0).map_err(failed("cut"))?;
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut taken = 0;
        loop {
            let count = file.read(&mut chunk).map_err(failed("read"))?;
            if count == 0 {
                break;
            }
            self.hasher.update(chunk.get(..count).unwrap_or_default());
            taken += count as u64;
        }
        self.advanced(taken);
        self.file = Some((path, file));
        Ok((self, taken))
    }

    fn take_in(mut self, mut stream: ByteStream, handle: &Handle) -> Result<Self> {
        while let Some(chunk) = handle.block_on(stream.try_next())? {
            self.hasher.update(&chunk);
            if let Some((path, file)) = &mut self.file {
                file.write_all(&chunk).map_err(|error| Error::io("write", path, error))?;
            }
            self.advanced(chunk.len() as u64);
        }
        Ok(self)
    }

    fn advanced(&self, bytes: u64) {
        if bytes > 0 {
            self.observer.event(&Event::Advanced { phase: Phase::Download, items: 0, bytes });
        }
    }
}

/// Runs blocking work in a thread of its own; a panic in it goes on here.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Returns a stream that reports its bytes to an observer.
pub(crate) fn observed(stream: ByteStream, observer: &Arc<dyn Observer>) -> ByteStream {
    let observer = Arc::clone(observer);
    let report = move |chunk: &registry_backend::Result<bytes::Bytes>| {
        if let Ok(bytes) = chunk {
            let event = Event::Advanced { phase: Phase::Download, items: 0, bytes: bytes.len() as u64 };
            observer.event(&event);
        }
    };
    stream.inspect(report).boxed()
}
