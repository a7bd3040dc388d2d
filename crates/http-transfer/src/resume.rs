//! Reading a body to its end over as many answers as it takes.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue};

use crate::error::TransferError;
use crate::headers::{parse_content_range, parse_digits, parse_unsatisfied_range};
use crate::incoming::Incoming;

/// An answer that brings bytes of a whole.
#[derive(Debug)]
pub struct RangeBody {
    /// The answer.
    pub incoming: Incoming,
    /// Bytes of the body that were read before.
    pub peeked: Bytes,
    /// The place of the next byte in the whole.
    pub position: u64,
    /// The place behind the last byte, if stated.
    pub end: Option<u64>,
    /// The size of the whole in bytes, if stated.
    pub size: Option<u64>,
}

/// The meaning of an answer to a request for bytes.
#[derive(Debug)]
pub enum RangeAnswer {
    /// Bytes come, from the place that was asked for or an earlier one.
    Bytes(RangeBody),
    /// No bytes lie there (status 416). The size of the whole in bytes, if stated.
    Nothing(Option<u64>),
    /// The server sends another range than was asked for, or does not say which.
    Misfit(Incoming),
    /// Anything else.
    Other(Incoming),
}

impl RangeAnswer {
    /// Reads the head of an answer to a request for the bytes from `start` on. `asked` tells whether the request had
    /// a `Range`.
    #[must_use]
    pub fn new(incoming: Incoming, start: u64, asked: bool) -> Self {
        let content_range = incoming.header(CONTENT_RANGE.as_str());
        match incoming.status {
            StatusCode::OK => {
                let size = incoming.header(CONTENT_LENGTH.as_str()).and_then(parse_digits);
                let body = RangeBody { incoming, peeked: Bytes::new(), position: 0, end: size, size };
                Self::Bytes(body)
            }
            StatusCode::PARTIAL_CONTENT => match content_range.and_then(parse_content_range) {
                Some(stated) if asked && stated.range.start <= start && start < stated.range.end => {
                    Self::Bytes(RangeBody {
                        incoming,
                        peeked: Bytes::new(),
                        position: stated.range.start,
                        end: Some(stated.range.end),
                        size: stated.complete,
                    })
                }
                _ => Self::Misfit(incoming),
            },
            StatusCode::RANGE_NOT_SATISFIABLE if asked => {
                Self::Nothing(content_range.and_then(parse_unsatisfied_range))
            }
            _ => Self::Other(incoming),
        }
    }
}

impl RangeBody {
    async fn next(&mut self) -> Result<Option<Bytes>, TransferError> {
        let bytes = if self.peeked.is_empty() {
            match self.incoming.next().await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            }
        } else {
            std::mem::take(&mut self.peeked)
        };
        self.position = self.position.saturating_add(bytes.len() as u64);
        Ok(Some(bytes))
    }
}

/// The result of opening a whole at some place.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every value is a body, and none is kept")]
pub enum Opened {
    /// Bytes come.
    Bytes(RangeBody),
    /// No bytes come: the whole has this size.
    End(u64),
}

/// Says what is wrong with the bytes of an answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyFault {
    /// The transfer failed.
    Transfer(TransferError),
    /// More bytes came than were announced or can be.
    TooLong,
    /// The bytes differ from those that the same places had before.
    Changed,
    /// The answer ended after this place of the whole, before its end.
    TooShort {
        /// The place behind the last byte that came.
        at: u64,
        /// The end of the range that is read, if known.
        end: Option<u64>,
    },
}

/// A whole whose bytes can be asked for from any place on.
pub trait RangeSource: Send {
    /// The client's error.
    type Error: Send;

    /// How many of the last bytes before a break are read again and compared. 0 where a digest guards the bytes.
    const OVERLAP: usize;

    /// How many bytes make up for the failures before them.
    const PROGRESS: u64;

