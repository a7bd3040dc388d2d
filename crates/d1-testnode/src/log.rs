//! What was asked of the node, for tests to count and to read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, Method, Uri};
use d1_model::Identifier;

use crate::call::{Call, Role, Target};

/// One request as it came, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As what the node was asked.
    pub role: Role,
    /// The call.
    pub call: Call,
    /// The object that the request is about.
    pub identifier: Option<Identifier>,
    /// The method.
    pub method: String,
    /// Path and query as they were sent.
    pub uri: String,
    /// All headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The status of the answer, or `None` if none was given (yet).
    pub status: Option<u16>,
    /// Bytes of the answer's body that were handed over so far.
    pub sent: u64,
}

impl Request {
    /// Returns the first value of a header, whose name is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// All requests so far.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Arc<Entry>>>);

/// A request that is being served.
#[derive(Debug)]
pub(crate) struct Entry {
    request: Mutex<Request>,
    sent: AtomicU64,
}

impl Log {
    /// Notes a request that has come.
    pub(crate) fn begin(
        &self,
        target: &Target,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Arc<Entry> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let request = Request {
            role: target.role,
            call: target.call,
            identifier: target.identifier.clone(),
            method: method.to_string(),
            uri: uri.to_string(),
            headers: headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            status: None,
            sent: 0,
        };
        let entry = Arc::new(Entry { request: Mutex::new(request), sent: AtomicU64::new(0) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
        entry
    }

    /// Returns all requests so far, in the order in which they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        entries.iter().map(|entry| entry.snapshot()).collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Entry {
    pub(crate) fn answered(&self, status: u16) {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Request {
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner).clone();
        request.sent = self.sent.load(Ordering::Relaxed);
        request
    }
}
