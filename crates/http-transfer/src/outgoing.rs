//! Content on its way out: exactly as long as announced, and watched while it is sent.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, ready};
use tokio::time::Instant;

use crate::error::{Awaited, TransferError};

/// The most bytes that are given to the connection at once. It asks for more when it has sent them, so the size of a
/// piece decides how slow a connection may be before it counts as stuck.
const PIECE: usize = 64 * 1024;

/// The content of a request: a stream with a stated length.
///
/// `E` is the error of the source.
pub struct Content<E> {
    stream: BoxStream<'static, Result<Bytes, E>>,
    length: u64,
    /// Whether the source has nothing after this content.
    is_last: bool,
}

impl<E: Send + 'static> Content<E> {
    /// Wraps a stream and sends its first `length` bytes. If `is_last` is set, more bytes are an error.
    pub fn new(stream: BoxStream<'static, Result<Bytes, E>>, length: u64, is_last: bool) -> Self {
        Self { stream, length, is_last }
    }

    /// Wraps bytes in memory.
    #[must_use]
    pub fn bytes(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self::new(futures::stream::iter([Ok(bytes)]).boxed(), length, true)
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Checks that a source that states to be empty is empty.
    pub(crate) async fn check_empty(&mut self) -> Result<(), Fault<E>> {
        while self.is_last {
            match self.stream.next().await {
                None => break,
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(_)) => return Err(Fault::TooLong { stated: self.length }),
                Some(Err(error)) => return Err(Fault::Source(error)),
            }
        }
        Ok(())
    }

    /// Returns the content as a request's body, and its meter.
    pub(crate) fn into_body(self) -> (reqwest::Body, Arc<Meter<E>>) {
        let meter = Arc::new(Meter::new());
        let body = Body {
            stream: self.stream,
            left: self.length,
            is_last: self.is_last,
            held: Bytes::new(),
            ready: Bytes::new(),
            length: self.length,
            meter: meter.clone(),
        };
        (reqwest::Body::wrap_stream(body), meter)
    }
}

/// The fault of a source.
#[derive(Debug)]
pub(crate) enum Fault<E> {
    Source(E),
    TooLong { stated: u64 },
    TooShort { missing: u64 },
}

/// The next event that a body waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// For its source to give bytes.
    Source,
    /// For the connection to take bytes.
    Connection,
    /// For the answer to content that has all been taken.
    Answer,
}

/// Watches a body that is being sent.
#[derive(Debug)]
pub(crate) struct Meter<E>(Mutex<Progress<E>>);

#[derive(Debug)]
struct Progress<E> {
    last: Instant,
    waiting: Waiting,
    taken: u64,
    fault: Option<Fault<E>>,
}

impl<E> Meter<E> {
    fn new() -> Self {
        let waiting = Waiting::Connection;
        Self(Mutex::new(Progress { last: Instant::now(), waiting, taken: 0, fault: None }))
    }

    /// Returns how many bytes the connection has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// Returns the fault of the source, once.
    pub(crate) fn take_fault(&self) -> Option<Fault<E>> {
        self.lock().fault.take()
    }

    /// Ends with an error when the connection takes nothing for `stuck`, or the answer takes longer than
    /// `confirmation`. A slow source is its own business.
    pub(crate) async fn watch(&self, stuck: Duration, confirmation: Duration) -> TransferError {
        loop {
            let (since, waiting) = {
                let progress = self.lock();
                (progress.last.elapsed(), progress.waiting)
            };
            let (limit, awaited) = match waiting {
                Waiting::Source => {
                    tokio::time::sleep(stuck.max(Duration::from_millis(1))).await;
                    continue;
                }
                Waiting::Connection => (stuck, Awaited::Upload),
                Waiting::Answer => (confirmation, Awaited::Confirmation),
            };
            let left = limit.saturating_sub(since);
            if left.is_zero() {
                return TransferError::Timeout { awaited, limit };
            }
            tokio::time::sleep(left).await;
        }
    }

    fn note(&self, waiting: Waiting, taken: usize) {
        let mut progress = self.lock();
        progress.last = Instant::now();
        progress.waiting = waiting;
        progress.taken += taken as u64;
    }

    fn lock(&self) -> MutexGuard<'_, Progress<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Yields exactly the announced bytes, or an error before the last of them.
///
/// The last piece is held back until the source has ended. A server that has all announced bytes stores them, and it
/// would be too late to find out that the source has more or fails.
struct Body<E> {
    stream: BoxStream<'static, Result<Bytes, E>>,
    left: u64,
    is_last: bool,
    held: Bytes,
    ready: Bytes,
    length: u64,
    meter: Arc<Meter<E>>,
}

impl<E> Body<E> {
    fn poll_piece(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault<E>>>> {
        loop {
            if !self.ready.is_empty() {
                let piece = self.ready.split_to(self.ready.len().min(PIECE));
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.left == 0 && !self.is_last {
                return Poll::Ready(None);
            }
            match ready!(self.stream.poll_next_unpin(task)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(Fault::Source(error)))),
                Some(Ok(bytes)) => self.take(bytes)?,
                None if self.left > 0 => {
                    return Poll::Ready(Some(Err(Fault::TooShort { missing: self.left })));
                }
                None => {
                    self.is_last = false;
                    self.ready = std::mem::take(&mut self.held);
                }
            }
        }
    }

