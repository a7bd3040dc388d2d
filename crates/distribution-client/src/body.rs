//! Content on its way out: cut to what was announced, and watched.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, ready};
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};
use tokio::time::Instant;

use crate::context::Context;
use crate::transport::OutgoingBody;

/// The most bytes that are handed to the connection at once: it asks for more when it has sent them, which is how a
/// connection that no longer takes any is known.
const PIECE: usize = 256 * 1024;

/// A part of a source that is sent as the body of one request.
#[derive(Clone, Copy)]
pub(crate) struct SourcePart<'a> {
    pub(crate) source: &'a dyn BlobSource,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl SourcePart<'_> {
    /// Opens the source and returns the part as a body.
    ///
    /// # Errors
    ///
    /// What the source returns; [`Invalid`](ErrorKind::Invalid) if it states to be empty and is not.
    pub(crate) async fn open(&self, context: &Context) -> Result<(OutgoingBody, Arc<Meter>)> {
        let mut stream = self.source.open(self.offset).await?;
        let is_last = self.offset + self.length == self.source.size();
        let meter = Arc::new(Meter::new());
        if self.length == 0 {
            if is_last && next_content(&mut stream).await?.is_some() {
                return Err(too_long(context, self.source.size()));
            }
            return Ok((OutgoingBody::Commit, meter));
        }
        let content = Content {
            stream,
            left: self.length,
            is_last,
            held: Bytes::new(),
            waiting: Bytes::new(),
            size: self.source.size(),
            context: context.clone(),
            meter: meter.clone(),
        };
        let body = reqwest::Body::wrap_stream(content);
        Ok((OutgoingBody::Stream { body, length: self.length, meter: meter.clone() }, meter))
    }
}

/// What a body is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// For its source to give bytes.
    Source,
    /// For the connection to take bytes.
    Connection,
    /// For the answer to content that has all been taken.
    Answer,
}

/// What is known about a body that is being sent.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    last: Instant,
    waiting: Waiting,
    taken: u64,
    failure: Option<Error>,
}

impl Meter {
    fn new() -> Self {
        let waiting = Waiting::Connection;
        Self(Mutex::new(Progress { last: Instant::now(), waiting, taken: 0, failure: None }))
    }

    /// Returns how long ago something moved, and what is being waited for.
    pub(crate) fn state(&self) -> (Duration, Waiting) {
        let progress = self.lock();
        (progress.last.elapsed(), progress.waiting)
    }

    /// Returns how many bytes the connection has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// Returns what went wrong at the source.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    fn note(&self, waiting: Waiting, taken: usize) {
        let mut progress = self.lock();
        progress.last = Instant::now();
        progress.waiting = waiting;
        progress.taken += taken as u64;
    }

    fn fail(&self, error: Error) {
        self.lock().failure = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of a part: exactly its length, or an error before the last byte.
///
/// The last piece is held back until the source has ended: once a registry has all announced bytes it stores them, and
/// then it is too late to find out that the source had more or failed.
struct Content {
    stream: ByteStream,
    left: u64,
    is_last: bool,
    held: Bytes,
    waiting: Bytes,
    size: u64,
    context: Context,
    meter: Arc<Meter>,
}

impl Content {
    fn poll_piece(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if !self.waiting.is_empty() {
                let piece = self.waiting.split_to(self.waiting.len().min(PIECE));
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.left == 0 && !self.is_last {
                return Poll::Ready(None);
            }
            match ready!(self.stream.poll_next_unpin(task)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(bytes)) => self.take(bytes)?,
                None if self.left > 0 => {
                    let missing = self.left;
                    let error = self.context.error(ErrorKind::Invalid);
                    return Poll::Ready(Some(Err(
                        error.because(format!("the source ends {missing} bytes before its stated size"))
                    )));
                }
                None => {
                    self.is_last = false;
                    self.waiting = std::mem::take(&mut self.held);
                }
            }
        }
    }

    fn take(&mut self, mut bytes: Bytes) -> Result<()> {
        if bytes.len() as u64 > self.left {
            if self.is_last {
                return Err(too_long(&self.context, self.size));
            }
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left -= bytes.len() as u64;
        if self.left == 0 && self.is_last && !bytes.is_empty() {
            let rest = bytes.len().saturating_sub(PIECE);
            self.waiting = bytes.split_to(rest);
            self.held = bytes;
        } else {
            self.waiting = bytes;
        }
        Ok(())
    }
}

impl Stream for Content {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.poll_piece(task);
        let all_given = self.left == 0 && self.waiting.is_empty() && self.held.is_empty();
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
            Poll::Ready(Some(Err(error))) => {
                // The connection only has to know that there is no more; the caller gets the error itself.
                self.meter.fail(error);
                Poll::Ready(Some(Err(std::io::Error::other("the source failed"))))
            }
            Poll::Ready(None) => {
                self.meter.note(Waiting::Answer, 0);
                Poll::Ready(None)
            }
        }
    }
}

async fn next_content(stream: &mut ByteStream) -> Result<Option<Bytes>> {
    while let Some(bytes) = stream.try_next().await? {
        if !bytes.is_empty() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn too_long(context: &Context, size: u64) -> Error {
    context.error(ErrorKind::Invalid).because(format!("the source has more than its stated {size} bytes"))
}
