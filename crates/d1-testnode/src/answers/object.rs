//! The bytes of objects, whole and in part, and the headers alone.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use d1_model::media_type_for;
use scripted_http::axum::body::Body;
use scripted_http::axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LAST_MODIFIED,
};
use scripted_http::axum::http::{HeaderValue, StatusCode};
use scripted_http::axum::response::Response;
use scripted_http::with_header;

use crate::answer::{Answered, Refused};
use crate::behaviour::Dialect;
use crate::catalog::instant;
use crate::exchange::Exchange;
use crate::object::{StoredObject, wrong};

/// Answers `GET /object/{id}`.
pub(crate) fn get(exchange: &Exchange<'_>) -> Answered {
    let object = object(exchange, "1020", "1000")?;
    let size = object.content().size();
    if size == 0 && exchange.app.behaviour.dialect == Dialect::Gmn {
        return Err(Refused::new("ServiceFailure", 500, "0", "File path exists but is not a file"));
    }
    let asked = exchange.header("range").filter(|_| has_ranges(exchange) && !exchange.lies.ignores_range);
    let Some(asked) = asked.and_then(|value| parse_range(value, size)) else {
        let body = Body::from_stream(object.content().pieces(0..size));
        let response = described(exchange, &object, Response::new(body));
        return Ok(with_length(response, size));
    };
    let Some(mut range) = asked else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        return Ok(with_header(response, CONTENT_RANGE, &format!("bytes */{size}")));
    };
    range.start = range.start.saturating_add(exchange.lies.shifts_range).min(size.saturating_sub(1));
    if let Some(shortest) = exchange.lies.shortest_range {
        range.end = range.end.min(range.start.saturating_add(shortest.max(1)));
    }
    let body = Body::from_stream(object.content().pieces(range.clone()));
    let mut response = described(exchange, &object, Response::new(body));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let stated = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    let response = with_header(response, CONTENT_RANGE, &stated);
    Ok(with_length(response, range.end.saturating_sub(range.start)))
}

/// Answers `HEAD /object/{id}`.
pub(crate) fn describe(exchange: &Exchange<'_>) -> Answered {
    let object = object(exchange, "1380", "1360")?;
    let response = described(exchange, &object, Response::new(Body::empty()));
    Ok(with_length(response, object.content().size()))
}

fn object(
    exchange: &Exchange<'_>,
    not_found: &'static str,
    not_authorized: &'static str,
) -> Result<Arc<StoredObject>, Refused> {
    let object = exchange.object(not_found, not_authorized)?;
    if super::is_kept_by(exchange.target.role, &object) {
        return Ok(object);
    }
    let description = "a Coordinating Node keeps no data: resolve its identifier";
    Err(Refused::new("NotFound", 404, not_found, description).of(object.identifier()))
}

/// Adds the headers of `describe`, which nodes send with objects too.
fn described(exchange: &Exchange<'_>, object: &StoredObject, mut response: Response) -> Response {
    let meta = &object.meta;
    let checksum =
        if exchange.lies.has_wrong_checksum { wrong(&meta.checksum) } else { meta.checksum.clone() };
    let mut headers = vec![
        ("dataone-checksum", format!("{},{}", checksum.algorithm(), checksum.value())),
        ("dataone-serialversion", meta.serial_version.unwrap_or_default().to_string()),
    ];
    match exchange.app.behaviour.dialect {
        Dialect::Metacat => {
            headers.push(("dataone-objectformat", meta.format_id.clone()));
            let date = meta.date_modified.as_ref().map(ToString::to_string);
            headers.push(("last-modified", date.unwrap_or_default()));
        }
        Dialect::Gmn => {
            headers.push(("dataone-formatid", meta.format_id.clone()));
            headers.push(("dataone-gmn", "3.5.2".to_owned()));
            let chain = [
                ("dataone-seriesid", &meta.series_id),
                ("dataone-obsoletes", &meta.obsoletes),
                ("dataone-obsoletedby", &meta.obsoleted_by),
            ];
            headers.extend(
                chain.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?.to_string()))),
            );
            let date = instant(object).and_then(|instant| u64::try_from(instant.as_second()).ok());
            let date = date.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            let date = date.map(httpdate::fmt_http_date);
            headers.push((LAST_MODIFIED.as_str(), date.unwrap_or_default()));
        }
    }
    for (name, value) in headers {
        response = with_header(response, HeaderName::from_static(name), &value);
    }
    if has_ranges(exchange) {
        response = with_header(response, ACCEPT_RANGES, "bytes");
    }
    let media_type = media_type_for(&meta.format_id).unwrap_or("application/octet-stream");
    with_header(response, CONTENT_TYPE, media_type)
}

/// The Generic Member Node ignores `Range`.
fn has_ranges(exchange: &Exchange<'_>) -> bool {
    exchange.app.behaviour.ranges && exchange.app.behaviour.dialect == Dialect::Metacat
}

fn with_length(mut response: Response, length: u64) -> Response {
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// Reads `bytes=FIRST-[LAST]`, the form that Metacat knows. `None` for anything else; `Some(None)` for what lies outside.
fn parse_range(value: &str, size: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    Some((first < size && first <= last).then(|| first..last.saturating_add(1).min(size)))
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges_are_cut_to_the_object() {
        for (value, expected) in [
            ("bytes=0-", Some(Some(0..10))),
            ("bytes=3-4", Some(Some(3..5))),
            ("bytes=9-99", Some(Some(9..10))),
            ("bytes=10-", Some(None)),
            ("bytes=-5", None),
            ("bytes=0-1,3-4", None),
        ] {
            assert_eq!(parse_range(value, 10), expected, "{value}");
        }
    }
}
