//! The parsers of headers as functions of text, for the fuzz targets of this project only; not part of the API.

use std::time::Duration;

use http_transfer::{Network, Url};

use crate::auth::challenge::{Challenge, choose};
use crate::{headers, warning as warnings};

/// Reads `Link`.
#[must_use]
pub fn next_link(value: &str) -> Option<&str> {
    headers::next_link([value])
}

/// Reads `Range` of an upload.
#[must_use]
pub fn upload_range(value: &str) -> Option<u64> {
    headers::parse_upload_range(value)
}

/// Finds the wait in an error's message.
#[must_use]
pub fn find_retry_after(message: &str) -> Option<Duration> {
    headers::find_retry_after(message)
}

/// Reads `Warning`.
#[must_use]
pub fn warning(value: &str) -> Option<String> {
    warnings::parse_warning(value)
}

/// Reads `WWW-Authenticate`: the token server that would get credentials.
#[must_use]
pub fn token_server(registry: &str, value: &str) -> Option<String> {
    let registry = Url::parse(registry).ok()?;
    match choose(&registry, Network::of(&registry), [value]) {
        Ok(Challenge::Bearer(bearer)) => Some(bearer.realm.into()),
        _ => None,
    }
}
