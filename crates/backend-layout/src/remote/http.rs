//! The HTTP client of object stores: a session with limits on connecting and on silence, and with retries.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_transfer::{
    BudgetRules, Content, Exchange, Failures, Load, Method, Payload, Received, Redirects, Request, Retry,
    RetryPolicy, RetryRules, SendError, Session, SessionSettings, TransferError, Url, Wait, is_loopback,
    parse_retry_after, without_query,
};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use tokio::time::Instant;

use super::options::BucketOptions;
use crate::bucket::StoreClock;

/// The most bytes that are read of a refusal.
const LARGEST_REFUSAL: u64 = 64 * 1024;

/// Requests with more content get connections of their own, as do their answers.
const SMALL_CONTENT: usize = 64 * 1024;

/// Query parameters whose values may appear in logs.
const LOGGED: &[&str] =
    &["comp", "delete", "delimiter", "list-type", "partNumber", "prefix", "restype", "uploads"];

/// The hosts at which clouds give credentials to their own machines. Elsewhere they do not answer.
const METADATA_HOSTS: [&str; 3] = ["169.254.169.254", "metadata", "metadata.google.internal"];

/// The time limit for a connection to such a host, which is next to the machine.
const METADATA_LIMIT: Duration = Duration::from_secs(1);

/// Makes the HTTP clients of one bucket.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    options: Arc<BucketOptions>,
    clock: Arc<StoreClock>,
    /// Whether plain HTTP may leave this machine.
    allows_http: bool,
}

impl Connector {
    pub(super) fn new(options: Arc<BucketOptions>, clock: Arc<StoreClock>, allows_http: bool) -> Self {
        Self { options, clock, allows_http }
    }

    /// Returns a client that may speak plain HTTP to any host if `allows_http` is set.
    pub(super) fn service(&self, allows_http: bool) -> Service {
        let Self { options, clock, .. } = self.clone();
        Service { options, clock, allows_http, sessions: Mutex::default() }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.service(self.allows_http)))
    }
}

/// An HTTP client that repeats requests which fail for a passing reason.
///
/// Every request may be repeated: content goes to the place that its digest names, and a conditional put whose answer was lost is
/// refused the second time, which its caller takes for a race.
pub(super) struct Service {
    options: Arc<BucketOptions>,
    clock: Arc<StoreClock>,
    allows_http: bool,
    /// The sessions by origin.
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

impl Service {
    fn session(&self, url: &Url) -> Result<Arc<Session>, HttpError> {
        let origin = url.origin().ascii_serialization();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&origin) {
            return Ok(session.clone());
        }
        let BucketOptions { connect, silence, parallel, .. } = *self.options;
        let mut settings = SessionSettings::new(url);
        settings.user_agent = &self.options.user_agent;
        settings.extra_authorities = &self.options.extra_authorities;
        if !is_loopback(url) && !is_metadata(url) {
            settings.proxies = &self.options.proxies;
        }
        settings.connect = if is_metadata(url) { connect.min(METADATA_LIMIT) } else { connect };
        settings.silence = silence;
        settings.budget = BudgetRules {
            requests_per_second: 2000.0,
            requests_per_second_at_first: None,
            burst: 2000,
            parallel_requests: parallel.max(1),
            parallel_uploads: parallel.max(1),
        };
        settings.logged_parameters = LOGGED;
        let session = Session::new(&settings).map_err(|error| fault(HttpErrorKind::Unknown, error))?;
        let session = Arc::new(session);
        sessions.insert(origin, session.clone());
        Ok(session)
    }

    fn request(&self, method: Method, url: Url, headers: HeaderMap, content: usize) -> Request {
        let is_large = content > SMALL_CONTENT;
        let is_change = method != Method::GET && method != Method::HEAD;
        // A store may take minutes to put parts together.
        let answer = if is_change { self.options.commit } else { self.options.silence };
        let mut request = Request::new(method, url, answer);
        request.headers = headers;
        request.load = if is_large { Load::Upload } else { Load::Small };
        request.moves_content = is_large || !is_change;
        // Credentials stay with the server for which they are.
        request.redirects = Redirects::SameOrigin;
        request
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let url = Url::parse(&url).map_err(|error| fault(HttpErrorKind::Unknown, error))?;
        if url.scheme() == "http" && !self.allows_http && !is_loopback(&url) && !is_metadata(&url) {
            return Err(fault(HttpErrorKind::Unknown, PlainHttp(without_query(&url))));
        }
        let session = self.session(&url)?;
        let request = self.request(parts.method, url, parts.headers, body.content_length());
        let policy = Policy { options: &self.options, session: &session, url: &request.url };
        let mut failures = Failures::new(policy);
        loop {
            let trouble = match session.send(&request, &mut Sending(body.clone())).await {
                Ok(received) => {
                    self.clock.note(&received.incoming.headers);
                    let status = received.incoming.status;
                    if is_metadata(&request.url) && !status.is_success() {
                        return Err(fault(HttpErrorKind::Unknown, NoCredentials));
                    }
                    if !may_pass(status) {
                        return Ok(response(received));
                    }
                    let stated = received.incoming.header("retry-after");
                    let stated = stated.and_then(|value| parse_retry_after(value, SystemTime::now()));
                    let answer = received.whole(LARGEST_REFUSAL, LARGEST_REFUSAL).await;
                    match answer {
                        Ok(answer) => Trouble::Refused(status, answer.headers, answer.body, stated),
                        Err(error) => Trouble::Transfer(error),
                    }
                }
                Err(SendError::Transfer { error, .. }) => Trouble::Transfer(error),
                Err(error) => {
                    let reason = error.reason("object store", request.url.as_str());
                    return Err(fault(HttpErrorKind::Unknown, TransferFault { reason, source: None }));
                }
            };
            match failures.wait_after(trouble).await {
                Ok(()) => {}
                Err(Trouble::Refused(status, headers, body, _)) => {
                    return Ok(whole_response(status, headers, body));
                }
                Err(Trouble::Transfer(_)) if is_metadata(&request.url) => {
                    return Err(fault(HttpErrorKind::Unknown, NoCredentials));
                }
                Err(Trouble::Transfer(error)) => return Err(transfer_fault(error)),
            }
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Service")
    }
}

/// The content of one attempt.
struct Sending(HttpRequestBody);

impl Exchange for Sending {
    type Error = SendError;

