//! The parsers of headers as functions of text, for the fuzz targets of this project alone; no part of the interface.

use std::time::Duration;

use http_transfer::Url;

use crate::auth::challenge::{Challenge, choose};
use crate::http;

/// Reads `Link`.
#[must_use]
pub fn next_link(value: &str) -> Option<&str> {
    http::link::next_link([value])
}

/// Reads `Range` of an upload.
#[must_use]
pub fn upload_range(value: &str) -> Option<u64> {
    http::upload_range::parse_upload_range(value)
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

/// Reads `WWW-Authenticate`: the token server that credentials would go to.
#[must_use]
pub fn token_server(registry: &str, value: &str) -> Option<String> {
    match choose(&Url::parse(registry).ok()?, [value]) {
        Ok(Challenge::Bearer(bearer)) => Some(bearer.realm.into()),
        _ => None,
    }
}
