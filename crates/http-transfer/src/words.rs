//! The words of a server: web pages and long texts, shortened for a message.

/// Tells whether a body looks like a web page.
#[must_use]
pub fn looks_like_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let start = start.get(..64).unwrap_or(start).to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

/// Returns the title of a web page, the only part of an error page that says anything.
///
/// ```
/// use http_transfer::html_title;
///
/// let page = "<html><head><title>502 Bad Gateway</title></head></html>";
/// assert_eq!(html_title(page), Some("502 Bad Gateway"));
/// ```
#[must_use]
pub fn html_title(page: &str) -> Option<&str> {
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = lower.get(start..)?.find("</")?;
    page.get(start..)?.get(..end)
}

/// Returns a text on one line, without control characters, cut to a number of characters.
///
/// ```
/// use http_transfer::shortened;
///
/// assert_eq!(shortened("Bad\r\n   Gateway", 80), "Bad Gateway");
/// ```
#[must_use]
pub fn shortened(text: &str, most_characters: usize) -> String {
    let mut short = String::new();
    let mut left = most_characters;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !short.is_empty() {
            short.push(' ');
            left = left.saturating_sub(1);
        }
        let length = word.chars().count();
        if length > left {
            short.extend(word.chars().take(left.saturating_sub(1)));
            short.push('…');
            break;
        }
        short.push_str(word);
        left -= length;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_short_and_one_line() {
        assert_eq!(shortened(" a\n\n b\tc ", 100), "a b c");
        assert_eq!(shortened("bad \u{1b}[31m name", 100), "bad [31m name");
        assert_eq!(shortened("abcdef", 4), "abc…");
        for text in ["é ".repeat(100_000), "é".repeat(100_000)] {
            assert!(shortened(&text, 500).chars().count() <= 502);
        }
    }

    #[test]
    fn a_web_page_is_known_by_its_start_and_its_title() {
        assert!(looks_like_html(b"\n <!DOCTYPE html>"));
        assert!(!looks_like_html(b"<error/>"));
        assert_eq!(html_title("<html><TITLE>502 Bad</title>"), Some("502 Bad"));
        assert_eq!(html_title("<html>"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_page_is_read(page in "(<title>)?\\PC{0,60}(</)?\\PC{0,20}", most in 0_usize..40) {
            let _ = html_title(&page);
            proptest::prop_assert!(shortened(&page, most).chars().count() <= most + 2);
        }
    }
}
