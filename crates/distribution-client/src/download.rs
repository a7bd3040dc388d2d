//! Reading blobs: their sizes, ranges, and content, resumed where a connection broke, large ones in parallel.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http_transfer::{
    Answer, BodyFault, Method, Opened, RangeAnswer, RangeBody, RangeSource, Received, ResumingRead,
    StatusCode, Url, parse_content_range, parse_digits, range_header, without_query,
};
use oci_model::Digest;
use registry_backend::{BlobRead, Error, ErrorKind, Result, Retry};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use crate::context::{Context, Failures};
use crate::profile::Segments;
use crate::registry::{Call, SMALL_ANSWER, Sent};
use crate::repository::{Doing, Repository};

/// The most bytes of a blob without a stated size that are held in memory to find its end.
const UNSIZED_BYTES: u64 = 8 * 1024 * 1024;

impl Repository {
    /// Returns the size of a blob in bytes, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If the registry cannot be asked.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let context = self.context("find blob", digest);
        let call = self.call(Method::HEAD, format_args!("blobs/{digest}"), Doing::Read, &context)?;
        let answer = self.registry().exchange(&call, Sent::Nothing, SMALL_ANSWER, &context).await;
        let answer = match answer {
            // A signed link is for GET: GHCR's refuse HEAD (stargz-snapshotter issue 167).
            Ok(answer) if !self.registry().is_own(&answer.url) && !answer.status.is_success() => {
                return self.size_by_reading(digest, &context).await;
            }
            answer => answer?,
        };
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if refuses_head(answer.status) {
            return self.size_by_reading(digest, &context).await;
        }
        let answer = self.registry().expect(answer, &[StatusCode::OK], &context)?;
        match answer.header(CONTENT_LENGTH.as_str()).and_then(parse_digits) {
            Some(size) => {
                self.remember(digest);
                Ok(Some(size))
            }
            None => self.size_by_reading(digest, &context).await,
        }
    }

    /// Finds the size by reading the first byte.
    pub(crate) async fn size_by_reading(&self, digest: &Digest, context: &Context) -> Result<Option<u64>> {
        let call = self.blob_call(digest, context)?.with_header(RANGE, range_header(0, Some(1)));
        let received = self.registry().retries().retry(|| self.open_once(&call, context)).await?;
        let incoming = &received.incoming;
        let size = match incoming.status {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::PARTIAL_CONTENT => incoming
                .header(CONTENT_RANGE.as_str())
                .and_then(parse_content_range)
                .and_then(|range| range.complete),
            StatusCode::OK => incoming.header(CONTENT_LENGTH.as_str()).and_then(parse_digits),
            // Only an empty blob has no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE => Some(0),
            _ => {
                let answer = self.registry().whole(received, SMALL_ANSWER, context).await?;
                return Err(self.registry().error(&answer, context));
            }
        };
        self.remember(digest);
        match size {
            Some(size) => Ok(Some(size)),
            None => self.size_by_reading_all(received, context).await.map(Some),
        }
    }

    /// Reads a whole blob whose size the registry does not state, as far as memory for it is allowed.
    async fn size_by_reading_all(&self, received: Received, context: &Context) -> Result<u64> {
        if received.incoming.status != StatusCode::OK {
            return Err(unknown_size(context));
        }
        let (body, is_whole) =
            received.released().collect(UNSIZED_BYTES).await.map_err(|error| context.transfer(error))?;
        if is_whole { Ok(body.len() as u64) } else { Err(unknown_size(context)) }
    }

    fn blob_call(&self, digest: &Digest, context: &Context) -> Result<Call> {
        self.call(Method::GET, format_args!("blobs/{digest}"), Doing::Read, context).map(Call::moving_content)
    }

    /// Opens a blob, or a range of its bytes, for reading. The read resumes where a connection breaks.
    ///
    /// # Errors
    ///
    /// As [`read_blob`](registry_backend::RegistryBackend::read_blob) states.
    pub async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        let context = self.context("read blob", digest);
        if range.as_ref().is_some_and(|range| range.start >= range.end) {
            return self.read_nothing(digest, range.unwrap_or_default(), &context).await;
        }
        let mut part = BlobPart::new(self.clone(), digest.clone(), context.clone());
        let segments = self.profile().segments;
        // The start of a blob of unknown size: as much as a segment has, which is the whole of most blobs.
        let (first, last) = match (&range, segments) {
            (Some(range), _) => (range.start, Some(range.end)),
            (None, Some(segments)) if self.profile().capabilities.range_reads => (0, Some(segments.bytes)),
            (None, _) => (0, None),
        };
        let mut body = match part.open_first(first, last).await? {
            Opened::Bytes(body) => body,
            // No bytes lie there: an empty blob, or a range outside.
            Opened::End(size) => {
                let range = range.unwrap_or_default();
                if range.start != range.end || range.end > size {
                    return Err(outside(&range, size, &context));
                }
                return Ok(BlobRead { range, blob_size: size, stream: stream::empty().boxed() });
            }
        };
        let size = match body.size {
            Some(size) => size,
            None => part.find_size(&mut body).await?,
        };
        let is_whole = body.incoming.status == StatusCode::OK;
        let range = match range {
            Some(range) if range.end > size => return Err(outside(&range, size, &context)),
            Some(range) if !is_whole => range,
            _ => 0..size,
        };
        let stream = part.stream(body, range.clone(), segments);
        Ok(BlobRead { range, blob_size: size, stream })
    }

    /// Answers a request for an empty range, which HTTP cannot express.
    async fn read_nothing(&self, digest: &Digest, range: Range<u64>, context: &Context) -> Result<BlobRead> {
        let size = self.stat_blob(digest).await?;
        let size = size.ok_or_else(|| context.error(ErrorKind::NotFound))?;
        if range.start != range.end || range.end > size {
            return Err(outside(&range, size, context));
        }
        Ok(BlobRead { range, blob_size: size, stream: stream::empty().boxed() })
    }

    /// Sends a request for content. Failures that another try may overcome are errors.
    async fn open_once(&self, call: &Call, context: &Context) -> Result<Received> {
        let received = self.registry().send(call, Sent::Nothing, context).await?;
        let status = received.incoming.status;
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(received);
        }
        let is_own = self.registry().is_own(&received.url);
        if is_own && status == StatusCode::NOT_FOUND {
            return Ok(received);
        }
        let answer: Answer = self.registry().whole(received, SMALL_ANSWER, context).await?;
        let error = self.registry().error(&answer, context);
        Err(if is_own { error } else { error.with_retry(Retry::Yes) })
    }
}

