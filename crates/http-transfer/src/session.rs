//! The HTTP session of a service: budgets, credentials by origin, redirects, time limits.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use tokio::time::Instant;

use crate::budget::{Budget, BudgetRules, Load};
use crate::connection::{Connections, SessionSettings};
use crate::destination::{Network, redacted, resolve, same_origin, without_query};
use crate::error::{Awaited, SendError, SettingsError, TransferError};
use crate::incoming::{Incoming, Received};
use crate::outgoing::{Content, Fault, Meter};

/// The most redirects that are followed for one request.
const MOST_REDIRECTS: u32 = 5;

/// The most servers that are remembered before those without requests are forgotten: answers may name any host.
const MOST_SERVERS: usize = 256;

/// The most bytes that are read of a refused answer, so that its connection can be used again.
const LARGEST_REFUSAL: u64 = 64 * 1024;

/// One HTTP session with a service and the servers to which it leads.
///
/// The session sends each request once, within the budget and under time limits, and follows redirects. An
/// [`Exchange`] supplies credentials and content, and turns failures into the client's errors.
pub struct Session {
    connections: Connections,
    origin: Url,
    connect: Duration,
    silence: Duration,
    budget: BudgetRules,
    budget_for_all: bool,
    logged_parameters: &'static [&'static str],
    servers: Mutex<HashMap<String, Arc<Server>>>,
}

/// The knowledge about one server.
#[derive(Debug)]
struct Server {
    budget: Option<Budget>,
    has_answered: AtomicBool,
}

/// A request to a service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// The headers, without credentials.
    pub headers: HeaderMap,
    /// The limit against which the request counts.
    pub load: Load,
    /// Which redirects are followed.
    pub redirects: Redirects,
    /// Whether the request or its answer is large: such requests get connections of their own.
    pub moves_content: bool,
    /// The time limit for the head of the answer after all content was sent; the limit for a connection is added.
    pub answer: Duration,
}

/// Says which redirects are followed. Others are returned as answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// All.
    Follow,
    /// Only those within one origin.
    SameOrigin,
    /// Only permanent ones: status 301 and 308.
    Permanent,
}

/// The content of a request.
#[derive(Default)]
pub enum Payload<E> {
    /// No content.
    #[default]
    Nothing,
    /// A stream.
    Content(Content<E>),
}

/// The client's part in one request: credentials, content, and errors.
pub trait Exchange: Send {
    /// The client's error.
    type Error: Send + 'static;

    /// Turns a failure into the client's error.
    fn failed(&self, error: SendError) -> Self::Error;

    /// Returns the `Authorization` header for a URL, `None` for servers that get no credentials.
    fn authorization(
        &mut self,
        url: &Url,
    ) -> impl Future<Output = Result<Option<HeaderValue>, Self::Error>> + Send {
        let _ = url;
        async { Ok(None) }
    }

    /// Takes the headers of a `401`, and tells whether the request is to be sent again with other credentials.
    fn challenged(
        &mut self,
        url: &Url,
        headers: &HeaderMap,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send {
        let _ = (url, headers);
        async { Ok(false) }
    }

    /// Opens the content. It is opened again when a request is repeated with other credentials.
    fn payload(&mut self) -> impl Future<Output = Result<Payload<Self::Error>, Self::Error>> + Send {
        async { Ok(Payload::Nothing) }
    }

    /// Takes note of how many bytes of content the connection took.
    fn note_taken(&mut self, bytes: u64) {
        let _ = bytes;
    }
}

impl Request {
    /// Returns a small request that follows all redirects.
    #[must_use]
    pub fn new(method: Method, url: Url, answer: Duration) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            load: Load::Small,
            redirects: Redirects::Follow,
            moves_content: false,
            answer,
        }
    }

    /// Returns the request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Returns the request with another rule for redirects.
    #[must_use]
    pub fn with_redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }
}

