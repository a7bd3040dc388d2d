//! One range of a blob, read to its end over as many connections as it takes.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http_transfer::{parse_content_range, parse_unsatisfied_range};
use oci_model::Digest;
use registry_backend::{Error, Result, Retry};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode, Url};

use crate::context::Context;
use crate::registry::{Call, Received};
use crate::repository::{Doing, Repository};
use crate::retry::{count_failures, with_retries};

/// What it takes to read ranges of one blob.
#[derive(Clone, Debug)]
pub(super) struct Part {
    repository: Repository,
    digest: Digest,
    context: Context,
    /// Where the registry redirected to last: further ranges ask there, as long as the signed link holds.
    link: Arc<Mutex<Option<Url>>>,
}

/// An answer that brings bytes of a blob.
#[derive(Debug)]
pub(super) struct Opened {
    received: Received,
    /// The bytes that come.
    pub(super) range: Range<u64>,
    /// The size of the blob.
    pub(super) size: u64,
    /// Whether a range was asked for and the registry sends everything.
    pub(super) is_unranged: bool,
}

impl Part {
    pub(super) fn new(repository: Repository, digest: Digest, context: Context) -> Self {
        Self { repository, digest, context, link: Arc::default() }
    }

    /// Asks for the bytes from `start` to `end` or to the blob's end; `None` if there are none.
    pub(super) async fn open(&self, start: u64, end: Option<u64>) -> Result<Option<Opened>> {
        with_retries(self.repository.rules(), || self.open_once(start, end)).await
    }

    /// Reads a range as a stream, beginning with an answer that was opened for its start.
    pub(super) fn read(self, range: Range<u64>, opened: Option<Opened>) -> BoxStream<'static, Result<Bytes>> {
        let reading =
            Reading { part: self, next: range.start, end: range.end, opened, failed: 0, since_failure: 0 };
        stream::try_unfold(reading, Reading::step).boxed()
    }

    /// Reads a range into memory.
    pub(super) async fn collect(self, range: Range<u64>) -> Result<Vec<Bytes>> {
        self.read(range, None).try_collect().await
    }

    async fn open_once(&self, start: u64, end: Option<u64>) -> Result<Option<Opened>> {
        let context = &self.context;
        let mut call =
            self.repository.call(Method::GET, format_args!("blobs/{}", self.digest), Doing::Read, context)?;
        let link = self.link().clone();
        if let Some(link) = &link {
            call.url = link.clone();
        }
        if start > 0 || end.is_some() {
            call = call.with_header(RANGE, range_header(start, end));
        }
        let received = match self.repository.open_once(&call, context).await {
            Ok(received) => received,
            Err(error) => {
                *self.link() = None;
                // A link that no longer holds is no failure of the registry.
                return Err(if link.is_some() { error.with_retry(Retry::Yes) } else { error });
            }
        };
        if !self.repository.registry().is_own(&received.url) {
            *self.link() = Some(received.url.clone());
        }
        self.opened(received, &call, start, end)
    }

    fn opened(
        &self,
        received: Received,
        call: &Call,
        start: u64,
        end: Option<u64>,
    ) -> Result<Option<Opened>> {
        let context = &self.context;
        let incoming = &received.incoming;
        let length = || incoming.header(CONTENT_LENGTH.as_str()).and_then(|value| value.trim().parse().ok());
        match incoming.status {
            StatusCode::NOT_FOUND => Err(context.error(registry_backend::ErrorKind::NotFound)),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let size = incoming.header(CONTENT_RANGE.as_str()).and_then(parse_unsatisfied_range);
                match size {
                    Some(size) if size > start => {
                        Err(context.protocol("the registry refuses a range that lies within the blob"))
                    }
                    _ => Ok(None),
                }
            }
            StatusCode::PARTIAL_CONTENT => {
                let content = incoming.header(CONTENT_RANGE.as_str()).and_then(parse_content_range);
                let content =
                    content.ok_or_else(|| context.protocol("the registry does not say which range comes"))?;
                let size = content
                    .complete
                    .ok_or_else(|| context.protocol("the registry does not say how large the blob is"))?;
                let fits = content.range.start == start
                    && end.is_none_or(|end| content.range.end <= end)
                    && call.headers.contains_key(RANGE);
                if !fits {
                    return Err(context.protocol("the registry sends another range than was asked for"));
                }
                Ok(Some(Opened { received, range: content.range, size, is_unranged: false }))
            }
            _ => {
                let size: u64 = length()
                    .ok_or_else(|| context.protocol("the registry does not say how large the blob is"))?;
                let is_unranged = call.headers.contains_key(RANGE);
                Ok(Some(Opened { received, range: 0..size, size, is_unranged }))
            }
        }
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Option<Url>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range_header(start: u64, end: Option<u64>) -> HeaderValue {
    let text = match end {
        Some(end) => format!("bytes={start}-{}", end.saturating_sub(1)),
        None => format!("bytes={start}-"),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

/// How far the reading of a part is.
struct Reading {
    part: Part,
    next: u64,
    end: u64,
    opened: Option<Opened>,
    failed: u32,
    since_failure: u64,
}

/// The bytes after which failures are forgiven: a registry that sends less per connection is not worth going on with.
const PROGRESS: u64 = 64 * 1024;

impl Reading {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>> {
        let rules = self.part.repository.rules().clone();
        let mut failures = count_failures(&rules).with_count(self.failed);
        while self.next < self.end {
            match self.piece().await {
                Ok(Some(piece)) => {
                    self.next += piece.len() as u64;
                    self.since_failure += piece.len() as u64;
                    if self.since_failure >= PROGRESS {
                        self.failed = 0;
                    }
                    return Ok(Some((piece, self)));
                }
                Ok(None) => self.opened = None,
                Err(error) => {
                    self.opened = None;
                    failures.wait_after(error).await?;
                    self.failed = failures.count();
                    self.since_failure = 0;
                }
            }
        }
        Ok(None)
    }

    /// Returns the next bytes, `None` at the end of what the answer announced.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.opened.is_none() {
            self.opened = self.part.open_once(self.next, Some(self.end)).await?;
        }
        let context = &self.part.context;
        let Some(opened) = &mut self.opened else {
            return Err(context.protocol("the blob is smaller than it was before"));
        };
        loop {
            let Some(mut piece) =
                opened.received.incoming.next().await.map_err(|error| context.transfer(error))?
            else {
                return if opened.range.start < opened.range.end {
                    Err(cut_short(context))
                } else {
                    Ok(None)
                };
            };
            let length = piece.len() as u64;
            if length > opened.range.end - opened.range.start {
                return Err(context.protocol("more bytes come than were announced"));
            }
            let start = opened.range.start;
            opened.range.start += length;
            // A registry without ranges sends everything again: what was read before is skipped.
            let skip = self.next.saturating_sub(start).min(length);
            let wanted = self.end.saturating_sub(start).min(length);
            piece.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
            let piece =
                piece.split_off(usize::try_from(skip.min(wanted)).unwrap_or(usize::MAX).min(piece.len()));
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}

fn cut_short(context: &Context) -> Error {
    let error = context.error(registry_backend::ErrorKind::Unavailable);
    error.because("the answer ends early").with_retry(Retry::Yes)
}
