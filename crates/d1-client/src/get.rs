//! Reading an object: a stream that finishes though connections break and nodes fail.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use d1_model::{Identifier, looks_like_error};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_transfer::{
    BodyFault, Incoming, Method, Opened, RangeAnswer, RangeBody, RangeSource, Received, ResumingRead,
    StatusCode, looks_like_html, range_header,
};
use reqwest::header::{CONTENT_TYPE, RANGE};

use crate::client::NodeClient;
use crate::error::{Context, Error, ErrorKind, Result, Retry};
use crate::exchange::{Failures, LARGEST_ERROR};
use crate::options::Progress;
use crate::refusal::refusal_in_success;

/// How many bytes tell whether an answer is a DataONE error.
const PEEK: usize = 4096;

/// How long a failing node is asked again before the read goes on at the next location.
const PATIENCE_BEFORE_NEXT: Duration = Duration::from_secs(10);

/// Says how an object is read; the default reads all of it.
///
/// ```
/// use d1_client::GetOptions;
///
/// let second_half = GetOptions { from: 500, size: Some(1000) };
/// # let _ = second_half;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// The place of the first wanted byte.
    pub from: u64,
    /// The size of the whole object, if system metadata state it. Another size is an error.
    pub size: Option<u64>,
}

/// An object that is being read.
pub struct ObjectRead {
    /// The place of the first byte of the stream.
    pub start: u64,
    /// The size of the whole object, if the caller or the node stated it.
    pub size: Option<u64>,
    /// The media type under which the node sends it.
    pub media_type: Option<String>,
    /// The bytes. A stream that ends without an error has all of them.
    pub stream: BoxStream<'static, Result<Bytes>>,
}

impl NodeClient {
    /// Reads an object (`get`); for the identifier of a series, its head.
    ///
    /// The read resumes where a connection breaks: by `Range` if the node supports it, else by reading and skipping the
    /// bytes before. Either way the last bytes before the break are read again and compared.
    ///
    /// # Errors
    ///
    /// If the node does not have or give the object, or gives another size than expected. The stream can fail likewise,
    /// and with [`Content`](crate::ErrorKind::Content) if the bytes differ from those before the break.
    pub async fn get(&self, identifier: &Identifier, options: &GetOptions) -> Result<ObjectRead> {
        read(vec![self.clone()], identifier, options).await
    }
}

impl fmt::Debug for ObjectRead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ObjectRead")
            .field("start", &self.start)
            .field("size", &self.size)
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

/// Reads an object from the first of these nodes that gives it.
pub(crate) async fn read(
    nodes: Vec<NodeClient>,
    identifier: &Identifier,
    options: &GetOptions,
) -> Result<ObjectRead> {
    let GetOptions { from: start, size } = *options;
    let Some(first) = nodes.first() else {
        let error = Error::new(ErrorKind::NotFound, "read", identifier, "no node");
        return Err(error.because("it has no locations"));
    };
    if let Some(size) = size.filter(|size| *size < start) {
        let error = first.context("read", identifier).error(ErrorKind::InvalidRequest);
        return Err(error.because(format!("it has {size} bytes, and none at place {start}")));
    }
    if size == Some(start) && start > 0 {
        return Ok(ObjectRead { start, size, media_type: None, stream: stream::empty().boxed() });
    }
    let mut source = ObjectSource {
        failures: first.failures(),
        context: first.context("read", identifier),
        nodes,
        current: 0,
        identifier: identifier.clone(),
        size,
        by_range: true,
    };
    match source.open_first(start).await? {
        Opened::End(size) => {
            Ok(ObjectRead { start, size: Some(size), media_type: None, stream: stream::empty().boxed() })
        }
        Opened::Bytes(body) => {
            let media_type = body.incoming.header(CONTENT_TYPE.as_str()).filter(|text| !text.is_empty());
            let media_type = media_type.map(str::to_owned);
            let size = size.or(body.size);
            let stream = ResumingRead::new(source, start, size, Some(body)).into_stream();
            Ok(ObjectRead { start, size, media_type, stream })
        }
    }
}

