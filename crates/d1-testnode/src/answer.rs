//! Answers that a test writes down.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use d1_model::ErrorDocument;

/// An answer as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    /// Makes an answer with a text.
    #[must_use]
    pub fn text(status: u16, media_type: &str, body: impl Into<String>) -> Self {
        Self { status, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
    }

    /// Makes a DataONE exception, with its code as the status.
    #[must_use]
    pub fn error(name: &str, code: u16, detail_code: &str) -> Self {
        let document = ErrorDocument {
            name: name.to_owned(),
            error_code: i64::from(code),
            detail_code: detail_code.to_owned(),
            description: Some("a scripted fault".to_owned()),
            ..ErrorDocument::default()
        };
        let mut body = Vec::new();
        // What is left is an answer without a document, and the test sees it.
        let _ = document.write_xml(&mut body);
        Self::text(code, "text/xml", String::from_utf8_lossy(&body))
    }

    /// Makes a web page.
    #[must_use]
    pub fn page(status: u16, title: &str) -> Self {
        let body =
            format!("<!DOCTYPE html>\n<html><head><title>{title}</title></head><body>{title}</body></html>");
        Self::text(status, "text/html", body)
    }

    /// Returns the answer with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Returns the answer with a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// Makes an answer of XML.
pub(crate) fn xml(status: u16, document: impl Into<Body>) -> Response {
    let mut response = Response::new(document.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

/// Adds a header; a value that no header can have is left out.
pub(crate) fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        response.headers_mut().insert(name, value);
    }
    response
}
