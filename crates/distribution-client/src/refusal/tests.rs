//! Tests of what refusals mean: bodies as registries were seen to send them.

use std::time::Duration;

use registry_backend::{ErrorKind, Retry};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use super::{LONGEST_MESSAGE, Refusal, parse_body};
use crate::context::Context;

fn refusal(status: u16, body: &str) -> Refusal {
    Refusal::new(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
}

fn error_body(code: &str, message: &str) -> String {
    format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":null}}]}}"#)
}

#[test]
fn a_status_and_a_body_have_one_meaning() {
    let cases = [
        (404, error_body("MANIFEST_UNKNOWN", "manifest unknown"), ErrorKind::NotFound, Retry::No),
        (404, "404 page not found\n".to_owned(), ErrorKind::NotFound, Retry::No),
        (
            404,
            error_body("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
            ErrorKind::Incomplete,
            Retry::No,
        ),
        (
            400,
            error_body("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
            ErrorKind::Incomplete,
            Retry::No,
        ),
        (400, error_body("DIGEST_INVALID", "provided digest did not match"), ErrorKind::Invalid, Retry::No),
        (400, error_body("MANIFEST_INVALID", "manifest invalid"), ErrorKind::Invalid, Retry::No),
        (400, error_body("MANIFEST_INVALID", "http: request body too large"), ErrorKind::TooLarge, Retry::No),
        (400, error_body("MANIFEST_INVALID", "unknown media type: x/y"), ErrorKind::Unsupported, Retry::No),
        (413, "<html>".to_owned(), ErrorKind::TooLarge, Retry::No),
        (401, error_body("UNAUTHORIZED", "authentication required"), ErrorKind::Denied, Retry::No),
        (403, error_body("DENIED", "permission_denied: write_package"), ErrorKind::Denied, Retry::No),
        (
            403,
            error_body("DENIED", "You have exceeded a secondary rate limit"),
            ErrorKind::RateLimited,
            Retry::Yes,
        ),
        (405, error_body("UNSUPPORTED", "The operation is unsupported."), ErrorKind::Unsupported, Retry::No),
        (409, error_body("TAG_IMMUTABLE", "immutable"), ErrorKind::Conflict, Retry::No),
        (429, "<html><title>429 Too Many</title>".to_owned(), ErrorKind::RateLimited, Retry::Yes),
        (
            429,
            error_body("TOOMANYREQUESTS", "retry-after: 35.852µs, allowed: 44000/minute"),
            ErrorKind::RateLimited,
            Retry::After(Duration::from_nanos(35852)),
        ),
        (500, String::new(), ErrorKind::Unavailable, Retry::Yes),
        (503, "Egress is over the account limit.".to_owned(), ErrorKind::Unavailable, Retry::Yes),
        (418, r#"{"errors":[{"code":7}]}"#.to_owned(), ErrorKind::Protocol, Retry::No),
        (303, String::new(), ErrorKind::Protocol, Retry::No),
    ];
    for (status, body, kind, retry) in cases {
        let error = refusal(status, &body).into_error(|_| None, &Context::new("read blob", "x"));
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {body}: {error}");
    }
}

#[test]
fn the_header_says_how_long_to_wait() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
    let refused = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, &headers, b"");
    let error = refused.into_error(|_| None, &Context::new("read blob", "x"));
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(7)));
}

#[test]
fn the_error_repeats_what_the_registry_says() {
    let refused = refusal(400, &error_body("NAME_INVALID", "bad\\u001b[31m name"));
    let text = refused.into_error(|_| None, &Context::new("push", "x")).to_string();
    assert_eq!(text, "cannot push x: the registry answers 400 Bad Request NAME_INVALID: bad [31m name");
    let page = refusal(502, "<!doctype html><html><head><title>502 Bad\nGateway</title></head>");
    assert_eq!(page.message, "502 Bad Gateway");
    assert_eq!(refusal(400, &"x".repeat(100_000)).message.len(), LONGEST_MESSAGE);
    assert_eq!(refusal(401, r#"{"error":"invalid","error_description":"no"}"#).message, "no");
}

proptest::proptest! {
    #[test]
    fn any_body_is_read(body in "(\\{\"errors\":\\[)?[<>{}\\[\\]\":,a-z]{0,60}|\\PC{0,60}") {
        let (_, message) = parse_body(body.as_bytes());
        proptest::prop_assert!(message.chars().count() <= LONGEST_MESSAGE);
    }
}