impl Session {
    /// Prepares a session. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If a certificate, a key or a proxy cannot be used.
    pub fn new(settings: &SessionSettings<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            connections: Connections::new(settings)?,
            origin: settings.origin.clone(),
            connect: settings.connect,
            silence: settings.silence,
            budget: settings.budget,
            budget_for_all: settings.budget_for_all,
            logged_parameters: settings.logged_parameters,
            servers: Mutex::default(),
        })
    }

    /// Returns the network of a URL's host: by the addresses to which it resolves for the service itself, by its
    /// literal address for others.
    pub async fn network_of(&self, url: &Url) -> Network {
        if same_origin(&self.origin, url) { self.connections.network().await } else { Network::of(url) }
    }

    /// Tells whether the server of a URL has answered a request in this session.
    pub fn has_answered(&self, url: &Url) -> bool {
        self.server(url).has_answered.load(Ordering::Relaxed)
    }

    /// Lets no request to the server of a URL start before this time has passed, if the server has a budget.
    pub fn pause(&self, url: &Url, wait: Duration) {
        if let Some(budget) = &self.server(url).budget {
            budget.pause(wait);
        }
    }

    /// Sends a request and returns the head of the answer, after redirects and challenges.
    ///
    /// # Errors
    ///
    /// If there is no answer; if the content or the credentials cannot be had.
    pub async fn send<X: Exchange>(&self, request: &Request, exchange: &mut X) -> Result<Received, X::Error> {
        let mut request = request.clone();
        let mut redirects = 0;
        loop {
            let (mut incoming, mut permit) = self.send_once(&request, exchange).await?;
            if incoming.status == StatusCode::UNAUTHORIZED {
                // New credentials may need a request to this server: refused requests must not hold the places it needs.
                permit = None;
                if exchange.challenged(&request.url, &incoming.headers).await? {
                    let _ = incoming.collect(LARGEST_REFUSAL).await;
                    continue;
                }
            }
            match self.redirect(&request, &incoming).await.map_err(|error| exchange.failed(error))? {
                None => return Ok(Received { incoming, url: request.url, _permit: permit }),
                Some(_) if redirects >= MOST_REDIRECTS => {
                    let place = without_query(&request.url);
                    return Err(exchange.failed(SendError::Redirects { place }));
                }
                Some(url) => request.url = url,
            }
            redirects += 1;
        }
    }

    async fn send_once<X: Exchange>(
        &self,
        request: &Request,
        exchange: &mut X,
    ) -> Result<(Incoming, Option<tokio::sync::OwnedSemaphorePermit>), X::Error> {
        let server = self.server(&request.url);
        // Credentials come first: getting them is a request of its own.
        let authorization = exchange.authorization(&request.url).await?;
        let permit = match &server.budget {
            Some(budget) => budget.enter(request.load).await,
            None => None,
        };
        let mut headers = request.headers.clone();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let started = Instant::now();
        let sent = match exchange.payload().await? {
            Payload::Nothing => self.send_nothing(request, headers).await.map_err(Failed::Transfer),
            Payload::Content(mut content) if content.length() == 0 => match content.check_empty().await {
                Ok(()) => self.send_nothing(request, headers).await.map_err(Failed::Transfer),
                Err(fault) => Err(Failed::Source(fault)),
            },
            Payload::Content(content) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(content.length()));
                let (body, meter) = content.into_body();
                let sent = self.send_content(request, headers, body, &meter).await;
                exchange.note_taken(meter.taken());
                // A fault of the source is the cause of whatever the connection says.
                match meter.take_fault() {
                    Some(fault) => Err(Failed::Source(fault)),
                    None => sent.map_err(Failed::Transfer),
                }
            }
        };
        self.log(request, started, &sent);
        match sent {
            Ok(incoming) => {
                server.has_answered.store(true, Ordering::Relaxed);
                Ok((incoming, permit))
            }
            Err(Failed::Transfer(error)) => {
                let place = without_query(&request.url);
                Err(exchange.failed(SendError::Transfer { place, error }))
            }
            Err(Failed::Source(Fault::Source(error))) => Err(error),
            Err(Failed::Source(Fault::TooLong { stated })) => {
                Err(exchange.failed(SendError::ContentTooLong { stated }))
            }
            Err(Failed::Source(Fault::TooShort { missing })) => {
                Err(exchange.failed(SendError::ContentTooShort { missing }))
            }
        }
    }

    async fn send_nothing(
        &self,
        request: &Request,
        mut headers: HeaderMap,
    ) -> Result<Incoming, TransferError> {
        if [Method::POST, Method::PUT, Method::PATCH].contains(&request.method) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let limit = self.connect.saturating_add(request.answer);
        let sending = self.builder(request, headers).send();
        match tokio::time::timeout(limit, sending).await {
            Ok(response) => Ok(Incoming::new(response?, self.silence)),
            Err(_) => Err(TransferError::Timeout { awaited: Awaited::Answer, limit }),
        }
    }

    async fn send_content<E>(
        &self,
        request: &Request,
        headers: HeaderMap,
        body: reqwest::Body,
        meter: &Meter<E>,
    ) -> Result<Incoming, TransferError> {
        let sending = pin!(self.builder(request, headers).body(body).send());
        let stuck = self.silence.saturating_add(self.connect);
        let watching = pin!(meter.watch(stuck, request.answer));
        match select(sending, watching).await {
            Either::Left((response, _)) => Ok(Incoming::new(response?, self.silence)),
            Either::Right((error, _)) => Err(error),
        }
    }

    fn builder(&self, request: &Request, headers: HeaderMap) -> RequestBuilder {
        let client = self.connections.client(&request.url, request.moves_content);
        client.request(request.method.clone(), request.url.clone()).headers(headers)
    }

    /// Returns where a redirect leads, if the answer is one that is followed.
    async fn redirect(&self, request: &Request, incoming: &Incoming) -> Result<Option<Url>, SendError> {
        let is_read = request.method == Method::GET || request.method == Method::HEAD;
        let follows = match incoming.status.as_u16() {
            301 => is_read,
            302 | 303 => is_read && request.redirects != Redirects::Permanent,
            307 => request.redirects != Redirects::Permanent,
            308 => true,
            _ => false,
        };
        let (true, Some(location)) = (follows, incoming.header(LOCATION.as_str())) else { return Ok(None) };
        let network = self.network_of(&request.url).await;
        let url = resolve(&request.url, network, location).map_err(|reason| {
            let place =
                request.url.join(location).map_or_else(|_| location.to_owned(), |url| without_query(&url));
            SendError::Refused { place, reason }
        })?;
        let is_same = same_origin(&request.url, &url);
        if !is_same && request.redirects == Redirects::SameOrigin {
            return Ok(None);
        }
        if !is_same && !is_read {
            return Err(SendError::ContentRedirected { place: without_query(&url) });
        }
        Ok(Some(url))
    }

    fn server(&self, url: &Url) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= MOST_SERVERS {
            servers.retain(|_, server| Arc::strong_count(server) > 1);
        }
        let has_budget = self.budget_for_all || same_origin(&self.origin, url);
        let server = servers.entry(url.origin().ascii_serialization()).or_insert_with(|| {
            let budget = has_budget.then(|| Budget::new(self.budget));
            Arc::new(Server { budget, has_answered: AtomicBool::new(false) })
        });
        server.clone()
    }

    fn log<E>(&self, request: &Request, started: Instant, sent: &Result<Incoming, Failed<E>>) {
        let milliseconds = started.elapsed().as_millis();
        let (method, url) = (&request.method, redacted(&request.url, self.logged_parameters));
        match sent {
            Ok(Incoming { status, .. }) => {
                tracing::debug!(%method, url, status = status.as_u16(), milliseconds, "request");
            }
            Err(Failed::Transfer(error)) => {
                tracing::debug!(%method, url, %error, milliseconds, "request failed");
            }
            Err(Failed::Source(_)) => {
                tracing::debug!(%method, url, milliseconds, "the source of the content failed");
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("origin", &without_query(&self.origin))
            .finish_non_exhaustive()
    }
}

enum Failed<E> {
    Transfer(TransferError),
    Source(Fault<E>),
}