    fn failed(&self, error: SendError) -> SendError {
        error
    }

    async fn payload(&mut self) -> Result<Payload<SendError>, SendError> {
        let length = self.0.content_length() as u64;
        if length == 0 {
            return Ok(Payload::Nothing);
        }
        let pieces = stream::unfold(self.0.clone(), |mut body| async {
            let frame = poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await?;
            // The body is in memory: it has no errors and no trailers.
            let bytes = frame.ok().and_then(|frame| frame.into_data().ok()).unwrap_or_default();
            Some((Ok(bytes), body))
        });
        Ok(Payload::Content(Content::new(pieces.boxed(), length, true)))
    }
}

/// The failure of one attempt.
enum Trouble {
    Transfer(TransferError),
    /// A status that may pass, with the headers and body of the answer and the wait that it states.
    Refused(StatusCode, HeaderMap, Bytes, Option<Duration>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transfer(error) => formatter.write_str(&error.reason("object store")),
            Self::Refused(status, ..) => write!(formatter, "the object store answered {status}"),
        }
    }
}

/// The rules for repeating requests to one bucket.
struct Policy<'a> {
    options: &'a BucketOptions,
    session: &'a Session,
    url: &'a Url,
}

impl RetryPolicy for Policy<'_> {
    type Error = Trouble;

    fn rules(&self) -> &RetryRules {
        &self.options.retry
    }

    fn retry(&self, error: &Trouble) -> Retry {
        match error {
            Trouble::Transfer(_) if is_metadata(self.url) => Retry::No,
            Trouble::Transfer(error) if error.may_pass() => Retry::Yes,
            Trouble::Transfer(_) => Retry::No,
            Trouble::Refused(_, _, _, Some(stated)) => Retry::After(*stated),
            Trouble::Refused(..) => Retry::Yes,
        }
    }

    fn is_rate_limited(&self, error: &Trouble) -> bool {
        matches!(error, Trouble::Refused(StatusCode::TOO_MANY_REQUESTS, ..))
    }

    fn patience(&self, error: &Trouble) -> Duration {
        let is_unknown = matches!(error, Trouble::Transfer(TransferError::Connect(_)));
        let rules = &self.options.retry;
        if is_unknown && !self.session.has_answered(self.url) { rules.first_patience } else { rules.patience }
    }

    fn note_wait(&self, error: &Trouble, wait: Duration, is_stated: bool) {
        let server = self.url.host_str().unwrap_or_default();
        self.options.waits.note(&Wait::new(server, error, wait, is_stated));
    }
}

/// No credentials are set, and this machine has none from its cloud.
#[derive(Debug, thiserror::Error)]
#[error("no credentials are set, and this machine gets none from a cloud's metadata service")]
pub(super) struct NoCredentials;

/// Plain HTTP would leave this machine.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not encrypted")]
pub(super) struct PlainHttp(String);

/// A transfer that failed.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
struct TransferFault {
    reason: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

fn fault(kind: HttpErrorKind, error: impl Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(kind, error)
}

fn transfer_fault(error: TransferError) -> HttpError {
    let kind = match &error {
        TransferError::Connect(_) => HttpErrorKind::Connect,
        TransferError::Timeout { .. } => HttpErrorKind::Timeout,
        TransferError::Broken(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    let reason = error.reason("object store");
    let source = error.into_cause();
    fault(kind, TransferFault { reason, source })
}

/// Tells whether the same request may succeed later.
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

fn is_metadata(url: &Url) -> bool {
    url.host_str().is_some_and(|host| METADATA_HOSTS.contains(&host))
}

fn whole_response(status: StatusCode, headers: HeaderMap, body: Bytes) -> HttpResponse {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Hands the answer on. Its body no longer counts as a request in flight: its reader may wait for other requests.
fn response(received: Received) -> HttpResponse {
    let incoming = received.released();
    let (status, headers) = (incoming.status, incoming.headers.clone());
    let pieces = stream::try_unfold(incoming, |mut incoming| async {
        let piece = incoming.next().await.map_err(transfer_fault)?;
        Ok(piece.map(|piece| (piece, incoming)))
    });
    let mut response = HttpResponse::new(HttpResponseBody::new(Streamed(Mutex::new(pieces.boxed()))));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A body that arrives. The lock is never taken: it makes the stream shareable, as the receiver demands.
struct Streamed(Mutex<BoxStream<'static, Result<Bytes, HttpError>>>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let pieces = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        pieces.poll_next_unpin(task).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl StoreClock {
    /// Takes note of the `Date` of an answer.
    fn note(&self, headers: &HeaderMap) {
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) {
            self.set(date, Instant::now());
        }
    }
}
