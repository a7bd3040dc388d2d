//! Blobs: asking for them, reading them whole or in part, and deleting them, from the registry or by a link to the storage host.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use futures::StreamExt;
use oci_model::Digest;
use scripted_http::axum::body::Body;
use scripted_http::axum::http::Method;
use scripted_http::axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, LOCATION};
use scripted_http::axum::response::Response;
use scripted_http::{empty, full, with_header};

use super::{CONTENT_DIGEST, digest};
use crate::scripted::answer::{Answered, Refused};
use crate::scripted::exchange::Exchange;
use crate::scripted::route::STORAGE_PATH;
use crate::scripted::store;

const BINARY: &str = "application/octet-stream";

/// Answers `HEAD` and `GET` of a blob.
pub(in crate::scripted) fn read(exchange: &Exchange<'_>) -> Answered {
    let digest = digest(exchange)?;
    let repository = &exchange.target.repository;
    let size = exchange.app.store.look(repository, |repository| repository.blobs.get(&digest).copied());
    let size = size.ok_or_else(unknown)?;
    match exchange.app.config.behaviour.blobs.redirect {
        Some(status) if exchange.parts.method == Method::GET => Ok(redirect(exchange, status, &digest)),
        _ => content(exchange, &digest, size),
    }
}

/// Answers `GET` on the storage host; the signature of a link is not good for `HEAD`.
pub(in crate::scripted) fn read_from_storage(exchange: &Exchange<'_>) -> Answered {
    if exchange.parts.method != Method::GET {
        return Err(Refused::new(403, "DENIED", "the signature is for another method"));
    }
    let digest = digest(exchange)?;
    let size = exchange.app.store.blob_anywhere(&digest).ok_or_else(unknown)?;
    content(exchange, &digest, size)
}

/// Answers `DELETE` of a blob.
pub(in crate::scripted) fn delete(exchange: &Exchange<'_>) -> Answered {
    if !exchange.app.config.behaviour.deletes.blobs {
        return Err(Refused::new(405, "UNSUPPORTED", "blobs cannot be deleted"));
    }
    let digest = digest(exchange)?;
    let removed =
        exchange.app.store.change(&exchange.target.repository, |repository| repository.blobs.remove(&digest));
    removed.map(|_| empty(202)).ok_or_else(unknown)
}

fn unknown() -> Refused {
    Refused::new(404, "BLOB_UNKNOWN", "blob unknown to registry")
}

fn redirect(exchange: &Exchange<'_>, status: u16, digest: &Digest) -> Response {
    let behaviour = &exchange.app.config.behaviour.blobs;
    let now = Instant::now();
    let until = if exchange.lies.gives_expired_links { now } else { now + behaviour.link_lifetime };
    let signature = exchange.app.links.sign(until);
    let url = format!("http://{}{STORAGE_PATH}{digest}?signature={signature}", exchange.app.storage_host);
    let response = if behaviour.redirect_html {
        full(status, "text/html", format!("<!doctype html>\n<p>Redirecting to <a href=\"{url}\">there</a>\n"))
    } else {
        empty(status)
    };
    with_header(response, LOCATION, &url)
}

