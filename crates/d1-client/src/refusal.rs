//! The meaning of a node's refusal: the only place where a status, headers and a body become an error.

use std::time::SystemTime;

use d1_model::{ErrorDocument, looks_like_error};
use http_transfer::{
    HeaderMap, StatusCode, header, html_title, looks_like_html, parse_retry_after, shortened,
};
use reqwest::header::RETRY_AFTER;

use crate::error::{Context, Error, ErrorKind, Retry};

/// The most characters of a node's words that a message repeats.
pub(crate) const MOST_CHARACTERS: usize = 500;

/// Returns the error of an answer without the status of success.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8], context: &Context) -> Error {
    let document = error_document(body).or_else(|| error_headers(status, headers));
    let stated = header(headers, RETRY_AFTER.as_str())
        .and_then(|value| parse_retry_after(value, SystemTime::now()))
        .map_or(Retry::Yes, Retry::After);
    let (kind, may_retry) = match document.as_ref().and_then(by_name) {
        // Proxies in front of nodes limit requests, and nodes may report that as a failure.
        _ if matches!(status.as_u16(), 429 | 503) => by_status(status.as_u16()),
        Some(verdict) => verdict,
        None => by_status(status.as_u16()),
    };
    let reason = match &document {
        Some(document) => shortened(&document.to_string(), MOST_CHARACTERS),
        None => without_document(status, body),
    };
    let retry = if may_retry { stated } else { Retry::No };
    context.error(kind).because(reason).with_status(status.as_u16()).with_document(document).with_retry(retry)
}

/// Returns the error in a body that has the status of success.
pub(crate) fn refusal_in_success(status: StatusCode, body: &[u8], context: &Context) -> Option<Error> {
    let document = error_document(body)?;
    let code = u16::try_from(document.error_code).unwrap_or_default();
    let (kind, may_retry) = by_name(&document).unwrap_or_else(|| by_status(code));
    let retry = if may_retry { Retry::Yes } else { Retry::No };
    let reason = shortened(&document.to_string(), MOST_CHARACTERS);
    let error = context.error(kind).because(reason).with_status(status.as_u16());
    Some(error.with_document(Some(document)).with_retry(retry))
}

fn error_document(body: &[u8]) -> Option<ErrorDocument> {
    looks_like_error(body).then(|| ErrorDocument::parse(body).ok())?.map(|parsed| parsed.value)
}

/// The exception in the headers of an answer to `HEAD`: Metacat and the Java library write `-PID`, Python's `-Identifier`.
fn error_headers(status: StatusCode, headers: &HeaderMap) -> Option<ErrorDocument> {
    let text = |name| header(headers, name).filter(|text| !text.is_empty()).map(str::to_owned);
    let name = text("dataone-exception-name")?;
    Some(ErrorDocument {
        // Metacat gives the name of the Java class.
        name: name.rsplit('.').next().unwrap_or_default().to_owned(),
        error_code: i64::from(status.as_u16()),
        detail_code: text("dataone-exception-detailcode").unwrap_or_default(),
        identifier: text("dataone-exception-pid").or_else(|| text("dataone-exception-identifier")),
        description: text("dataone-exception-description"),
        ..ErrorDocument::default()
    })
}

/// The meaning of an exception, and whether trying again can help (DataONE architecture, “Exceptions”).
fn by_name(document: &ErrorDocument) -> Option<(ErrorKind, bool)> {
    Some(match document.name.as_str() {
        "NotFound" => (ErrorKind::NotFound, false),
        "NotAuthorized" | "InvalidCredentials" => (ErrorKind::NotAuthorized, false),
        "InvalidToken" => (ErrorKind::InvalidToken, false),
        "InvalidRequest" | "UnsupportedType" => (ErrorKind::InvalidRequest, false),
        "NotImplemented" => (ErrorKind::NotImplemented, false),
        "ServiceFailure" | "SynchronizationFailed" => (ErrorKind::ServiceFailure, true),
        "InsufficientResources" | "AuthenticationTimeout" => (ErrorKind::Unavailable, true),
        _ => return None,
    })
}

