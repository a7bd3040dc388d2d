//! Headers as servers write them: `Content-Range`, `Retry-After`, numbers and text.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

/// The bytes of a partial answer, as its `Content-Range` states them (status 206, RFC 9110 section 15.3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The bytes, counted from 0; never empty, and inside the whole.
    pub range: Range<u64>,
    /// The size of the whole in bytes, if stated.
    pub complete: Option<u64>,
}

/// Returns the text of a header without whitespace at its ends.
///
/// RFC 9110 section 5.5 expects ASCII, but some servers send UTF-8, which is accepted.
#[must_use]
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).map(str::trim)
}

/// Reads `bytes FIRST-LAST/SIZE` or `bytes FIRST-LAST/*` (RFC 9110 section 14.4). Returns `None` for other units and
/// for ranges that contradict themselves.
///
/// ```
/// use http_transfer::parse_content_range;
///
/// let range = parse_content_range("bytes 0-499/1234").ok_or("not a range")?;
/// assert_eq!((range.range, range.complete), (0..500, Some(1234)));
/// assert!(parse_content_range("bytes 500-0/1234").is_none());
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn parse_content_range(value: &str) -> Option<ContentRange> {
    let (unit, rest) = value.trim().split_once(' ')?;
    let (span, complete) = rest.trim().split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let range = parse_digits(first)?..parse_digits(last)?.checked_add(1)?;
    let complete = match complete.trim() {
        "*" => None,
        size => Some(parse_digits(size)?),
    };
    let fits = range.start < range.end && complete.is_none_or(|size| range.end <= size);
    (unit.eq_ignore_ascii_case("bytes") && fits).then_some(ContentRange { range, complete })
}

/// Reads the size in bytes from the `Content-Range` of a refused range, `bytes */SIZE` (status 416, RFC 9110 section
/// 15.5.17).
#[must_use]
pub fn parse_unsatisfied_range(value: &str) -> Option<u64> {
    let (unit, rest) = value.trim().split_once(' ')?;
    let size = rest.trim().strip_prefix("*/")?;
    if unit.eq_ignore_ascii_case("bytes") { parse_digits(size) } else { None }
}

/// Reads a number of digits alone, HTTP's `1*DIGIT`. `u64::from_str` would also accept a sign.
#[must_use]
pub fn parse_digits(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Reads the wait that a `Retry-After` asks for (RFC 9110 section 10.2.3): seconds, or a date that is compared with
/// `now`. A date in the past asks for no wait. Durations as [`parse_duration`] reads them are accepted too.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use http_transfer::parse_retry_after;
///
/// assert_eq!(parse_retry_after("120", SystemTime::now()), Some(Duration::from_secs(120)));
/// let past = parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", SystemTime::now());
/// assert_eq!(past, Some(Duration::ZERO));
/// ```
#[must_use]
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(date) = httpdate::parse_http_date(value) {
        return Some(date.duration_since(now).unwrap_or_default());
    }
    parse_duration(value)
}

/// Reads a number with a unit of Go's `time.Duration`, which many servers write, or a number of seconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let seconds = match unit {
        "" | "s" => 1.0,
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn headers_are_read_as_servers_write_them() {
        let mut headers = HeaderMap::new();
        headers.insert("a", HeaderValue::from_static(" 5 "));
        headers.insert("b", HeaderValue::from_bytes("Größe".as_bytes()).unwrap());
        headers.insert("c", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(header(&headers, "A"), Some("5"));
        assert_eq!(header(&headers, "b"), Some("Größe"));
        assert_eq!(header(&headers, "c"), None);
        assert_eq!(header(&headers, "d"), None);
    }

    #[test]
    fn content_ranges_are_read() {
        let whole = |range, complete| Some(ContentRange { range, complete });
        for (value, expected) in [
            ("bytes 0-9/10", whole(0..10, Some(10))),
            ("bytes 5-5/10", whole(5..6, Some(10))),
            ("Bytes 5-9/*", whole(5..10, None)),
            ("bytes 0-10/10", None),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("items 0-9/10", None),
            ("bytes +0-9/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("", None),
        ] {
            assert_eq!(parse_content_range(value), expected, "{value}");
        }
        assert_eq!(parse_unsatisfied_range("bytes */10"), Some(10));
        assert_eq!(parse_unsatisfied_range("bytes 0-1/10"), None);
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("120", Some(Duration::from_secs(120))),
            (" 0 ", Some(Duration::ZERO)),
            ("1.5", Some(Duration::from_millis(1500))),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(Duration::from_secs(30))),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(Duration::ZERO)),
            ("-5", None),
            ("soon", None),
            ("", None),
            (".", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(parse_retry_after(value, now), expected, "{value}");
        }
        for (text, expected) in [
            ("35.852µs", Some(Duration::from_nanos(35852))),
            ("2ms", Some(Duration::from_millis(2))),
            ("1m", Some(Duration::from_secs(60))),
            ("1d", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_content_range_is_read(text in "(bytes )?[0-9*/=-]{0,30}|\\PC{0,30}") {
            let _ = (parse_content_range(&text), parse_unsatisfied_range(&text), parse_digits(&text));
        }

        #[test]
        fn a_written_content_range_is_read_back(
            first in 0_u64..1000, length in 1_u64..1000, rest in 0_u64..1000
        ) {
            let (last, size) = (first + length - 1, first + length + rest);
            let read = parse_content_range(&format!("bytes {first}-{last}/{size}"));
            proptest::prop_assert_eq!(read, Some(ContentRange { range: first..last + 1, complete: Some(size) }));
        }

        #[test]
        fn any_retry_after_is_read(text in "[0-9. µsmh]{0,30}|\\PC{0,40}") {
            let _ = parse_retry_after(&text, SystemTime::UNIX_EPOCH);
        }

        #[test]
        fn seconds_are_exact(seconds in 0_u32..1_000_000) {
            let read = parse_retry_after(&seconds.to_string(), SystemTime::UNIX_EPOCH);
            proptest::prop_assert_eq!(read, Some(Duration::from_secs(seconds.into())));
        }
    }
}