fn content(exchange: &Exchange<'_>, digest: &Digest, stated: u64) -> Answered {
    let path = exchange.app.store.spool.blob_path(digest);
    // A spoiled blob has fewer bytes than the registry states.
    let size = if exchange.parts.method == Method::HEAD { stated } else { path.metadata()?.len() };
    let ranges = exchange.app.config.behaviour.blobs.ranges && !exchange.lies.ignores_range;
    let range = exchange.header("range").filter(|_| ranges);
    let (status, range) = match range.map(|text| parse_range(text, size)) {
        Some(Parsed::Outside | Parsed::Reversed)
            if exchange.app.config.behaviour.blobs.breaks_off_outside =>
        {
            return Ok(broken_off(size));
        }
        None | Some(Parsed::Reversed | Parsed::NotARange) => (200, None),
        Some(Parsed::Outside) => {
            let refused = Refused::new(416, "RANGE_INVALID", "the range is outside of the blob");
            return Err(refused.with_header(CONTENT_RANGE, format!("bytes */{size}")));
        }
        Some(Parsed::Inside(range)) => {
            let first = range.start().saturating_add(exchange.lies.shifts_content).min(*range.end());
            (206, Some(first..=*range.end()))
        }
    };
    let (start, length) =
        range.as_ref().map_or((0, size), |range| (*range.start(), range.end() - range.start() + 1));
    let body = match exchange.parts.method {
        Method::HEAD => Body::empty(),
        _ => Body::from_stream(store::read(&path, start, length)?),
    };
    let mut response = full(status, BINARY, body);
    response = with_header(response, CONTENT_LENGTH, &length.to_string());
    response = with_header(response, CONTENT_DIGEST, digest.as_str());
    if ranges {
        response = with_header(response, ACCEPT_RANGES, "bytes");
    }
    if let Some(range) = range {
        let text = format!("bytes {}-{}/{size}", range.start(), range.end());
        response = with_header(response, CONTENT_RANGE, &text);
    }
    Ok(response)
}

/// Returns a refusal of a range whose `Content-Length` is that of the blob.
fn broken_off(size: u64) -> Response {
    let said = async { Ok("invalid range: failed to overlap\n") };
    let end = async {
        // The body has left by then.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("the answer ends early"))
    };
    let body = futures::stream::once(said).chain(futures::stream::once(end));
    let response = full(416, "text/plain", Body::from_stream(body));
    with_header(response, CONTENT_LENGTH, &size.to_string())
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Inside(RangeInclusive<u64>),
    Outside,
    /// The last byte comes before the first, so the range is ignored (RFC 9110 section 14.1.1).
    Reversed,
    /// Anything else than a single range of bytes is ignored (RFC 9110 section 14.2).
    NotARange,
}

fn parse_range(text: &str, size: u64) -> Parsed {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Parsed::NotARange;
    };
    let end = size.checked_sub(1);
    match (first.parse::<u64>(), last.parse::<u64>(), end) {
        (Ok(first), Ok(last), _) if last < first => Parsed::Reversed,
        (Ok(first), _, Some(end)) if first > end => Parsed::Outside,
        (Ok(first), Ok(last), Some(end)) => Parsed::Inside(first..=last.min(end)),
        (Ok(first), Err(_), Some(end)) if last.is_empty() => Parsed::Inside(first..=end),
        (Err(_), Ok(0), _) if first.is_empty() => Parsed::Outside,
        (Err(_), Ok(count), Some(end)) if first.is_empty() => {
            Parsed::Inside(size.saturating_sub(count)..=end)
        }
        (Ok(_), _, None) | (Err(_), Ok(_), None) => Parsed::Outside,
        _ => Parsed::NotARange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        for (text, size, expected) in [
            ("bytes=0-9", 10, Parsed::Inside(0..=9)),
            ("bytes=0-0", 10, Parsed::Inside(0..=0)),
            ("bytes=5-99", 10, Parsed::Inside(5..=9)),
            ("bytes=5-", 10, Parsed::Inside(5..=9)),
            ("bytes=-3", 10, Parsed::Inside(7..=9)),
            ("bytes=-30", 10, Parsed::Inside(0..=9)),
            ("bytes=10-", 10, Parsed::Outside),
            ("bytes=-0", 10, Parsed::Outside),
            ("bytes=0-0", 0, Parsed::Outside),
            ("bytes=9-5", 10, Parsed::Reversed),
            ("bytes=0-1,3-4", 10, Parsed::NotARange),
            ("items=0-1", 10, Parsed::NotARange),
            ("bytes=-", 10, Parsed::NotARange),
        ] {
            assert_eq!(parse_range(text, size), expected, "{text} of {size}");
        }
    }
}
