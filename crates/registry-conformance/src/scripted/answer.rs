//! Answers that a fault gives instead of the right one.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use super::refused::error_body;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    retry_at: Option<Duration>,
    body: String,
}

/// How an answer says when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Not at all.
    Absent,
    /// `Retry-After` with seconds (RFC 9110 section 10.2.3).
    Seconds(u64),
    /// `Retry-After` with the date that is so far ahead (RFC 9110 section 10.2.3).
    Date(Duration),
    /// `Retry-After` with a text that is neither.
    Garbage,
    /// In the text of the error, in microseconds, as GHCR has it.
    MicrosecondsInText(u64),
}

impl Answer {
    /// Returns an answer with this status and an error in JSON.
    pub fn status(status: u16) -> Self {
        Self::error(status, "UNKNOWN", "the script wants it so")
    }

    /// Returns an answer with an error as the specification wants it (distribution-spec, "Error codes").
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = error_body(code, message);
        Self { status, headers: Vec::new(), retry_at: None, body }
            .with_header("content-type", "application/json")
    }

    /// Returns an answer with a page of HTML, as a proxy in front of a registry gives it.
    pub fn html(status: u16) -> Self {
        let body =
            format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\r\n");
        Self { status, headers: Vec::new(), retry_at: None, body }.with_header("content-type", "text/html")
    }

    /// Returns 429.
    pub fn too_many_requests(retry_after: RetryAfter) -> Self {
        let mut message = "too many requests".to_owned();
        if let RetryAfter::MicrosecondsInText(micros) = retry_after {
            message += &format!(": retry-after: {micros}µs, allowed: 44000/minute");
        }
        let mut answer = Self::error(429, "TOOMANYREQUESTS", &message);
        match retry_after {
            RetryAfter::Seconds(seconds) => answer = answer.with_header("retry-after", &seconds.to_string()),
            RetryAfter::Garbage => answer = answer.with_header("retry-after", "soon"),
            RetryAfter::Date(ahead) => answer.retry_at = Some(ahead),
            RetryAfter::Absent | RetryAfter::MicrosecondsInText(_) => {}
        }
        answer
    }

    /// Returns GitHub's 403 for too many writes.
    pub fn secondary_rate_limit() -> Self {
        Self::error(403, "DENIED", "You have exceeded a secondary rate limit. Please wait a few minutes.")
    }

    /// Returns Quay's 403 for a full namespace.
    pub fn quota_exceeded() -> Self {
        Self::error(403, "DENIED", "Quota has been exceeded on namespace")
    }

    /// Returns GitHub's 403 for a token that may not write.
    pub fn write_denied() -> Self {
        Self::error(403, "DENIED", "permission_denied: write_package")
    }

    /// Returns the answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn response(&self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut builder = Response::builder().status(status);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        if let Some(ahead) = self.retry_at {
            builder = builder.header("retry-after", httpdate::fmt_http_date(SystemTime::now() + ahead));
        }
        builder.body(Body::from(self.body.clone())).unwrap_or_else(|error| panic!("bad answer: {error}"))
    }
}
