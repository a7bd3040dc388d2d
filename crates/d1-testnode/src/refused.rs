//! What the node does not do: a DataONE exception, in a document or in headers.

use axum::body::Body;
use axum::http::header::HeaderName;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use d1_model::ErrorDocument;

use crate::answer::{with_header, xml};
use crate::behaviour::Dialect;
use crate::xml::MEMBER_NODE;

/// What a call comes to.
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
        if *method == Method::HEAD { self.in_headers(dialect) } else { self.in_document() }
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
        // All texts here can be written.
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
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
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
