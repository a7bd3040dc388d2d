//! Answers of a registry: those that a fault gives, and errors in the form of the specification.

use std::time::Duration;

use scripted_http::axum::http::header::{HeaderName, RETRY_AFTER};
use scripted_http::axum::response::Response;
use scripted_http::{full, with_header};

/// A whole answer that a fault gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(scripted_http::Answer);

/// The form in which an answer says when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryAfter {
    /// The answer does not say.
    Absent,
    /// `Retry-After` with seconds (RFC 9110 section 10.2.3).
    Seconds(u64),
    /// `Retry-After` with the date this far ahead (RFC 9110 section 10.2.3).
    Date(Duration),
    /// `Retry-After` with a text that is neither.
    Garbage,
    /// Microseconds in the text of the error, as with GHCR.
    MicrosecondsInText(u64),
}

impl Answer {
    /// Returns an answer with this status and an error in JSON.
    pub fn status(status: u16) -> Self {
        Self::error(status, "UNKNOWN", "a scripted fault")
    }

    /// Returns an answer with an error in the form of the specification (distribution-spec, "Error codes").
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = error_body(code, message, None);
        Self(scripted_http::Answer::text(status, "application/json", body))
    }

    /// Returns an answer with a page of HTML, as a proxy in front of a registry gives it.
    pub fn html(status: u16) -> Self {
        Self(scripted_http::Answer::html(status))
    }

    /// Returns 429.
    pub fn too_many_requests(retry_after: RetryAfter) -> Self {
        let mut message = "too many requests".to_owned();
        if let RetryAfter::MicrosecondsInText(micros) = retry_after {
            message += &format!(": retry-after: {micros}µs, allowed: 44000/minute");
        }
        let answer = Self::error(429, "TOOMANYREQUESTS", &message);
        match retry_after {
            RetryAfter::Seconds(seconds) => answer.with_header(RETRY_AFTER.as_str(), &seconds.to_string()),
            RetryAfter::Garbage => answer.with_header(RETRY_AFTER.as_str(), "soon"),
            RetryAfter::Date(ahead) => Self(answer.0.with_retry_date(ahead)),
            RetryAfter::Absent | RetryAfter::MicrosecondsInText(_) => answer,
        }
    }

    /// Returns GitHub's 403 for too many writes.
    pub fn secondary_rate_limit() -> Self {
        Self::error(403, "DENIED", "You have exceeded a secondary rate limit. Please wait a few minutes.")
    }

    /// Returns Quay's 403 for a full namespace.
    pub fn quota_exceeded() -> Self {
        Self::error(403, "DENIED", "Quota has been exceeded on namespace")
    }

    /// Returns Quay's 409 for a tag that may not move.
    pub fn immutable_tag() -> Self {
        Self::error(409, "TAG_IMMUTABLE", "tag is immutable")
    }

    /// Returns GitHub's 403 for a token that may not write.
    pub fn write_denied() -> Self {
        Self::error(403, "DENIED", "permission_denied: write_package")
    }

    /// Returns the answer with one more header.
    #[must_use]
    pub fn with_header(self, name: &str, value: &str) -> Self {
        Self(self.0.with_header(name, value))
    }

    pub(super) fn response(&self) -> Response {
        self.0.response()
    }
}

/// An error that the registry itself answers.
#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    code: &'static str,
    message: String,
    detail: Option<String>,
    headers: Vec<(HeaderName, String)>,
    is_html: bool,
}

/// The answer of a route.
pub(super) type Answered = Result<Response, Refused>;

impl Refused {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: None, headers: Vec::new(), is_html: false }
    }

    /// Returns the refusal of a proxy in front of the registry, a page of HTML.
    pub(super) fn html(status: u16) -> Self {
        Self { is_html: true, ..Self::new(status, "", "") }
    }

    pub(super) fn with_detail(mut self, message: impl Into<String>) -> Self {
        self.detail = Some(message.into());
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn response(self) -> Response {
        if self.is_html {
            return Answer::html(self.status).response();
        }
        let body = error_body(self.code, &self.message, self.detail.as_deref());
        let mut response = full(self.status, "application/json", body);
        for (name, value) in self.headers {
            response = with_header(response, name, &value);
        }
        response
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::new(500, "UNKNOWN", error.to_string())
    }
}

/// Returns the body of an error (distribution-spec, "Error codes"); `detail` is the text of `detail.message`.
fn error_body(code: &str, message: &str, detail: Option<&str>) -> String {
    let detail = detail.map(|message| serde_json::json!({ "message": message }));
    serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": detail }] }).to_string()
}
