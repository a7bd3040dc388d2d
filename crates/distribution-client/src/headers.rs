//! Headers of registries: `Link`, `Range` of uploads, and waits in messages.

use std::time::Duration;

use http_transfer::{parse_digits, parse_duration};

/// Returns the target of the first link with `rel=next` in the values of `Link` headers (RFC 8288).
pub(crate) fn next_link<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    values.into_iter().find_map(next_in_value)
}

fn next_in_value(mut rest: &str) -> Option<&str> {
    loop {
        let start = rest.find('<')?;
        let (target, after) = rest.get(start + 1..)?.split_once('>')?;
        let (parameters, following) = split_parameters(after);
        if parameters.split(';').any(is_next) {
            return Some(target.trim());
        }
        rest = following?;
    }
}

/// Splits at the comma that ends a link's parameters, which may stand within quotes.
fn split_parameters(text: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    for (place, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => return (&text[..place], text.get(place + 1..)),
            _ => {}
        }
    }
    (text, None)
}

/// Recognises `rel=next`, with or without quotes (olareg sends none), alone or among other relations.
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("rel")
        && value
            .trim()
            .trim_matches('"')
            .split_ascii_whitespace()
            .any(|kind| kind.eq_ignore_ascii_case("next"))
}

/// Returns the place of the last byte of an upload session, from `0-LAST` (distribution-spec, "Pushing a blob in
/// chunks").
///
/// Quay writes `bytes=0-LAST`, and `bytes=0--1` for an empty session, for which the result is `None`.
pub(crate) fn parse_upload_range(value: &str) -> Option<u64> {
    let value = value.trim();
    let span = value.strip_prefix("bytes=").unwrap_or(value);
    let (first, last) = span.split_once('-')?;
    if parse_digits(first)? == 0 { parse_digits(last) } else { None }
}

/// Returns the wait that an error's message asks for, where a registry sends no `Retry-After`. GHCR writes
/// `retry-after: 35.852µs, allowed: 44000/minute`.
pub(crate) fn find_retry_after(message: &str) -> Option<Duration> {
    const NAME: &str = "retry-after:";
    let place = message.to_ascii_lowercase().find(NAME)?;
    let rest = message.get(place + NAME.len()..)?.trim_start();
    let end = rest.find([',', ' ', '"', '<', '\n', '\r']).unwrap_or(rest.len());
    parse_duration(rest.get(..end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_in_every_form() {
        for (value, expected) in [
            (r#"</v2/a/tags/list?n=2&last=b>; rel="next""#, Some("/v2/a/tags/list?n=2&last=b")),
            ("</v2/a/tags/list?last=b>; rel=next", Some("/v2/a/tags/list?last=b")),
            (r#"<https://r/x?a=1,2>; title="a,b"; REL="Next""#, Some("https://r/x?a=1,2")),
            (r#"</first>; rel="prev", </second>; rel="last next""#, Some("/second")),
            (r#"</first>; rel="prev""#, None),
            ("</no-relation>", None),
            ("", None),
            ("<unclosed; rel=next", None),
        ] {
            assert_eq!(next_link([value]), expected, "{value}");
        }
        assert_eq!(next_link(["</a>; rel=prev", "</b>; rel=next"]), Some("/b"));
    }

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

    #[test]
    fn waits_are_found_in_messages() {
        for (message, expected) in [
            ("retry-after: 35.852µs, allowed: 44000/minute", Some(Duration::from_nanos(35852))),
            ("toomanyrequests: Retry-After: 2ms", Some(Duration::from_millis(2))),
            ("retry-after: 1m", Some(Duration::from_secs(60))),
            ("retry-after:", None),
            ("slow down", None),
        ] {
            assert_eq!(find_retry_after(message), expected, "{message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_link_is_read(text in "[<>;,=\" a-z]{0,60}|\\PC{0,60}") {
            let _ = next_link([text.as_str()]);
        }

        #[test]
        fn a_well_formed_link_is_found_behind_others(target in "[a-z/?&=.,]{1,30}", other in "[a-z/]{0,10}") {
            let value = format!("<{other}>; rel=\"prev\"; title=\"x, y\", <{target}>; rel=\"next\"");
            proptest::prop_assert_eq!(next_link([value.as_str()]), Some(target.as_str()));
        }

        #[test]
        fn any_upload_range_is_read(text in "(bytes=)?[0-9-]{0,30}|\\PC{0,30}") {
            let _ = parse_upload_range(&text);
        }

        #[test]
        fn any_message_is_read(text in "(retry-after:)?[0-9. µsmh]{0,20}|\\PC{0,40}") {
            let _ = find_retry_after(&text);
        }
    }
}