/// Tells whether a server does not allow `HEAD`, though it may allow `GET`.
pub(crate) fn refuses_head(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 405 | 501)
}

/// A blob whose bytes are read in one or more ranges.
struct BlobPart {
    repository: Repository,
    digest: Digest,
    context: Context,
    /// The place to which the registry redirected last. Further ranges ask there while the signed link holds.
    link: Arc<Mutex<Option<Url>>>,
    /// Whether ranges are asked for.
    by_range: bool,
    failures: Failures,
}

impl RangeSource for BlobPart {
    type Error = Error;

    // The digest guards the bytes.
    const OVERLAP: usize = 0;

    // A registry that sends less than this per connection is not worth going on with.
    const PROGRESS: u64 = 64 * 1024;

    async fn open(&mut self, start: u64, end: Option<u64>) -> Result<Opened> {
        loop {
            // A range is refused once at most: after that, none is asked for.
            match self.open_once(start, end).await? {
                Some(opened) => return Ok(opened),
                None => self.by_range = false,
            }
        }
    }

    fn fault(&self, fault: BodyFault) -> Error {
        match fault {
            BodyFault::Transfer(error) => self.context.transfer(error),
            BodyFault::TooShort { at, .. } => {
                let error = self.context.error(ErrorKind::Unavailable);
                error.because(format!("the answer ends early, after byte {at}")).with_retry(Retry::Yes)
            }
            _ => self.context.protocol("the registry sends more bytes than it announced"),
        }
    }

    async fn recover(&mut self, error: Error) -> Result<()> {
        self.failures.wait_after(error).await
    }

    fn progressed(&mut self) {
        self.failures.forget();
    }
}

impl BlobPart {
    fn new(repository: Repository, digest: Digest, context: Context) -> Self {
        let failures = repository.registry().failures();
        Self { repository, digest, context, link: Arc::default(), by_range: true, failures }
    }

    /// Returns the same blob for another range, with the same link.
    fn again(&self) -> Self {
        let new = Self::new(self.repository.clone(), self.digest.clone(), self.context.clone());
        Self { link: self.link.clone(), by_range: self.by_range, ..new }
    }

    /// As [`open`](RangeSource::open), until it succeeds or fails for good.
    async fn open_first(&mut self, start: u64, end: Option<u64>) -> Result<Opened> {
        loop {
            match self.open(start, end).await {
                Ok(opened) => return Ok(opened),
                Err(error) => self.failures.wait_after(error).await?,
            }
        }
    }

