//! Answers of the node: those that a fault gives, and DataONE exceptions in a document or in headers.

use d1_model::ErrorDocument;
use scripted_http::axum::body::Body;
use scripted_http::axum::http::Method;
use scripted_http::axum::http::header::HeaderName;
use scripted_http::axum::response::Response;
use scripted_http::{empty, full, with_header};

use crate::behaviour::{Dialect, MEMBER_NODE};

/// An answer as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(scripted_http::Answer);

impl Answer {
    /// Returns an answer with a text.
    #[must_use]
    pub fn text(status: u16, media_type: &str, body: impl Into<String>) -> Self {
        Self(scripted_http::Answer::text(status, media_type, body))
    }

    /// Returns a DataONE exception, with its code as the status.
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
        // Without a document the answer is empty, and the test notices.
        let _ = document.write_xml(&mut body);
        Self::text(code, "text/xml", String::from_utf8_lossy(&body))
    }

    /// Returns a web page.
    #[must_use]
    pub fn page(status: u16, title: &str) -> Self {
        Self(scripted_http::Answer::page(status, title))
    }

    /// Returns the answer with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self(self.0.with_status(status))
    }

    /// Returns the answer with a header.
    #[must_use]
    pub fn with_header(self, name: &'static str, value: impl Into<String>) -> Self {
        Self(self.0.with_header(name, value))
    }

    pub(crate) fn response(&self) -> Response {
        self.0.response()
    }
}

/// Returns an answer of XML.
pub(crate) fn xml(status: u16, document: impl Into<Body>) -> Response {
    full(status, "text/xml", document)
}

/// The answer of a call.
pub(crate) type Answered = Result<Response, Refused>;

/// A DataONE exception.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    name: &'static str,
    code: u16,
    detail_code: &'static str,
    description: String,
    identifier: Option<String>,
}

impl Refused {
    pub(crate) fn new(
        name: &'static str,
        code: u16,
        detail_code: &'static str,
        description: impl Into<String>,
    ) -> Self {
        Self { name, code, detail_code, description: description.into(), identifier: None }
    }

    pub(crate) fn of(mut self, identifier: impl ToString) -> Self {
        self.identifier = Some(identifier.to_string());
        self
    }

    pub(crate) fn response(self, method: &Method, dialect: Dialect) -> Response {
        match (method, dialect) {
            (&Method::HEAD, _) => self.with_detail_of(dialect).in_headers(dialect),
            // Django's page for an error that the node does not catch.
            (_, Dialect::Gmn) if self.code == 500 => Answer::page(500, "Server Error (500)").response(),
            _ => self.with_detail_of(dialect).in_document(),
        }
    }

    /// The Generic Member Node does not know the detail codes of the specification.
    fn with_detail_of(self, dialect: Dialect) -> Self {
        match dialect {
            Dialect::Metacat => self,
            Dialect::Gmn => Self { detail_code: "0", ..self },
        }
    }

    fn in_document(self) -> Response {
        let document = ErrorDocument {
            name: self.name.to_owned(),
            error_code: i64::from(self.code),
            detail_code: self.detail_code.to_owned(),
            identifier: self.identifier,
            node_id: Some(MEMBER_NODE.to_owned()),
            description: Some(self.description),
            trace_information: None,
        };
        let mut body = Vec::new();
        // Every text here can be written.
        let _ = document.write_xml(&mut body);
        xml(self.code, body)
    }

    fn in_headers(self, dialect: Dialect) -> Response {
        let (name, place) = match dialect {
            Dialect::Metacat => {
                (format!("org.dataone.service.exceptions.{}", self.name), "dataone-exception-pid")
            }
            Dialect::Gmn => (self.name.to_owned(), "dataone-exception-identifier"),
        };
        let mut response = empty(self.code);
        let headers = [
            ("dataone-exception-name", name),
            ("dataone-exception-detailcode", self.detail_code.to_owned()),
            ("dataone-exception-description", self.description),
            (place, self.identifier.unwrap_or_default()),
        ];
        for (name, value) in headers {
            response = with_header(response, HeaderName::from_static(name), &value);
        }
        response
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::new("ServiceFailure", 500, "1030", error.to_string())
    }
}

impl From<d1_model::Error> for Refused {
    fn from(error: d1_model::Error) -> Self {
        Self::new("ServiceFailure", 500, "1030", error.to_string())
    }
}
