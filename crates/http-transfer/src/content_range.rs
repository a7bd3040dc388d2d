//! `Content-Range` of answers (RFC 9110 section 14.4).

use std::ops::Range;

/// What a partial answer brings, as its `Content-Range` says (status 206, RFC 9110 section 15.3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The bytes that come, counted from 0; never empty, and within the whole.
    pub range: Range<u64>,
    /// The size of the whole in bytes, if it is stated.
    pub complete: Option<u64>,
}

/// Reads a `Content-Range`: `bytes FIRST-LAST/SIZE` or `bytes FIRST-LAST/*` (RFC 9110 section 14.4). `None` if it is none
/// of bytes, or contradicts itself.
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

/// Returns the size in bytes that the `Content-Range` of a refused range states: `bytes */SIZE` (status 416, RFC 9110
/// section 15.5.17).
#[must_use]
pub fn parse_unsatisfied_range(value: &str) -> Option<u64> {
    let (unit, rest) = value.trim().split_once(' ')?;
    let size = rest.trim().strip_prefix("*/")?;
    if unit.eq_ignore_ascii_case("bytes") { parse_digits(size) } else { None }
}

/// Reads a number that is written with digits alone, as HTTP has it (`1*DIGIT`); `u64::from_str` would take a sign too.
#[must_use]
pub fn parse_digits(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(bytes )?[0-9*/=-]{0,30}|\\PC{0,30}") {
            let _ = (parse_content_range(&text), parse_unsatisfied_range(&text), parse_digits(&text));
        }

        #[test]
        fn what_a_server_writes_is_read_back(first in 0_u64..1000, length in 1_u64..1000, rest in 0_u64..1000) {
            let (last, size) = (first + length - 1, first + length + rest);
            let read = parse_content_range(&format!("bytes {first}-{last}/{size}"));
            proptest::prop_assert_eq!(read, Some(ContentRange { range: first..last + 1, complete: Some(size) }));
        }
    }
}