/// An object at several nodes. The source asks one node at a time.
struct ObjectSource {
    nodes: Vec<NodeClient>,
    current: usize,
    identifier: Identifier,
    /// The size that the object must have.
    size: Option<u64>,
    /// Whether the current node is asked for ranges.
    by_range: bool,
    failures: Failures,
    /// The request whose answer is read.
    context: Context,
}

impl RangeSource for ObjectSource {
    type Error = Error;

    const OVERLAP: usize = 1024;

    const PROGRESS: u64 = 256 * 1024;

    async fn open(&mut self, start: u64, end: Option<u64>) -> Result<Opened> {
        self.size = self.size.or(end);
        loop {
            // A range is refused once at most: after that, none is asked for.
            match self.open_at_node(start).await? {
                Some(opened) => return Ok(opened),
                None => self.by_range = false,
            }
        }
    }

    fn fault(&self, fault: BodyFault) -> Error {
        let context = &self.context;
        match fault {
            BodyFault::Transfer(error) => context.transfer(error),
            BodyFault::Changed => {
                context.content("it changed while it was read: its bytes differ from those before")
            }
            BodyFault::TooShort { at, end } => {
                let all = end.map_or_else(|| "its announced size".to_owned(), |end| format!("{end} bytes"));
                context.content(format!("the answer ends after {at} of {all}")).with_retry(Retry::Yes)
            }
            _ => context.content("the node sends more bytes than it announced"),
        }
    }

    async fn recover(&mut self, error: Error) -> Result<()> {
        let next = self.current.saturating_add(1);
        if next >= self.nodes.len() || error.kind() == ErrorKind::TooLarge {
            return self.failures.wait_after(error).await;
        }
        let Err(error) = self.failures.wait_within(error, PATIENCE_BEFORE_NEXT).await else { return Ok(()) };
        self.go_to(next, Some(&error));
        self.failures.forget();
        Ok(())
    }

    fn progressed(&mut self) {
        self.failures.forget();
    }

    fn received(&mut self, bytes: u64, next: u64) -> Result<()> {
        let Some(node) = self.nodes.get(self.current) else { return Ok(()) };
        let options = &node.inner.shared.options;
        options.progress.note(&Progress::Received { identifier: &self.identifier, bytes });
        if self.size.is_none() && next > options.limits.unsized_object {
            let error = self.context.error(ErrorKind::TooLarge);
            return Err(error.because(format!("the node states no size, and sends more than {next} bytes")));
        }
        Ok(())
    }
}

impl ObjectSource {
    /// Asks the nodes until one begins to send: each of them once, then those that may recover, with waits.
    async fn open_first(&mut self, start: u64) -> Result<Opened> {
        let mut errors: Vec<Option<Error>> = Vec::new();
        for number in 0..self.nodes.len() {
            self.go_to(number, errors.last().and_then(Option::as_ref));
            match self.open(start, None).await {
                Ok(opened) => return Ok(opened),
                Err(error) => errors.push(Some(error)),
            }
        }
        let may_recover =
            |error: &Option<Error>| error.as_ref().is_some_and(|error| error.retry() != Retry::No);
        while let Some(failed) = errors.iter_mut().find(|error| may_recover(error)) {
            let Some(error) = failed.take() else { break };
            if let Err(error) = self.failures.wait_after(error).await {
                *failed = Some(error);
                break;
            }
            for (number, failed) in errors.iter_mut().enumerate() {
                if failed.is_some() && !may_recover(failed) {
                    continue;
                }
                self.go_to(number, None);
                match self.open(start, None).await {
                    Ok(opened) => return Ok(opened),
                    Err(error) => *failed = Some(error),
                }
            }
        }
        // Another failure leaves more hope than the absence of the object at one node.
        let mut errors: Vec<Error> = errors.into_iter().flatten().collect();
        let telling = errors.iter().position(|error| error.kind() != ErrorKind::NotFound).unwrap_or_default();
        Err(errors.swap_remove(telling))
    }

    fn go_to(&mut self, number: usize, error: Option<&Error>) {
        self.current = number;
        self.by_range = true;
        let Some(node) = self.nodes.get(number) else { return };
        self.context = node.context("read", &self.identifier);
        if let Some(error) = error {
            tracing::debug!(%error, node = node.base_url(), "will read from the next location");
            let progress =
                Progress::NextLocation { identifier: &self.identifier, error, node: node.base_url() };
            node.inner.shared.options.progress.note(&progress);
        }
    }