    /// Asks for bytes; `None` if the registry refuses a range that it should have.
    async fn open_once(&self, start: u64, end: Option<u64>) -> Result<Option<Opened>> {
        let context = &self.context;
        let mut call = self.repository.blob_call(&self.digest, context)?;
        let link = self.link().clone();
        if let Some(link) = &link {
            call.request.url = link.clone();
        }
        let asked = self.by_range && (start > 0 || end.is_some());
        if asked {
            call = call.with_header(RANGE, range_header(start, end));
        }
        let received = match self.repository.open_once(&call, context).await {
            Ok(received) => received,
            Err(error) => {
                *self.link() = None;
                // An expired link is not a failure of the registry.
                return Err(if link.is_some() { error.with_retry(Retry::Yes) } else { error });
            }
        };
        let url = received.url.clone();
        if !self.repository.registry().is_own(&url) {
            *self.link() = Some(url.clone());
        }
        match RangeAnswer::new(received.released(), start, asked) {
            RangeAnswer::Bytes(body) => {
                // Storage may label a compressed blob. An encoding without a length changes the bytes on the way.
                if let (Some(encoding), None) = (body.incoming.encoding(), body.size) {
                    let place = without_query(&url);
                    let reason = format!(
                        "the answer from {place} has the content encoding {encoding}, which was not asked for: \
                         a proxy may add it"
                    );
                    return Err(context.protocol(reason));
                }
                Ok(Some(Opened::Bytes(body)))
            }
            RangeAnswer::Nothing(Some(size)) if size <= start => Ok(Some(Opened::End(size))),
            RangeAnswer::Nothing(_) => Ok(None),
            RangeAnswer::Misfit(_) => {
                Err(context.protocol("the registry sends another range than requested"))
            }
            RangeAnswer::Other(incoming) if incoming.status == StatusCode::NOT_FOUND => {
                Err(context.error(ErrorKind::NotFound))
            }
            RangeAnswer::Other(incoming) => {
                let status = incoming.status.as_u16();
                Err(context.protocol(format!("the registry answers {status} to a request for a blob")))
            }
        }
    }

    /// Finds the size of a blob that comes without one: from a short body, or by asking again.
    async fn find_size(&self, body: &mut RangeBody) -> Result<u64> {
        if body.incoming.status == StatusCode::OK {
            let mut start = BytesMut::new();
            while let Some(bytes) =
                body.incoming.next().await.map_err(|error| self.context.transfer(error))?
            {
                start.extend_from_slice(&bytes);
                if start.len() as u64 > UNSIZED_BYTES {
                    break;
                }
            }
            let read = start.len() as u64;
            body.peeked = start.freeze();
            if read <= UNSIZED_BYTES {
                return Ok(read);
            }
        }
        match self.repository.stat_blob(&self.digest).await? {
            Some(size) if size >= body.peeked.len() as u64 => Ok(size),
            _ => Err(unknown_size(&self.context)),
        }
    }

    /// Returns the bytes of a range. An answer brings the first of them.
    fn stream(
        self,
        body: RangeBody,
        range: Range<u64>,
        segments: Option<Segments>,
    ) -> BoxStream<'static, Result<Bytes>> {
        let first_end = body.end.unwrap_or(range.end).min(range.end);
        let rest = first_end..range.end;
        let is_partial = body.incoming.status == StatusCode::PARTIAL_CONTENT;
        let parallel = segments.filter(|segments| {
            is_partial && segments.parallel > 1 && rest.end - rest.start >= segments.from_bytes
        });
        let next = self.again();
        let first = ResumingRead::new(self, range.start, Some(first_end), Some(body)).into_stream();
        if rest.is_empty() {
            return first;
        }
        let rest = match parallel {
            None => ResumingRead::new(next, rest.start, Some(rest.end), None).into_stream(),
            Some(Segments { bytes, parallel, .. }) => stream::iter(cut(rest, bytes))
                .map(move |segment| {
                    ResumingRead::new(next.again(), segment.start, Some(segment.end), None)
                        .into_stream()
                        .try_collect::<Vec<Bytes>>()
                })
                .buffered(parallel)
                .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)))
                .try_flatten()
                .boxed(),
        };
        first.chain(rest).boxed()
    }

    fn link(&self) -> MutexGuard<'_, Option<Url>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a range into pieces of this size.
fn cut(range: Range<u64>, bytes: u64) -> impl Iterator<Item = Range<u64>> + Send {
    let step = bytes.max(1);
    let mut next = range.start;
    std::iter::from_fn(move || {
        let start = next;
        next = start.saturating_add(step).min(range.end);
        (start < range.end).then_some(start..next)
    })
}

fn outside(range: &Range<u64>, size: u64, context: &Context) -> Error {
    let reason = format!("bytes {} to {} do not lie within its {size} bytes", range.start, range.end);
    context.error(ErrorKind::Invalid).because(reason)
}

fn unknown_size(context: &Context) -> Error {
    context.protocol("the registry does not state the blob's size")
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn pieces_cover_the_range(start in 0_u64..100, length in 0_u64..100, bytes in 0_u64..30) {
            let range = start..start + length;
            let mut next = range.start;
            for piece in cut(range.clone(), bytes) {
                proptest::prop_assert_eq!(piece.start, next);
                proptest::prop_assert!(piece.end > piece.start && piece.end - piece.start <= bytes.max(1));
                next = piece.end;
            }
            proptest::prop_assert_eq!(next, range.end.max(range.start));
        }
    }
}
