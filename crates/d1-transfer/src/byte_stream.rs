//! Bridges between blocking reads and streams of bytes.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use registry_backend::{ByteStream, Error, Result};
use tokio_util::io::{StreamReader, SyncIoBridge};

/// How many bytes are read from a file at once. Larger reads are not faster, smaller ones are.
pub(crate) const CHUNK_BYTES: usize = 512 * 1024;

/// Chunks under way between a reading thread and the stream: enough to overlap, few enough to keep memory flat.
const CHUNKS_IN_FLIGHT: usize = 2;

/// Returns a stream of what `next` returns until it returns no bytes; `next` runs in a thread of its own.
pub(crate) fn blocking_stream(mut next: impl FnMut() -> Result<Bytes> + Send + 'static) -> ByteStream {
    let (sender, receiver) = tokio::sync::mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::task::spawn_blocking(move || {
        loop {
            let chunk = next();
            let last = chunk.as_ref().map_or(true, Bytes::is_empty);
            if matches!(&chunk, Ok(bytes) if bytes.is_empty()) || sender.blocking_send(chunk).is_err() || last
            {
                return;
            }
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    })
    .boxed()
}

/// A blocking reader of a stream, for use in a blocking task of the same runtime.
pub(crate) struct BlockingReader<R> {
    inner: R,
    failure: StreamFailure,
}

/// Keeps the error that ended a stream, whole, while the readers above it see an I/O error.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamFailure(Arc<Mutex<Option<Error>>>);

impl StreamFailure {
    /// Returns the error that ended the stream, if one did.
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns a blocking reader of a stream, and where to find the stream's error afterwards.
pub(crate) fn blocking_reader(stream: ByteStream) -> (BlockingReader<impl Read + Send>, StreamFailure) {
    let failure = StreamFailure::default();
    let stream = stream.map(|chunk| chunk.map_err(std::io::Error::other));
    let inner = SyncIoBridge::new(StreamReader::new(stream));
    (BlockingReader { inner, failure: failure.clone() }, failure)
}

impl<R: Read> Read for BlockingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer).map_err(|error| match error.downcast::<Error>() {
            Ok(error) => {
                let text = error.to_string();
                *self.failure.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                std::io::Error::other(text)
            }
            Err(error) => error,
        })
    }
}
