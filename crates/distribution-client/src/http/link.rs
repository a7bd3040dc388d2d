//! The `Link` header (RFC 8288), as far as paging needs it.

/// Returns the target of the first link with `rel=next` in the values of a response's `Link` headers.
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

/// `rel=next`, with or without quotes (olareg sends none), alone or among other relations.
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("rel")
        && value
            .trim()
            .trim_matches('"')
            .split_ascii_whitespace()
            .any(|kind| kind.eq_ignore_ascii_case("next"))
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

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[<>;,=\" a-z]{0,60}|\\PC{0,60}") {
            let _ = next_link([text.as_str()]);
        }

        #[test]
        fn a_well_formed_link_is_found_behind_others(target in "[a-z/?&=.,]{1,30}", other in "[a-z/]{0,10}") {
            let value = format!("<{other}>; rel=\"prev\"; title=\"x, y\", <{target}>; rel=\"next\"");
            proptest::prop_assert_eq!(next_link([value.as_str()]), Some(target.as_str()));
        }
    }
}
