//! `Content-Range` of answers (RFC 9110 section 14.4).

use std::ops::Range;

/// What a `206` brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The bytes that come.
    pub(crate) range: Range<u64>,
    /// The size of the whole, if it is stated.
    pub(crate) complete: Option<u64>,
}

/// Reads `bytes FIRST-LAST/SIZE` or `bytes FIRST-LAST/*`.
pub(crate) fn parse_content_range(value: &str) -> Option<ContentRange> {
    let (unit, rest) = value.trim().split_once(' ')?;
    let (span, complete) = rest.trim().split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let range = number(first)?..number(last)?.checked_add(1)?;
    let complete = match complete.trim() {
        "*" => None,
        size => Some(number(size)?),
    };
    let fits = range.start < range.end && complete.is_none_or(|size| range.end <= size);
    (unit.eq_ignore_ascii_case("bytes") && fits).then_some(ContentRange { range, complete })
}

/// Returns the size that a `416` states: `bytes */SIZE`.
pub(crate) fn parse_unsatisfied_range(value: &str) -> Option<u64> {
    let (unit, rest) = value.trim().split_once(' ')?;
    let size = rest.trim().strip_prefix("*/")?;
    if unit.eq_ignore_ascii_case("bytes") { number(size) } else { None }
}

/// Only digits: `u64::from_str` would take a sign too.
pub(crate) fn number(text: &str) -> Option<u64> {
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
            let _ = (parse_content_range(&text), parse_unsatisfied_range(&text), number(&text));
        }
    }
}
