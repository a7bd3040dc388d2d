//! The requests that a server got, for tests to count and to read.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;

/// One request as it came, and its answer. `T` holds what the server knows of it; its fields are used like those of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request<T> {
    /// The facts that the server adds: route, identity and the like.
    pub about: T,
    /// The method.
    pub method: String,
    /// Path and query as they were sent.
    pub uri: String,
    /// All headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The status of the answer, or `None` if there was none (yet).
    pub status: Option<u16>,
    /// How many bytes of the request's body were taken so far.
    pub received: u64,
    /// How many bytes of the answer's body were handed over so far.
    pub sent: u64,
}

impl<T> Request<T> {
    /// Returns the first value of a header; `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

impl<T> Deref for Request<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.about
    }
}

/// All requests so far.
#[derive(Debug)]
pub struct Log<T> {
    entries: Mutex<Vec<Arc<Entry<T>>>>,
}

/// A request that is being served.
#[derive(Debug)]
pub struct Entry<T> {
    request: Mutex<Request<T>>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<T: Clone> Log<T> {
    /// Records a request that has arrived.
    pub fn begin(&self, about: T, parts: &Parts) -> Arc<Entry<T>> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = parts.headers.iter();
        let request = Request {
            about,
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            headers: headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            status: None,
            received: 0,
            sent: 0,
        };
        let entry = Arc::new(Entry {
            request: Mutex::new(request),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        self.entries().push(entry.clone());
        entry
    }

    /// Returns all requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request<T>> {
        let entries = self.entries().clone();
        entries.iter().map(|entry| entry.snapshot()).collect()
    }

    /// Forgets all requests.
    pub fn clear(&self) {
        self.entries().clear();
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Arc<Entry<T>>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Entry<T> {
    /// Records the status of the answer.
    pub fn answered(&self, status: u16) {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
    }

    /// Counts bytes of the request's body.
    pub fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes of the answer's body.
    pub fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Request<T> {
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner).clone();
        request.received = self.received.load(Ordering::Relaxed);
        request.sent = self.sent.load(Ordering::Relaxed);
        request
    }
}
