//! Bridges between blocking reads and streams of bytes.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use futures::future::Either;
use futures::{StreamExt, TryStreamExt};
use registry_backend::{ByteStream, Result};
use tokio::sync::mpsc::{Receiver, channel};

use crate::blocking::run_blocking;

/// How many bytes are read from a file at once. Larger reads are not faster, smaller ones are.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// Chunks under way between a thread and a stream: enough to overlap, few enough to keep memory flat.
const CHUNKS_IN_FLIGHT: usize = 2;

/// Returns a stream of what `next` returns until it returns no bytes or an error; `next` runs in a thread of its own.
pub(crate) fn blocking_stream(mut next: impl FnMut() -> Result<Bytes> + Send + 'static) -> ByteStream {
    let (sender, receiver) = channel(CHUNKS_IN_FLIGHT);
    tokio::task::spawn_blocking(move || {
        loop {
            let chunk = next();
            if matches!(&chunk, Ok(bytes) if bytes.is_empty()) {
                return;
            }
            let last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || last {
                return;
            }
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    })
    .boxed()
}

/// Gives the bytes of a stream to blocking work in a thread of its own, and returns what came of the work.
///
/// Work that returns early ends the stream. If the caller stops waiting, the stream is dropped at once, and the work
/// gets an error when it reads on.
///
/// # Errors
///
/// What the stream ended in, whatever came of the work.
pub async fn read_blocking<T: Send + 'static>(
    mut stream: ByteStream,
    work: impl FnOnce(&mut StreamReader) -> T + Send + 'static,
) -> Result<T> {
    let (sender, chunks) = channel(CHUNKS_IN_FLIGHT);
    let working = std::pin::pin!(run_blocking(move || {
        work(&mut StreamReader { chunks, chunk: Bytes::new(), ended: false })
    }));
    let feeding = std::pin::pin!(async move {
        while let Some(chunk) = stream.try_next().await? {
            if !chunk.is_empty() && sender.send(chunk).await.is_err() {
                return Ok(());
            }
        }
        // An empty chunk marks the end: a channel that is closed without it was given up.
        let _ = sender.send(Bytes::new()).await;
        Ok(())
    });
    match futures::future::select(working, feeding).await {
        Either::Left((result, _)) => Ok(result),
        Either::Right((fed, working)) => {
            let result = working.await;
            fed.map(|()| result)
        }
    }
}

/// The bytes of a stream, read in a blocking thread.
#[derive(Debug)]
pub struct StreamReader {
    chunks: Receiver<Bytes>,
    chunk: Bytes,
    ended: bool,
}

impl BufRead for StreamReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() && !self.ended {
            let next = self.chunks.blocking_recv();
            self.chunk = next.ok_or_else(|| io::Error::other("the stream ended in an error"))?;
            self.ended = self.chunk.is_empty();
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, count: usize) {
        self.chunk.advance(count.min(self.chunk.len()));
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use registry_backend::{Error, ErrorKind};

    use super::*;

    fn stream(chunks: &[&'static [u8]], end: Option<ErrorKind>) -> ByteStream {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        let end = end.map(|kind| Err(Error::new(kind, "read", "a test")));
        futures::stream::iter(chunks.into_iter().chain(end)).boxed()
    }

    fn to_end(reader: &mut StreamReader) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[tokio::test]
    async fn the_work_sees_all_bytes_and_then_the_end_for_ever() {
        let work = |reader: &mut StreamReader| (to_end(reader).unwrap(), to_end(reader).unwrap());
        let read = read_blocking(stream(&[b"ab", b"", b"cde"], None), work).await.unwrap();
        assert_eq!(read, (b"abcde".to_vec(), Vec::new()));
    }

    #[tokio::test]
    async fn the_error_of_the_stream_is_returned_whatever_the_work_makes_of_it() {
        for count in [0, 1, 4] {
            let chunks = stream(&[&b"ab"[..]; 4][..count], Some(ErrorKind::Unavailable));
            let error = read_blocking(chunks, |reader| to_end(reader).is_err()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
    }

    #[tokio::test]
    async fn work_that_has_enough_does_not_wait_for_the_stream() {
        let endless = stream(&[b"ab"], None).chain(futures::stream::pending()).boxed();
        let read = read_blocking(endless, |reader| {
            let mut two = [0; 2];
            reader.read_exact(&mut two).map(|()| two)
        });
        assert_eq!(&read.await.unwrap().unwrap(), b"ab");
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_ends() {
        let (sender, ended) = mpsc::channel();
        let endless = stream(&[b"ab"], None).chain(futures::stream::pending()).boxed();
        let work = read_blocking(endless, move |reader| sender.send(to_end(reader).is_err()).unwrap());
        // It is polled once, so that the thread is at work, and then dropped.
        assert!(futures::FutureExt::now_or_never(work).is_none());
        assert!(run_blocking(move || ended.recv().unwrap()).await);
    }

    #[tokio::test]
    async fn what_a_thread_reads_comes_as_a_stream() {
        for (fails, expected) in [(false, 3), (true, 4)] {
            let mut number = 0;
            let stream = blocking_stream(move || {
                number += 1;
                match number {
                    1..=3 => Ok(Bytes::from_static(b"x")),
                    _ if fails => Err(Error::new(ErrorKind::Io, "read", "a test")),
                    _ => Ok(Bytes::new()),
                }
            });
            let chunks: Vec<_> = stream.collect().await;
            assert_eq!((chunks.len(), chunks.iter().any(Result::is_err)), (expected, fails));
        }
    }
}