    /// Asks once for the bytes from `start` on, to `end` if it is known.
    fn open(
        &mut self,
        start: u64,
        end: Option<u64>,
    ) -> impl Future<Output = Result<Opened, Self::Error>> + Send;

    /// Returns the client's error for a fault of the answer that was opened last.
    fn fault(&self, fault: BodyFault) -> Self::Error;

    /// Takes note of a failure and waits until it makes sense to open again, perhaps somewhere else.
    ///
    /// # Errors
    ///
    /// The error to report, if it makes no sense.
    fn recover(&mut self, error: Self::Error) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Takes note that there was progress since the last failure.
    fn progressed(&mut self);

    /// Takes note of bytes that are handed on, the last of them before place `next`.
    ///
    /// # Errors
    ///
    /// If the caller wants no more of them.
    fn received(&mut self, bytes: u64, next: u64) -> Result<(), Self::Error> {
        let _ = (bytes, next);
        Ok(())
    }
}

/// A read that resumes where its connection broke.
///
/// Where a server ignores `Range` and sends everything again, the bytes that are known are skipped.
#[derive(Debug)]
pub struct ResumingRead<S> {
    source: S,
    next: u64,
    end: Option<u64>,
    body: Option<RangeBody>,
    /// The place of the next byte when the current answer was opened.
    opened_at: u64,
    /// The last bytes that were handed on.
    tail: Vec<u8>,
    since_failure: u64,
}

impl<S: RangeSource + 'static> ResumingRead<S> {
    /// Reads from `start` to `end`, or to the end of the whole, beginning with an answer that was opened for `start`.
    #[must_use]
    pub fn new(source: S, start: u64, end: Option<u64>, opened: Option<RangeBody>) -> Self {
        let end = end.or(opened.as_ref().and_then(|body| body.size));
        Self { source, next: start, end, body: opened, opened_at: start, tail: Vec::new(), since_failure: 0 }
    }

    /// Returns the bytes as a stream. It ends without an error only when all bytes have come.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, S::Error>> {
        stream::try_unfold(self, Self::step).boxed()
    }

    async fn step(mut self) -> Result<Option<(Bytes, Self)>, S::Error> {
        loop {
            if self.body.is_none() && self.is_complete() {
                return Ok(None);
            }
            match self.piece().await {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => {
                    self.hand_on(&bytes)?;
                    return Ok(Some((bytes, self)));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.body = None;
                    self.since_failure = 0;
                    self.source.recover(error).await?;
                }
            }
        }
    }

    /// Returns the next new bytes, or none of them if there is more to ask for; `None` at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, S::Error> {
        if self.body.is_none() {
            self.opened_at = self.next;
            let start = self.next.saturating_sub(self.tail.len() as u64);
            match self.source.open(start, self.end).await? {
                Opened::Bytes(body) => {
                    self.end = self.end.or(body.size);
                    self.body = Some(body);
                }
                Opened::End(size) if size == self.next && self.end.is_none_or(|end| end == size) => {
                    self.end = Some(size);
                    return Ok(None);
                }
                Opened::End(size) => {
                    return Err(self.source.fault(BodyFault::TooShort { at: size, end: self.end }));
                }
            }
        }
        let Some(body) = &mut self.body else { return Ok(Some(Bytes::new())) };
        let start = body.position;
        let read = body.next().await.map_err(|error| self.source.fault(BodyFault::Transfer(error)))?;
        let Some(mut bytes) = read else { return self.end_of_answer() };
        if body.end.is_some_and(|end| body.position > end) {
            return Err(self.source.fault(BodyFault::TooLong));
        }
        if let Some(end) = self.end.filter(|end| body.position > *end) {
            // An answer may announce more than is read: the whole instead of a range.
            if body.end.is_none_or(|announced| announced <= end) {
                return Err(self.source.fault(BodyFault::TooLong));
            }
            bytes.truncate(usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX));
        }
        if !is_repetition(&bytes, start, &self.tail, self.next) {
            return Err(self.source.fault(BodyFault::Changed));
        }
        let known = usize::try_from(self.next.saturating_sub(start)).unwrap_or(usize::MAX);
        let new = bytes.slice(known.min(bytes.len())..);
        if self.end.is_some_and(|end| self.next.saturating_add(new.len() as u64) >= end)
            && body.end.is_some_and(|announced| self.end.is_some_and(|end| announced > end))
        {
            // The rest of the answer is not wanted.
            self.body = None;
        }
        Ok(Some(new))
    }

    /// Decides what the end of an answer means: the end of the whole, or that there is more to ask for.
    fn end_of_answer(&mut self) -> Result<Option<Bytes>, S::Error> {
        let Some(body) = self.body.take() else { return Ok(None) };
        if self.is_complete() {
            return Ok(None);
        }
        let is_cut = body.end.is_some_and(|end| body.position < end);
        if self.end.is_none() && !is_cut {
            self.end = Some(self.next);
            return Ok(None);
        }
        if !is_cut && body.end.is_some() && self.next > self.opened_at {
            // A server that sends less than was asked for: the rest is in the next answer.
            return Ok(Some(Bytes::new()));
        }
        Err(self.source.fault(BodyFault::TooShort { at: self.next, end: self.end }))
    }

    fn hand_on(&mut self, bytes: &Bytes) -> Result<(), S::Error> {
        let length = bytes.len() as u64;
        self.next = self.next.saturating_add(length);
        self.since_failure = self.since_failure.saturating_add(length);
        if self.since_failure >= S::PROGRESS {
            self.source.progressed();
        }
        if S::OVERLAP > 0 {
            let last = bytes.get(bytes.len().saturating_sub(S::OVERLAP)..).unwrap_or_default();
            self.tail.extend_from_slice(last);
            self.tail.drain(..self.tail.len().saturating_sub(S::OVERLAP));
        }
        self.source.received(length, self.next)
    }

    fn is_complete(&self) -> bool {
        self.end == Some(self.next)
    }
}

