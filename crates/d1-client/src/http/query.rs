//! The query of a URL, written so that no server can misread it.

use std::fmt::Write as _;

/// Writes names and values as `name=value&…`; all but unreserved characters (RFC 3986 section 2.3) are escaped, since
/// servers disagree about `+`, `;` and `'` in queries.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut written = String::new();
    for (name, value) in pairs {
        if !written.is_empty() {
            written.push('&');
        }
        escape(&mut written, name);
        written.push('=');
        escape(&mut written, value);
    }
    written
}

fn escape(written: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(written, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn everything_that_is_read_differently_is_escaped() {
        assert_eq!(
            query([("fromDate", "2020-01-01T00:00:00.000+00:00"), ("q", "id:\"é;'&\"")]),
            "fromDate=2020-01-01T00%3A00%3A00.000%2B00%3A00&q=id%3A%22%C3%A9%3B%27%26%22"
        );
        assert_eq!(query([]), "");
    }
}
