//! Answers: the head, and the body as it arrives under time limits.

use std::io::Read as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{StatusCode, Url};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::error::{Awaited, TransferError};
use crate::headers::header;

/// The least number of bytes that an answer has to bring while its reader waits [`PACE_LIMITS`] times the limit for
/// silence: with the usual limit of a minute, 64 KiB in five minutes. A server that sends a byte from time to time is
/// not silent, but such an answer would not end in a lifetime.
const LEAST_BYTES: u64 = 64 * 1024;

/// The length of the time in which [`LEAST_BYTES`] have to come, in limits for silence.
const PACE_LIMITS: u32 = 5;

/// The head of an answer, and its body as it arrives.
#[derive(Debug)]
pub struct Incoming {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    silence: Duration,
    waited: Duration,
    received: u64,
}

/// An answer with the place that gave it. It counts as a request in flight until it is dropped or released.
#[derive(Debug)]
pub struct Received {
    /// The answer.
    pub incoming: Incoming,
    /// The URL that gave it, after redirects.
    pub url: Url,
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or its start if it was larger than allowed.
    pub body: Bytes,
    /// Whether the body is complete.
    pub is_whole: bool,
    /// The URL that gave it, after redirects.
    pub url: Url,
}

impl Incoming {
    pub(crate) fn new(response: reqwest::Response, silence: Duration) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            response,
            silence,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// Returns the next bytes of the body, `None` at its end.
    ///
    /// # Errors
    ///
    /// If the connection breaks, nothing comes within the time limit, or hardly anything for a long time.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TransferError> {
        let start = Instant::now();
        let chunk = match tokio::time::timeout(self.silence, self.response.chunk()).await {
            Ok(chunk) => chunk?,
            Err(_) => return Err(TransferError::Timeout { awaited: Awaited::Body, limit: self.silence }),
        };
        if let Some(chunk) = &chunk {
            self.check_pace(start.elapsed(), chunk.len() as u64)?;
        }
        Ok(chunk)
    }

    /// Counts only the time in which the reader waited: how long it takes for the bytes is its own business.
    fn check_pace(&mut self, waited: Duration, received: u64) -> Result<(), TransferError> {
        self.waited = self.waited.saturating_add(waited);
        self.received = self.received.saturating_add(received);
        let limit = self.silence.saturating_mul(PACE_LIMITS);
        if self.waited < limit {
            return Ok(());
        }
        if self.received < LEAST_BYTES {
            return Err(TransferError::Timeout { awaited: Awaited::Rate, limit });
        }
        (self.waited, self.received) = (Duration::ZERO, 0);
        Ok(())
    }

    /// Returns the body and `true` if it has at most `limit` bytes, else its start, which is longer than `limit`, and
    /// `false`. A gzip encoding that a proxy added is undone.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next); if the encoding cannot be undone.
    pub async fn collect(&mut self, limit: u64) -> Result<(Bytes, bool), TransferError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > limit {
                return Ok((body.freeze(), false));
            }
        }
        match self.encoding() {
            Some(encoding) if encoding.ends_with("gzip") && body.starts_with(&[0x1f, 0x8b]) => {
                let mut decoded = Vec::new();
                let mut decoder = flate2::read::MultiGzDecoder::new(&body[..]).take(limit.saturating_add(1));
                decoder
                    .read_to_end(&mut decoded)
                    .map_err(|_| TransferError::Encoding(encoding.to_owned()))?;
                let is_whole = decoded.len() as u64 <= limit;
                Ok((decoded.into(), is_whole))
            }
            Some(encoding) if !encoding.ends_with("gzip") && !body.is_empty() => {
                Err(TransferError::Encoding(encoding.to_owned()))
            }
            _ => Ok((body.freeze(), true)),
        }
    }

    /// Returns the `Content-Encoding`, unless it is `identity`.
    #[must_use]
    pub fn encoding(&self) -> Option<&str> {
        self.header(CONTENT_ENCODING.as_str()).filter(|text| !matches!(*text, "" | "identity"))
    }

    /// Returns a header's text, as [`header`] does.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Received {
    /// Returns the answer, which no longer counts as a request in flight.
    #[must_use]
    pub fn released(self) -> Incoming {
        self.incoming
    }

    /// Reads the body: at most `limit` bytes of a success, and `error_limit` of anything else.
    ///
    /// # Errors
    ///
    /// As [`Incoming::collect`].
    pub async fn whole(mut self, limit: u64, error_limit: u64) -> Result<Answer, TransferError> {
        let limit = if self.incoming.status.is_success() { limit } else { error_limit };
        let (body, is_whole) = self.incoming.collect(limit).await?;
        let Incoming { status, headers, .. } = self.incoming;
        Ok(Answer { status, headers, body, is_whole, url: self.url })
    }
}

impl Answer {
    /// Returns a header's text, as [`header`] does.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}