    fn take(&mut self, mut bytes: Bytes) -> Result<(), Fault<E>> {
        if bytes.len() as u64 > self.left {
            if self.is_last {
                return Err(Fault::TooLong { stated: self.length });
            }
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left -= bytes.len() as u64;
        if self.left == 0 && self.is_last && !bytes.is_empty() {
            let rest = bytes.len().saturating_sub(PIECE);
            self.ready = bytes.split_to(rest);
            self.held = bytes;
        } else {
            self.ready = bytes;
        }
        Ok(())
    }
}

impl<E> Stream for Body<E> {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.poll_piece(task);
        let all_given = self.left == 0 && self.ready.is_empty() && self.held.is_empty();
        match polled {
            Poll::Pending => {
                self.meter.note(Waiting::Source, 0);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(piece))) => {
                let next = if all_given { Waiting::Answer } else { Waiting::Connection };
                self.meter.note(next, piece.len());
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Err(fault))) => {
                // The connection only has to know that nothing more comes. The caller gets the fault itself.
                self.meter.lock().fault = Some(fault);
                Poll::Ready(Some(Err(io::Error::other("the source failed"))))
            }
            Poll::Ready(None) => {
                self.meter.note(Waiting::Answer, 0);
                Poll::Ready(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pieces = Vec<Result<Bytes, &'static str>>;

    /// Returns the bytes that a connection gets, and the fault.
    async fn sent(pieces: Pieces, length: u64, is_last: bool) -> (Vec<u8>, Option<Fault<&'static str>>) {
        let content = Content::new(futures::stream::iter(pieces).boxed(), length, is_last);
        let meter = Arc::new(Meter::new());
        let mut body = Body {
            stream: content.stream,
            left: length,
            is_last,
            held: Bytes::new(),
            ready: Bytes::new(),
            length,
            meter: meter.clone(),
        };
        let mut sent = Vec::new();
        while let Some(Ok(piece)) = body.next().await {
            sent.extend_from_slice(&piece);
        }
        (sent, meter.take_fault())
    }

    #[tokio::test]
    async fn the_last_bytes_are_sent_only_when_the_source_has_ended() {
        let piece = |bytes: &'static [u8]| Ok(Bytes::from_static(bytes));
        let (bytes, fault) = sent(vec![piece(b"ab"), piece(b"cd")], 4, true).await;
        assert!(bytes == b"abcd" && fault.is_none());
        let (bytes, fault) = sent(vec![piece(b"ab"), piece(b"cd")], 3, false).await;
        assert!(bytes == b"abc" && fault.is_none());
        let (bytes, fault) = sent(vec![piece(b"ab"), piece(b"cde")], 4, true).await;
        assert!(bytes == b"ab" && matches!(fault, Some(Fault::TooLong { stated: 4 })));
        let (bytes, fault) = sent(vec![piece(b"ab"), piece(b"cd"), piece(b"e")], 4, true).await;
        assert!(bytes == b"ab" && matches!(fault, Some(Fault::TooLong { stated: 4 })));
        let (_, fault) = sent(vec![piece(b"ab")], 4, true).await;
        assert!(matches!(fault, Some(Fault::TooShort { missing: 2 })));
        let (bytes, fault) = sent(vec![piece(b"ab"), piece(b"cd"), Err("broken")], 4, true).await;
        assert!(bytes == b"ab" && matches!(fault, Some(Fault::Source("broken"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_nothing_is_stuck_and_a_slow_source_is_not() {
        let meter = Meter::<&str>::new();
        let (stuck, confirmation) = (Duration::from_secs(5), Duration::from_secs(60));
        let start = Instant::now();
        let error = meter.watch(stuck, confirmation).await;
        assert!(matches!(error, TransferError::Timeout { awaited: Awaited::Upload, .. }));
        assert_eq!(start.elapsed(), stuck);
        meter.note(Waiting::Answer, 1);
        let start = Instant::now();
        let error = meter.watch(stuck, confirmation).await;
        assert!(matches!(error, TransferError::Timeout { awaited: Awaited::Confirmation, .. }));
        assert_eq!(start.elapsed(), confirmation);
        meter.note(Waiting::Source, 0);
        let watched = tokio::time::timeout(Duration::from_secs(3600), meter.watch(stuck, confirmation));
        assert!(watched.await.is_err());
    }
}