    /// Asks the current node; `None` if it refuses a range that it should have.
    async fn open_at_node(&self, start: u64) -> Result<Option<Opened>> {
        let context = &self.context;
        let Some(node) = self.nodes.get(self.current) else { return Err(context.error(ErrorKind::NotFound)) };
        let path = format!("object/{}", self.identifier.to_path_segment());
        let mut call = node.call(Method::GET, &path, "", context).await?.moving_content();
        let asked = start > 0 && self.by_range;
        if asked {
            call = call.with_header(RANGE, range_header(start, None));
        }
        let received = node.send(&call, context).await?;
        if received.incoming.status.is_client_error()
            && received.incoming.status != StatusCode::RANGE_NOT_SATISFIABLE
            || received.incoming.status.is_server_error()
        {
            return Err(node.refused(received, context).await);
        }
        let Received { incoming, url, .. } = received;
        tracing::trace!(%url, "an object's bytes begin");
        match RangeAnswer::new(incoming, start, asked) {
            RangeAnswer::Bytes(body) => self.checked(body).await.map(|body| Some(Opened::Bytes(body))),
            RangeAnswer::Misfit(_) if asked => Ok(None),
            RangeAnswer::Nothing(stated) => self.past_the_end(stated, start),
            RangeAnswer::Misfit(incoming) | RangeAnswer::Other(incoming) => {
                let status = incoming.status.as_u16();
                Err(context.protocol(format!("the node answers {status} to a request for an object")))
            }
        }
    }

    /// Checks that an answer brings the object.
    async fn checked(&self, mut body: RangeBody) -> Result<RangeBody> {
        if let Some(encoding) = body.incoming.encoding() {
            let reason =
                format!("the node sends it with the content encoding {encoding}, which was not asked for");
            return Err(self.context.protocol(reason));
        }
        let is_partial = body.incoming.status == StatusCode::PARTIAL_CONTENT;
        // An answer of exactly the expected size is taken for the object, even if it is an error document itself.
        let mut note = "";
        if !is_partial && (self.size.is_none() || body.size != self.size) {
            body.peeked = self.peek(&mut body.incoming).await?;
            note = if looks_like_html(&body.peeked) { ", and a web page" } else { "" };
        }
        match (self.size, body.size) {
            (Some(expected), Some(found)) if expected != found => Err(self.wrong_size(found, expected, note)),
            _ => Ok(body),
        }
    }

    /// Reads the beginning of a body. A DataONE error with the status of success is the error that it is.
    async fn peek(&self, incoming: &mut Incoming) -> Result<Bytes> {
        let mut body = BytesMut::new();
        let mut wanted = PEEK;
        while let Some(bytes) = incoming.next().await.map_err(|error| self.context.transfer(error))? {
            body.extend_from_slice(&bytes);
            if body.len() >= wanted {
                if wanted > PEEK || !looks_like_error(&body) {
                    return Ok(body.freeze());
                }
                wanted = usize::try_from(LARGEST_ERROR).unwrap_or(usize::MAX);
            }
        }
        match refusal_in_success(incoming.status, &body, &self.context) {
            Some(error) => Err(error),
            None => Ok(body.freeze()),
        }
    }

    /// Reads a `416`: the object ends here, or the node does not understand ranges.
    fn past_the_end(&self, stated: Option<u64>, start: u64) -> Result<Option<Opened>> {
        match (stated, self.size) {
            (Some(found), Some(expected)) if found != expected => Err(self.wrong_size(found, expected, "")),
            (Some(found), _) if found == start => Ok(Some(Opened::End(found))),
            (Some(found), _) if found < start => {
                Err(self.context.content(format!("it has {found} bytes, and none at place {start}")))
            }
            _ => Ok(None),
        }
    }

    fn wrong_size(&self, found: u64, expected: u64, note: &str) -> Error {
        self.context.content(format!("expected {expected} bytes, found {found}{note}"))
    }
}
