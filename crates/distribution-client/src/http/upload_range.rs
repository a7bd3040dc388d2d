//! `Range` of upload sessions (distribution-spec, "Pushing a blob in chunks").

use http_transfer::parse_digits;

/// Returns the place of the last byte that an upload session has, from `0-LAST`.
///
/// Quay writes `bytes=0-LAST` here, and `bytes=0--1` for an empty session, which is read as nothing.
pub(crate) fn parse_upload_range(value: &str) -> Option<u64> {
    let value = value.trim();
    let span = value.strip_prefix("bytes=").unwrap_or(value);
    let (first, last) = span.split_once('-')?;
    if parse_digits(first)? == 0 { parse_digits(last) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_ranges_are_read_with_the_oddities_of_the_field() {
        for (value, expected) in [
            ("0-0", Some(0)),
            ("0-1023", Some(1023)),
            ("bytes=0-1023", Some(1023)),
            ("bytes=0--1", None),
            ("5-9", None),
            ("0-", None),
            ("0-x", None),
        ] {
            assert_eq!(parse_upload_range(value), expected, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(bytes=)?[0-9-]{0,30}|\\PC{0,30}") {
            let _ = parse_upload_range(&text);
        }
    }
}
