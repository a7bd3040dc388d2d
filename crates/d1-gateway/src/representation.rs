//! Choosing the answer for a representation: whole, a range, not modified, or refused (RFC 9110 sections 13 and 14).

use std::ops::Range;

use axum::http::Method;
use axum::http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use jiff::Timestamp;

use crate::request::Request;

/// The validators and the size of the current representation of a resource.
#[derive(Clone, Debug)]
pub(crate) struct Validators {
    /// The entity tag with its quotation marks. It is strong.
    pub(crate) etag: String,
    pub(crate) modified: Option<Timestamp>,
    /// The size in bytes, if it is known. Without it, there are no ranges.
    pub(crate) size: Option<u64>,
}

/// The part of a representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    Whole,
    Part(Range<u64>),
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

/// Evaluates the preconditions of a request, in the order of RFC 9110 section 13.2.2, and then its range.
pub(crate) fn select(request: &Request, current: &Validators) -> Selected {
    if let Some(wanted) = request.header(IF_MATCH) {
        if !lists(wanted, &current.etag, false) {
            return Selected::PreconditionFailed;
        }
    } else if let (Some(since), Some(modified)) = (date(request, IF_UNMODIFIED_SINCE), current.modified)
        && modified.as_second() > since
    {
        return Selected::PreconditionFailed;
    }
    if let Some(known) = request.header(IF_NONE_MATCH) {
        if lists(known, &current.etag, true) {
            return Selected::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(request, IF_MODIFIED_SINCE), current.modified)
        && modified.as_second() <= since
    {
        return Selected::NotModified;
    }
    let (Some(range), Some(size)) = (request.header(RANGE), current.size) else { return Selected::Whole };
    if request.method != Method::GET || !may_continue(request, current) {
        return Selected::Whole;
    }
    match parse_range(range, size) {
        Parsed::One(range) => Selected::Part(range),
        Parsed::Ignored => Selected::Whole,
        Parsed::Unsatisfiable => Selected::Unsatisfiable,
    }
}

/// Returns whether the condition of `If-Range` holds.
fn may_continue(request: &Request, current: &Validators) -> bool {
    let Some(condition) = request.header(IF_RANGE) else { return true };
    if condition.starts_with('"') {
        return condition == current.etag;
    }
    // A date is exact to the second, and so is only as strong as the content is immutable. Content here is.
    let (Some(modified), Some(since)) = (current.modified, http_date(condition)) else { return false };
    modified.as_second() == since
}

fn date(request: &Request, name: axum::http::HeaderName) -> Option<i64> {
    http_date(request.header(name)?)
}

/// Returns the seconds since 1970 of a date in a header.
fn http_date(text: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(text).ok()?;
    let elapsed = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(elapsed.as_secs()).ok()
}

/// Returns whether a list of entity tags has one, or is `*`.
fn lists(list: &str, etag: &str, is_weak: bool) -> bool {
    list.split(',').map(str::trim).any(|known| {
        let known = if is_weak { known.strip_prefix("W/").unwrap_or(known) } else { known };
        known == "*" || known == etag
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    One(Range<u64>),
    Ignored,
    Unsatisfiable,
}

/// Reads a `Range` header. Several ranges and syntax errors are ignored, as RFC 9110 section 14.2 allows.
fn parse_range(text: &str, size: u64) -> Parsed {
    let Some((unit, range)) = text.split_once('=') else { return Parsed::Ignored };
    let Some((first, last)) = range.trim().split_once('-') else { return Parsed::Ignored };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Parsed::Ignored;
    }
    let range = match (number(first.trim()), number(last.trim())) {
        // The last bytes.
        (Number::None, Number::Some(count)) => size.saturating_sub(count)..size,
        (Number::Some(first), Number::None) => first..size,
        (Number::Some(first), Number::Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        _ => return Parsed::Ignored,
    };
    if range.start >= range.end { Parsed::Unsatisfiable } else { Parsed::One(range) }
}

/// Reads a `Range` header: `None` for the whole content, `Some(None)` for a range that is not in it.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_range(text: &str, size: u64) -> Option<Option<Range<u64>>> {
    match parse_range(text, size) {
        Parsed::One(range) => Some(Some(range)),
        Parsed::Unsatisfiable => Some(None),
        Parsed::Ignored => None,
    }
}

enum Number {
    None,
    Some(u64),
    Wrong,
}

/// Reads digits. A number above the largest counts as the largest: every content is smaller.
fn number(text: &str) -> Number {
    match text {
        "" => Number::None,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Number::Some(digits.parse().unwrap_or(u64::MAX))
        }
        _ => Number::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

    use super::*;
    use crate::options::GatewayOptions;

    fn selected(method: Method, pairs: &[(&str, &str)]) -> Selected {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("h"));
        for (name, value) in pairs {
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let client = [127, 0, 0, 1].into();
        let options = GatewayOptions::default();
        let request = Request::of(method, &Uri::from_static("/"), headers, client, &options).unwrap();
        let modified = "2024-09-18T12:00:00.5Z".parse().ok();
        select(&request, &Validators { etag: "\"a\"".to_owned(), modified, size: Some(10) })
    }

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=0-0", Parsed::One(0..1)),
            ("bytes=5-", Parsed::One(5..10)),
            ("bytes=5-99999999999999999999999", Parsed::One(5..10)),
            ("bytes=-3", Parsed::One(7..10)),
            ("bytes=-99", Parsed::One(0..10)),
            ("BYTES= 1 - 2 ", Parsed::One(1..3)),
            ("bytes=-0", Parsed::Unsatisfiable),
            ("bytes=10-", Parsed::Unsatisfiable),
            ("bytes=99999999999999999999-", Parsed::Unsatisfiable),
            ("bytes=3-2", Parsed::Ignored),
            ("bytes=-", Parsed::Ignored),
            ("bytes=a-b", Parsed::Ignored),
            ("bytes=0-1,4-5", Parsed::Ignored),
            ("bytes=+1-2", Parsed::Ignored),
            ("rows=1-2", Parsed::Ignored),
            ("bytes", Parsed::Ignored),
            ("", Parsed::Ignored),
        ] {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Parsed::Unsatisfiable);
    }

    proptest::proptest! {
        #[test]
        fn a_range_lies_inside_the_content(text in "bytes=[-0-9, ]{0,25}", size in 0..100_u64) {
            if let Parsed::One(range) = parse_range(&text, size) {
                assert!(range.start < range.end && range.end <= size);
            }
        }
    }

    #[test]
    fn preconditions_come_before_the_range() {
        let same = "Wed, 18 Sep 2024 12:00:00 GMT";
        let before = "Wed, 18 Sep 2024 11:00:00 GMT";
        for (pairs, expected) in [
            (&[("if-none-match", "\"b\", W/\"a\""), ("range", "bytes=0-0")][..], Selected::NotModified),
            (&[("if-none-match", "*")], Selected::NotModified),
            (&[("if-none-match", "\"b\""), ("if-modified-since", same)], Selected::Whole),
            (&[("if-modified-since", same)], Selected::NotModified),
            (&[("if-modified-since", before)], Selected::Whole),
            (&[("if-match", "\"b\"")], Selected::PreconditionFailed),
            (&[("if-match", "W/\"a\"")], Selected::PreconditionFailed),
            (&[("if-match", "\"a\""), ("range", "bytes=1-2")], Selected::Part(1..3)),
            (&[("if-unmodified-since", before)], Selected::PreconditionFailed),
            (&[("range", "bytes=1-2"), ("if-range", "\"a\"")], Selected::Part(1..3)),
            (&[("range", "bytes=1-2"), ("if-range", "\"b\"")], Selected::Whole),
            (&[("range", "bytes=1-2"), ("if-range", "W/\"a\"")], Selected::Whole),
            (&[("range", "bytes=1-2"), ("if-range", same)], Selected::Part(1..3)),
            (&[("range", "bytes=1-2"), ("if-range", before)], Selected::Whole),
            (&[("range", "bytes=10-")], Selected::Unsatisfiable),
        ] {
            assert_eq!(selected(Method::GET, pairs), expected, "{pairs:?}");
        }
        assert_eq!(selected(Method::HEAD, &[("range", "bytes=1-2")]), Selected::Whole);
    }
}
