//! What was asked of the registry, for tests to count and to read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Route;

/// One request as it came, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which server was asked.
    pub server: Server,
    /// The `Host` header.
    pub host: String,
    /// The operation.
    pub route: Route,
    /// The method.
    pub method: String,
    /// Path and query as they were sent.
    pub uri: String,
    /// All headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What was sent to prove who asks.
    pub credentials: Credentials,
    /// The status of the answer, or `None` if none was given (yet).
    pub status: Option<u16>,
    /// Bytes of the request's body that were taken so far.
    pub received: u64,
    /// Bytes of the answer's body that were handed over so far.
    pub sent: u64,
}

/// The two servers of a scripted registry, which have different host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// The registry itself, on `127.0.0.1`.
    Registry,
    /// The host to which the registry redirects, on `localhost`.
    Storage,
}

/// What was sent to prove who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// Basic authentication of this user.
    Basic {
        /// Name of the user.
        user: String,
    },
    /// A bearer token.
    Bearer {
        /// The token.
        token: String,
    },
    /// Some other `Authorization`.
    Other,
}

impl Request {
    /// Returns the first value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

impl Credentials {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else { return Self::None };
        let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
            return Self::Other;
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::Bearer { token: rest.to_owned() };
        }
        match basic(headers) {
            Some((user, _)) => Self::Basic { user },
            None => Self::Other,
        }
    }
}

/// The user and password of Basic authentication (RFC 7617).
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(rest.trim()).ok())??;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// All requests so far.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Mutex<Vec<Arc<Entry>>>,
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Entry {
    request: Mutex<Request>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Log {
    /// Notes a request that has come.
    pub(super) fn begin(
        &self,
        server: Server,
        route: Route,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Arc<Entry> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let request = Request {
            server,
            host: headers.get("host").map(|host| text(host.as_bytes())).unwrap_or_default(),
            route,
            method: method.to_string(),
            uri: uri.to_string(),
            headers: headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            credentials: Credentials::of(headers),
            status: None,
            received: 0,
            sent: 0,
        };
        let entry = Arc::new(Entry {
            request: Mutex::new(request),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
        entry
    }

    /// Returns all requests so far, in the order in which they came.
    pub(super) fn requests(&self) -> Vec<Request> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        entries.iter().map(|entry| entry.snapshot()).collect()
    }

    pub(super) fn clear(&self) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Entry {
    pub(super) fn answered(&self, status: u16) {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Request {
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner).clone();
        request.received = self.received.load(Ordering::Relaxed);
        request.sent = self.sent.load(Ordering::Relaxed);
        request
    }
}
