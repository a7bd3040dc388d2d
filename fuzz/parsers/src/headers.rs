//! The headers of servers, registries first.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use distribution_client::fuzzing;
use http_transfer::{
    ContentRange, Network, Url, parse_content_range, parse_retry_after, parse_unsatisfied_range, resolve,
};

use crate::text;

/// A registry on the open internet, whose answers may lead nowhere private.
const REGISTRY: &str = "https://r.example/v2/a/b/tags/list";

/// Reads `Link`.
pub fn link(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(target) = fuzzing::next_link(text) {
        assert!(text.contains(target));
        let written = format!("<{target}>; rel=\"next\"");
        assert_eq!(fuzzing::next_link(&written), Some(target));
        check_place(target);
    }
}

/// Reads `Content-Range`, and `Range` of uploads.
pub fn content_range(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let _ = (parse_unsatisfied_range(text), fuzzing::upload_range(text));
    let Some(ContentRange { range, complete }) = parse_content_range(text) else { return };
    assert!(range.start < range.end && complete.is_none_or(|size| range.end <= size));
    let size = complete.map_or_else(|| "*".to_owned(), |size| size.to_string());
    let written = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    assert_eq!(parse_content_range(&written), Some(ContentRange { range, complete }));
}

/// Reads `Retry-After`, and what some registries write instead.
pub fn retry_after(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let _ = (parse_retry_after(text, now), fuzzing::find_retry_after(text));
}

/// Reads `WWW-Authenticate`: credentials go to no unsafe token server.
pub fn www_authenticate(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(realm) = fuzzing::token_server(REGISTRY, text) {
        assert!(realm.starts_with("https://") && !is_private(&realm), "{realm}");
    }
}

/// Reads `Location`.
pub fn location(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        check_place(text);
    }
}

/// Reads `Warning`: no control characters reach a terminal.
pub fn warning(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(warning) = fuzzing::warning(text) {
        assert!(!warning.chars().any(char::is_control), "{warning:?}");
    }
}

fn check_place(text: &str) {
    let Ok(registry) = Url::parse(REGISTRY) else { return };
    if let Ok(url) = resolve(&registry, Network::of(&registry), text) {
        assert!(url.scheme() == "https" && !is_private(url.as_str()), "{url}");
    }
}

/// Tells whether the host of a URL is written as this machine or as an address of a private network.
fn is_private(url: &str) -> bool {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    // One dot at the end makes no other name; more make none.
    let name = name.strip_suffix('.').unwrap_or(name);
    let v4 = name.parse::<Ipv4Addr>();
    v4.is_ok_and(|v4| v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified())
        || host.starts_with("[::1]")
        || name == "localhost"
        || name.ends_with(".localhost")
}
