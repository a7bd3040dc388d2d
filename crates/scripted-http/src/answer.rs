//! Building answers.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

/// An answer as data.
///
/// ```
/// let answer = scripted_http::Answer::html(503).with_header("retry-after", "1");
/// assert_eq!(answer.response().headers()["retry-after"], "1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    retry_at: Option<Duration>,
    body: String,
}

impl Answer {
    /// Returns an answer with a text.
    #[must_use]
    pub fn text(status: u16, media_type: &str, body: impl Into<String>) -> Self {
        let headers = vec![(CONTENT_TYPE.to_string(), media_type.to_owned())];
        Self { status, headers, retry_at: None, body: body.into() }
    }

    /// Returns an answer with a web page, as a proxy in front of a server gives it.
    #[must_use]
    pub fn html(status: u16) -> Self {
        Self::page(status, &status.to_string())
    }

    /// Returns an answer with a web page of this title.
    #[must_use]
    pub fn page(status: u16, title: &str) -> Self {
        let body =
            format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\r\n");
        Self::text(status, "text/html", body)
    }

    /// Returns the answer with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Returns the answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Returns the answer with a `Retry-After` that names the date this far ahead (RFC 9110 section 10.2.3).
    #[must_use]
    pub fn with_retry_date(mut self, ahead: Duration) -> Self {
        self.retry_at = Some(ahead);
        self
    }

    /// Returns the answer as a response. A header that HTTP does not allow is left out.
    #[must_use]
    pub fn response(&self) -> Response {
        let mut response = empty(self.status);
        *response.body_mut() = Body::from(self.body.clone());
        for (name, value) in &self.headers {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                response = with_header(response, name, value);
            }
        }
        if let Some(ahead) = self.retry_at {
            let date = httpdate::fmt_http_date(SystemTime::now() + ahead);
            response = with_header(response, RETRY_AFTER, &date);
        }
        response
    }
}

/// Returns an answer without a body. A status that HTTP does not allow becomes 500.
pub fn empty(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Returns an answer with a body.
pub fn full(status: u16, media_type: &str, body: impl Into<Body>) -> Response {
    let mut response = empty(status);
    *response.body_mut() = body.into();
    with_header(response, CONTENT_TYPE, media_type)
}

/// Returns the answer with one more header. A value that HTTP does not allow is left out.
pub fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        response.headers_mut().insert(name, value);
    }
    response
}
