//! The fetch file, `fetch.txt`: URLs of payload files (RFC 8493, section 2.2.3).

use std::borrow::Cow;

use crate::fault::{Fault, FaultCode};
use crate::report::Faults;
use crate::text::{decode_path, encode_path, is_blank, lines};
use crate::version::Version;

pub(crate) const FILE_NAME: &str = "fetch.txt";

/// The URL of one payload file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchEntry {
    /// The absolute URL. It comes from outside, so the fetching program must choose the schemes and hosts that it allows.
    pub url: String,
    /// The size in bytes, where the line has one.
    pub length: Option<u64>,
    /// The bag-relative path, decoded.
    pub path: String,
}

/// The entries of `fetch.txt` in their order.
///
/// ```
/// use bagit::{FetchList, Version};
///
/// let (list, faults) = FetchList::parse("https://example.org/a.csv 25 data/a.csv\n", Version::V1_0);
/// assert!(faults.is_empty());
/// assert_eq!(list.entries[0].length, Some(25));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchList {
    /// The entries.
    pub entries: Vec<FetchEntry>,
}

impl FetchList {
    /// Reads the decoded text of `fetch.txt`. Malformed lines become faults.
    #[must_use]
    pub fn parse(text: &str, version: Version) -> (Self, Faults) {
        let mut list = Self::default();
        let mut faults = Faults::default();
        for line in fetch_lines(text, version, &mut faults) {
            let path = line.path.into_owned();
            list.entries.push(FetchEntry { url: line.url.to_owned(), length: line.length, path });
        }
        (list, faults)
    }

    /// Returns the text of `fetch.txt` in version 1.0.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let length = entry.length.map_or_else(|| "-".to_owned(), |length| length.to_string());
            text.push_str(&format!("{} {length} {}\n", entry.url, encode_path(&entry.path)));
        }
        text
    }
}

/// One line of `fetch.txt`, borrowed from its text.
pub(crate) struct FetchLine<'a> {
    pub(crate) url: &'a str,
    pub(crate) length: Option<u64>,
    pub(crate) path: Cow<'a, str>,
}

/// Iterates over the well-formed lines of `fetch.txt`, and adds the faults of all lines.
pub(crate) fn fetch_lines<'a>(
    text: &'a str,
    version: Version,
    faults: &mut Faults,
) -> impl Iterator<Item = FetchLine<'a>> {
    lines(text).filter_map(move |(number, line)| {
        let Some((url, length, path)) = split(line) else {
            let message = format!("expected a URL, a length and a path in line {number}, found {line:?}");
            faults.push(Fault::new(FaultCode::FetchLineMalformed, None, message));
            return None;
        };
        if !is_absolute_url(url) {
            let message = format!("expected an absolute URL in line {number}, found {url:?}");
            faults.push(Fault::new(FaultCode::FetchUrlNotAbsolute, None, message));
        }
        Some(FetchLine { url, length, path: decode_path(path, version) })
    })
}

fn split(line: &str) -> Option<(&str, Option<u64>, &str)> {
    let (url, rest) = line.split_once(is_blank)?;
    let (length, rest) = rest.trim_start_matches(is_blank).split_once(is_blank)?;
    let path = rest.trim_start_matches(is_blank);
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = if length == "-" { None } else { Some(length.parse().ok().filter(|_| digits)?) };
    (!url.is_empty() && !path.is_empty()).then_some((url, length, path))
}

/// Says whether a text is an absolute URI with something after its scheme (RFC 3986, section 3).
fn is_absolute_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    // One letter before a colon is a Windows drive, not a scheme.
    scheme.len() > 1
        && scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.bytes().all(plain)
        && !rest.trim_start_matches('/').is_empty()
        && !url.chars().any(|character| character.is_whitespace() || character.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{FetchEntry, FetchList};
    use crate::version::Version;

    #[test]
    fn entries_and_their_faults() {
        type Case<'a> = (&'a str, Option<(Option<u64>, &'a str)>, &'a [&'a str]);
        let cases: [Case<'_>; 9] = [
            ("https://example.org/x 12 data/x", Some((Some(12), "data/x")), &[]),
            ("https://example.org/x\t-  data/x y ", Some((None, "data/x y ")), &[]),
            ("https://example.org/x - data/a%0Ab", Some((None, "data/a\nb")), &[]),
            ("s3://bucket/x - data/x", Some((None, "data/x")), &[]),
            ("/x - data/x", Some((None, "data/x")), &["fetch-url-not-absolute"]),
            ("C:/x - data/x", Some((None, "data/x")), &["fetch-url-not-absolute"]),
            ("https://example.org/x data/x", None, &["fetch-line-malformed"]),
            ("https://example.org/x -1 data/x", None, &["fetch-line-malformed"]),
            ("https://example.org/x +1 data/x", None, &["fetch-line-malformed"]),
        ];
        for (line, expected, codes) in cases {
            let (list, faults) = FetchList::parse(line, Version::V1_0);
            assert_eq!(
                list.entries.first().map(|entry| (entry.length, entry.path.as_str())),
                expected,
                "{line}"
            );
            assert_eq!(
                faults.kept().iter().map(|fault| fault.code.as_str()).collect::<Vec<_>>(),
                codes,
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = FetchList::parse(&text, Version::V1_0);
        }

        #[test]
        fn entries_round_trip(entries in vec(("[a-z0-9/%.]{1,30}", any::<Option<u64>>(), "[^\0 \t][^\0]{0,20}"), 0..6)) {
            let entry = |(url, length, name)| FetchEntry { url: format!("https://example.org/{url}"), length, path: format!("data/{name}") };
            let list = FetchList { entries: entries.into_iter().map(entry).collect() };
            let (read, faults) = FetchList::parse(&list.text(), Version::V1_0);
            assert_eq!(read, list);
            assert!(faults.is_empty());
        }
    }
}
