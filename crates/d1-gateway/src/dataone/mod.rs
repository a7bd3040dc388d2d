//! DataONE's read interface: Member Node, and on request Coordinating Node, in versions 1 and 2.

mod coordinating;
mod documents;
mod member;
mod objects;
mod paging;
mod query;
mod solr;

pub(crate) use self::paging::Paging;

use std::sync::Arc;

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use crate::answer::{self, Kind, Refused, set};
use crate::app::App;
use crate::request::{Request, path_decoded};
use crate::xml::{DECLARATION, escaped};

/// Parses a search and applies it. Returns whether it is one.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_search(text: &str) -> bool {
    let Ok(condition) = query::parse(text) else { return false };
    let fits = condition.fits(&|field: &str| vec![std::borrow::Cow::Owned(field.to_owned())]);
    let mut fields = Vec::new();
    condition.fields(&mut fields);
    let keys = condition.keys(&["id", "seriesId"]);
    // Every document that fits has one of the keys.
    assert!(!fits || keys.is_none_or(|keys| !keys.is_empty()));
    true
}

/// The answer to a call, or a refusal.
type Answered = Result<Response, Refused>;

/// A call of the interface.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a Arc<App>,
    pub(crate) request: &'a Request,
    pub(crate) version: u8,
    /// The raw segments behind the version.
    pub(crate) segments: Vec<&'a str>,
    /// The body of a `POST`.
    pub(crate) form: Bytes,
    /// Whether the Coordinating Node is asked.
    pub(crate) is_coordinating: bool,
}

/// DataONE's numbers for the ways in which one call fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codes {
    pub(crate) not_found: &'static str,
    pub(crate) not_authorized: &'static str,
    pub(crate) invalid: &'static str,
    pub(crate) failure: &'static str,
    pub(crate) not_implemented: &'static str,
    pub(crate) resources: &'static str,
}

impl Codes {
    /// Adds the number to a refusal that has none.
    fn add_to(self, mut refused: Refused) -> Refused {
        if refused.code == "0" {
            refused.code = match refused.kind {
                Kind::NotFound => self.not_found,
                Kind::NotAuthorized => self.not_authorized,
                Kind::InvalidRequest => self.invalid,
                Kind::NotImplemented | Kind::NotAllowed => self.not_implemented,
                Kind::ServiceFailure => self.failure,
                Kind::TooLarge | Kind::Unavailable => self.resources,
            };
        }
        refused
    }
}

impl<'a> Call<'a> {
    /// Returns the parameter that begins at a segment and goes to the end of the path, decoded once. Some clients send the
    /// slashes of identifiers as they are.
    pub(crate) fn rest(&self, from: usize) -> Result<String, Refused> {
        let rest = self.segments.get(from..).unwrap_or_default().join("/");
        let rest = match rest.strip_suffix('/') {
            Some(shorter) if !shorter.is_empty() => shorter,
            _ => &rest,
        };
        let decoded = path_decoded(rest).filter(|text| !text.is_empty());
        decoded.ok_or_else(|| Refused::invalid("expected an identifier, percent-encoded, in the path"))
    }

    /// Returns the URL of this node with its version.
    pub(crate) fn member_url(&self) -> String {
        format!("{}/mn", self.request.base_url)
    }
}

/// Answers a request below `/mn` or `/cn`. `path` is the rest behind it.
pub(crate) async fn answer(
    app: &Arc<App>,
    request: &Request,
    path: &str,
    form: Bytes,
    is_coordinating: bool,
) -> Response {
    let mut segments: Vec<&str> = path.split('/').skip_while(|segment| segment.is_empty()).collect();
    let version = match segments.first().copied() {
        None => 2,
        Some("v2") => 2,
        Some("v1") => 1,
        Some(_) => {
            let refused = Refused::not_found("expected the version v1 or v2 behind the base URL");
            return refuse(app, request, &refused);
        }
    };
    if !segments.is_empty() {
        segments.remove(0);
    }
    if segments.last().is_some_and(|last| last.is_empty()) && segments.len() == 1 {
        segments.clear();
    }
    let call = Call { app, request, version, segments, form, is_coordinating };
    let (answered, codes) = match is_coordinating {
        true => coordinating::answer(&call).await,
        false => member::answer(&call).await,
    };
    answered.unwrap_or_else(|refused| refuse(app, request, &codes.add_to(refused)))
}

/// Returns the document of a refusal, or its headers for `HEAD`.
pub(crate) fn refuse(app: &App, request: &Request, refused: &Refused) -> Response {
    let (kind, node) = (refused.kind, &app.options.node.identifier);
    let status = kind.status();
    let mut response = if request.method == Method::HEAD {
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        set(headers, CONTENT_TYPE, "text/xml");
        set(headers, CONTENT_LENGTH, "0");
        let description = one_line(&refused.message);
        exception_header(headers, "dataone-exception-name", kind.name());
        exception_header(headers, "dataone-exception-detailcode", refused.code);
        exception_header(headers, "dataone-exception-description", &description);
        exception_header(headers, "dataone-exception-nodeid", node);
        if let Some(identifier) = &refused.identifier {
            exception_header(headers, "dataone-exception-pid", identifier);
            exception_header(headers, "dataone-exception-identifier", identifier);
        }
        response
    } else {
        let identifier = refused.identifier.as_deref();
        let identifier =
            identifier.map(|text| format!(" identifier=\"{}\"", escaped(text))).unwrap_or_default();
        let document = format!(
            "{DECLARATION}<error name=\"{}\" errorCode=\"{}\" detailCode=\"{}\"{identifier} nodeId=\"{}\">\
             <description>{}</description></error>\n",
            kind.name(),
            status.as_u16(),
            refused.code,
            escaped(node),
            escaped(&refused.message)
        );
        answer::full(status, "text/xml", document)
    };
    response.headers_mut().extend(refused.headers());
    response
}

fn exception_header(headers: &mut HeaderMap, name: &'static str, value: &str) {
    set(headers, HeaderName::from_static(name), value);
}

fn one_line(text: &str) -> String {
    text.replace("\r\n", " / ").replace(['\r', '\n'], " / ")
}

/// Returns a document.
pub(crate) fn document(text: String) -> Response {
    answer::full(StatusCode::OK, "text/xml", text)
}
