//! Blocking work in threads of its own, and byte streams that lead to and from it.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes};
use futures::future::Either;
use futures::{StreamExt, TryStreamExt};
use registry_backend::{ByteStream, Result};
use tokio::sync::mpsc::{Receiver, channel};

/// Tells work in another thread whether its caller still waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// Returns an error if no caller waits any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            Err(io::Error::other("the caller has stopped waiting"))
        } else {
            Ok(())
        }
    }
}

/// Ends the work when it is dropped.
struct GiveUp(GivenUp);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A reader that fails once no caller waits for the work.
#[derive(Debug)]
pub(crate) struct WhileWanted<R> {
    inner: R,
    given_up: GivenUp,
}

impl<R> WhileWanted<R> {
    pub(crate) fn new(inner: R, given_up: &GivenUp) -> Self {
        Self { inner, given_up: given_up.clone() }
    }
}

impl<R: Read> Read for WhileWanted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.given_up.check()?;
        self.inner.read(buffer)
    }
}

/// Runs blocking work in a thread of its own. A panic in the work continues in the caller.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    run_while_wanted(|_| work()).await
}

/// Runs blocking work as [`run_blocking`] does, and tells it when the caller has stopped waiting.
pub(crate) async fn run_while_wanted<T: Send + 'static>(
    work: impl FnOnce(&GivenUp) -> T + Send + 'static,
) -> T {
    let give_up = GiveUp(GivenUp::default());
    let given_up = give_up.0.clone();
    match tokio::task::spawn_blocking(move || work(&given_up)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels such work, and then the caller ends too.
            Err(_) => std::future::pending().await,
        },
    }
}

/// How many bytes are read from a file at once. Smaller reads are slower, larger ones are not faster.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// How many chunks wait between a thread and a stream: enough to overlap, few enough to keep memory flat.
const CHUNKS_IN_FLIGHT: usize = 2;

/// Returns a stream of the chunks that `next` returns, up to an empty chunk or an error. `next` runs in a
/// thread of its own.
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

/// Gives the bytes of a stream to blocking work in a thread of its own, and returns the result of the work.
///
/// Work that returns early ends the stream. If the caller stops waiting, the stream is dropped at once, and the
/// next read of the work fails.
///
/// # Errors
///
/// The error that ended the stream, even if the work succeeded.
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
        // An empty chunk marks the end. If the channel closes without it, the caller has stopped waiting.
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
    use std::sync::mpsc::{self, channel};

    use registry_backend::{Error, ErrorKind};

    use super::*;

    #[tokio::test]
    async fn work_learns_that_nobody_waits() {
        let (started, has_started) = channel();
        let (ended, has_ended) = channel();
        let work = tokio::spawn(run_while_wanted(move |given_up| {
            started.send(()).unwrap();
            let mut endless = WhileWanted::new(io::repeat(0), given_up);
            ended.send(io::copy(&mut endless, &mut io::sink())).unwrap();
        }));
        run_blocking(move || has_started.recv().unwrap()).await;
        work.abort();
        assert!(run_blocking(move || has_ended.recv().unwrap()).await.is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_goes_on_in_the_caller() {
        run_blocking(|| panic!("on purpose")).await;
    }

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
        // Poll once, so that the thread starts, then drop.
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
