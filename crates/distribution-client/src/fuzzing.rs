//! The parsers of headers as functions of text, for the fuzz targets of this project alone; no part of the interface.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use reqwest::Url;

use crate::auth::challenge::{Challenge, choose};
use crate::http;

/// Reads `Link`.
#[must_use]
pub fn next_link(value: &str) -> Option<&str> {
    http::link::next_link([value])
}

/// Reads `Content-Range`: the bytes that come, and the size of the whole.
#[must_use]
pub fn content_range(value: &str) -> Option<(Range<u64>, Option<u64>)> {
    http::range::parse_content_range(value).map(|read| (read.range, read.complete))
}

/// Reads `Content-Range` of a `416`.
#[must_use]
pub fn unsatisfied_range(value: &str) -> Option<u64> {
    http::range::parse_unsatisfied_range(value)
}

/// Reads `Range` of an upload.
#[must_use]
pub fn upload_range(value: &str) -> Option<u64> {
    http::range::parse_upload_range(value)
}

/// Reads `Retry-After`.
#[must_use]
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    http::retry_after::parse_retry_after(value, now)
}

/// Finds the wait in an error's message.
#[must_use]
pub fn find_retry_after(message: &str) -> Option<Duration> {
    http::retry_after::find_retry_after(message)
}

/// Reads `Warning`.
#[must_use]
pub fn warning(value: &str) -> Option<String> {
    http::warning::parse_warning(value)
}

/// Resolves a `Location` against the URL of the request.
#[must_use]
pub fn location(base: &str, value: &str) -> Option<String> {
    http::location::resolve(&Url::parse(base).ok()?, value).ok().map(String::from)
}

/// Reads `WWW-Authenticate`: the token server that credentials would go to.
#[must_use]
pub fn token_server(registry: &str, value: &str) -> Option<String> {
    match choose(&Url::parse(registry).ok()?, [value]) {
        Ok(Challenge::Bearer(bearer)) => Some(bearer.realm.into()),
        _ => None,
    }
}