/// Returns the `Range` for the bytes from `start` on, to `end` if it is given (RFC 9110 section 14.2).
#[must_use]
pub fn range_header(start: u64, end: Option<u64>) -> HeaderValue {
    let text = match end {
        Some(end) => format!("bytes={start}-{}", end.saturating_sub(1)),
        None => format!("bytes={start}-"),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

/// Tells whether the bytes from `start` on repeat those that were handed on last, as far as both overlap.
fn is_repetition(bytes: &[u8], start: u64, tail: &[u8], next: u64) -> bool {
    let tail_start = next.saturating_sub(tail.len() as u64);
    let place = |distance: u64| usize::try_from(distance).unwrap_or(usize::MAX);
    let repeated = bytes.iter().skip(place(tail_start.saturating_sub(start)));
    let known = tail.iter().skip(place(start.saturating_sub(tail_start)));
    repeated.zip(known).all(|(repeated, known)| repeated == known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written() {
        assert_eq!(range_header(5, Some(10)), "bytes=5-9");
        assert_eq!(range_header(5, None), "bytes=5-");
    }

    proptest::proptest! {
        #[test]
        fn overlaps_are_compared(
            known in proptest::collection::vec(0_u8..3, 0..40),
            tail_length in 0_usize..20,
            start in 0_usize..50,
            bytes in proptest::collection::vec(0_u8..3, 0..40),
        ) {
            let tail = &known[known.len().saturating_sub(tail_length)..];
            let tail_start = known.len() - tail.len();
            let expected = (0..bytes.len()).all(|place| {
                let place_in_whole = start + place;
                place_in_whole < tail_start
                    || place_in_whole >= known.len()
                    || known[place_in_whole] == bytes[place]
            });
            let found = is_repetition(&bytes, start as u64, tail, known.len() as u64);
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