fn by_status(status: u16) -> (ErrorKind, bool) {
    match status {
        400 => (ErrorKind::InvalidRequest, false),
        401 | 403 => (ErrorKind::NotAuthorized, false),
        404 | 410 => (ErrorKind::NotFound, false),
        405 | 501 => (ErrorKind::NotImplemented, false),
        429 => (ErrorKind::RateLimited, true),
        500 => (ErrorKind::ServiceFailure, true),
        // 499 and 522 are nginx's and Cloudflare's statuses for a connection that broke behind them.
        408 | 425 | 499 | 502..=504 | 522 => (ErrorKind::Unavailable, true),
        _ => (ErrorKind::Protocol, false),
    }
}

fn without_document(status: StatusCode, body: &[u8]) -> String {
    let what = if looks_like_html(body) { "a web page" } else { "no DataONE error" };
    let name = status.canonical_reason().unwrap_or_default();
    let mut reason = format!("the node answers {} {name} with {what}", status.as_u16());
    let text = String::from_utf8_lossy(body);
    let said = if looks_like_html(body) { html_title(&text).unwrap_or_default() } else { &text };
    let said = shortened(said, MOST_CHARACTERS);
    if !said.is_empty() {
        reason += ": ";
        reason += &said;
    }
    reason
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn context() -> Context {
        Context::new("test", "x", "https://mn.example".into())
    }

    fn refused(status: u16, headers: &[(&'static str, &str)], body: &str) -> Error {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        refusal(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), &context())
    }

    #[test]
    fn documents_decide_and_statuses_stand_in() {
        let document = |name: &str| format!("<error name='{name}' errorCode='400' detailCode='7'/>");
        for (status, body, kind, retry) in [
            (404, document("NotFound"), ErrorKind::NotFound, Retry::No),
            (401, document("NotAuthorized"), ErrorKind::NotAuthorized, Retry::No),
            (401, document("InvalidToken"), ErrorKind::InvalidToken, Retry::No),
            (400, document("InvalidRequest"), ErrorKind::InvalidRequest, Retry::No),
            (500, document("org.dataone.ServiceFailure"), ErrorKind::ServiceFailure, Retry::Yes),
            (503, document("ServiceFailure"), ErrorKind::Unavailable, Retry::Yes),
            (429, String::new(), ErrorKind::RateLimited, Retry::Yes),
            (409, document("VersionMismatch"), ErrorKind::Protocol, Retry::No),
            (501, String::new(), ErrorKind::NotImplemented, Retry::No),
            (502, "<html><title>Bad\n gateway</title>".to_owned(), ErrorKind::Unavailable, Retry::Yes),
            (418, "short".to_owned(), ErrorKind::Protocol, Retry::No),
        ] {
            let error = refused(status, &[], &body);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {body}");
            assert_eq!(error.status(), Some(status));
        }
        let page = refused(502, &[], "<html><title>Bad\n gateway</title>").to_string();
        assert_eq!(
            page,
            "cannot test x at https://mn.example: the node answers 502 Bad Gateway with a web page: Bad gateway"
        );
        let wait = refused(503, &[("retry-after", "3")], "").retry();
        assert_eq!(wait, Retry::After(Duration::from_secs(3)));
    }

    #[test]
    fn exceptions_in_headers_are_read_in_both_dialects() {
        let class = "org.dataone.service.exceptions.NotFound";
        for (name, place) in [(class, "dataone-exception-pid"), ("NotFound", "dataone-exception-identifier")]
        {
            let headers = [
                ("dataone-exception-name", name),
                ("dataone-exception-detailcode", "1380"),
                ("dataone-exception-description", "no such object"),
                (place, "a b"),
            ];
            let error = refused(404, &headers, "");
            let document = error.document().unwrap();
            assert_eq!(document.to_string(), "NotFound (404, detail code 1380): no such object");
            assert_eq!(document.identifier.as_deref(), Some("a b"));
        }
    }

    #[test]
    fn success_may_be_an_error() {
        let body = b"<?xml version='1.0'?><error name='NotFound' errorCode='404' detailCode='1020'/>";
        let error = refusal_in_success(StatusCode::OK, body, &context()).unwrap();
        assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, Some(200)));
        assert!(refusal_in_success(StatusCode::OK, b"<error/>", &context()).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read(status in 200_u16..600, body in "(<error |<html>|<title>)?\\PC{0,80}") {
            let error = refused(status, &[], &body);
            proptest::prop_assert!(error.to_string().starts_with("cannot test x"));
        }
    }
}
