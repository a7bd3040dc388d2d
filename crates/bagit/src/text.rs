//! The text of tag files: its encoding, its lines, and the escapes of its paths.

use std::borrow::Cow;
use std::io::{self, BufRead};

use encoding_rs::Encoding;

use crate::version::Version;

/// The encoding of tag files, as `Tag-File-Character-Encoding` declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextEncoding {
    Utf8,
    /// UTF-16 in the order of its byte-order mark, big-endian without one (RFC 2781, section 4.3).
    Utf16,
    Ascii,
    /// ISO-8859-1. Web standards read it as windows-1252, so `encoding_rs` does not decode it.
    Latin1,
    Other(&'static Encoding),
}

const UTF8_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Decoded text, and whether it began with a byte-order mark.
pub(crate) struct Decoded<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) had_mark: bool,
}

impl TextEncoding {
    /// Returns the encoding of a label, or `None` for an unknown one.
    pub(crate) fn for_label(label: &str) -> Option<Self> {
        match label.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Some(Self::Utf8),
            "utf-16" | "utf16" => Some(Self::Utf16),
            "us-ascii" | "ascii" | "ansi_x3.4-1968" => Some(Self::Ascii),
            "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "l1" => Some(Self::Latin1),
            other => Encoding::for_label_no_replacement(other.as_bytes()).map(Self::Other),
        }
    }

    /// Decodes all bytes, or returns `None` if they do not fit the encoding.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Decoded<'_>> {
        match self {
            Self::Utf8 => {
                let rest = bytes.strip_prefix(UTF8_MARK);
                let text = std::str::from_utf8(rest.unwrap_or(bytes)).ok()?;
                Some(Decoded { text: Cow::Borrowed(text), had_mark: rest.is_some() })
            }
            Self::Utf16 => {
                let (encoding, rest) = match bytes {
                    [0xFF, 0xFE, rest @ ..] => (encoding_rs::UTF_16LE, rest),
                    [0xFE, 0xFF, rest @ ..] => (encoding_rs::UTF_16BE, rest),
                    _ => (encoding_rs::UTF_16BE, bytes),
                };
                let text = encoding.decode_without_bom_handling_and_without_replacement(rest)?;
                Some(Decoded { text, had_mark: false })
            }
            Self::Ascii => {
                let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())?;
                Some(Decoded { text: Cow::Borrowed(text), had_mark: false })
            }
            Self::Latin1 => Some(Decoded { text: encoding_rs::mem::decode_latin1(bytes), had_mark: false }),
            Self::Other(encoding) => {
                let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
                Some(Decoded { text, had_mark: false })
            }
        }
    }
}

/// Splits text into numbered lines at LF, CR and CRLF only. The last line needs no end.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match rest.split_once(['\n', '\r']) {
            Some((line, after)) => {
                let was_return = rest.as_bytes().get(line.len()) == Some(&b'\r');
                let after = if was_return { after.strip_prefix('\n').unwrap_or(after) } else { after };
                (line, after)
            }
            None => (rest, ""),
        };
        rest = after;
        Some(line)
    })
    .enumerate()
    .map(|(index, line)| (index + 1, line))
}

/// The end of reading lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Utf8Lines {
    /// The text ended.
    All {
        /// Whether a byte-order mark came before the first line.
        had_mark: bool,
    },
    /// A line is not UTF-8. The lines before it were passed on.
    NotUtf8,
}

/// Passes the lines of UTF-8 text to `take` with their numbers, as [`lines`] splits them. It holds one line in memory.
pub(crate) fn read_utf8_lines(
    reader: &mut dyn BufRead,
    take: &mut dyn FnMut(usize, &str),
) -> io::Result<Utf8Lines> {
    let (mut line, mut number, mut had_mark, mut after_return) = (Vec::new(), 0, false, false);
    loop {
        let bytes = reader.fill_buf()?;
        let is_end = bytes.is_empty();
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let (content, ending) = bytes.split_at(end.unwrap_or(bytes.len()));
        let is_second_half = after_return && content.is_empty() && ending.first() == Some(&b'\n');
        after_return = ending.first() == Some(&b'\r');
        line.extend_from_slice(content);
        let taken = content.len() + usize::from(end.is_some());
        if !is_second_half && (end.is_some() || is_end) {
            if number == 0 && line.starts_with(UTF8_MARK) {
                line.drain(..UTF8_MARK.len());
                had_mark = true;
            }
            if is_end && line.is_empty() {
                return Ok(Utf8Lines::All { had_mark });
            }
            number += 1;
            let Ok(text) = std::str::from_utf8(&line) else { return Ok(Utf8Lines::NotUtf8) };
            take(number, text);
            line.clear();
        }
        reader.consume(taken);
    }
}

/// Says whether a character is white space of the format: space or tab.
pub(crate) fn is_blank(character: char) -> bool {
    character == ' ' || character == '\t'
}

/// Encodes LF, CR and `%` of a path for a manifest or `fetch.txt` of version 1.0 (RFC 8493, section 2.1.3).
pub(crate) fn encode_path(path: &str) -> Cow<'_, str> {
    if path.contains(['\n', '\r', '%']) {
        Cow::Owned(path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D"))
    } else {
        Cow::Borrowed(path)
    }
}

/// Decodes `%0A`, `%0D` and `%25` in version 1.0, the first two in 0.97, and nothing before.
///
/// Any other `%` stays (RFC 8493 and draft 0.97, section 2.1.3).
pub(crate) fn decode_path(path: &str, version: Version) -> Cow<'_, str> {
    if version < Version::V0_97 || !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let character = match after.get(..2).map(str::to_ascii_uppercase).as_deref() {
            Some("0A") => Some('\n'),
            Some("0D") => Some('\r'),
            Some("25") if version.is_rfc() => Some('%'),
            _ => None,
        };
        match character.zip(after.get(2..)) {
            Some((character, tail)) => {
                decoded.push(character);
                rest = tail;
            }
            None => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// Says whether a path of a 1.0 manifest has a `%` that is not part of an escape, so that nobody encoded it.
pub(crate) fn has_stray_percent(path: &str) -> bool {
    path.split('%').skip(1).any(|after| {
        let escape = after.get(..2).map(str::to_ascii_uppercase);
        !matches!(escape.as_deref(), Some("0A" | "0D" | "25"))
    })
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::collection::vec;
    use proptest::prelude::{any, prop, proptest};

    use super::{TextEncoding, Utf8Lines, decode_path, encode_path, lines, read_utf8_lines};
    use crate::version::Version;

    #[test]
    fn lines_end_at_lf_cr_and_crlf_only() {
        let split = |text| lines(text).map(|(_, line)| line).collect::<Vec<&str>>();
        assert_eq!(split("a\nb\rc\r\nd"), ["a", "b", "c", "d"]);
        assert_eq!(split("a\n"), ["a"]);
        assert_eq!(split("a\n\nb\r\r"), ["a", "", "b", ""]);
        assert_eq!(split("a\u{85}b\u{2028}c\u{b}d\u{c}e"), ["a\u{85}b\u{2028}c\u{b}d\u{c}e"]);
        assert!(split("").is_empty());
    }

    #[test]
    fn encodings_decode_strictly() {
        let cases: [(&str, &[u8], Option<&str>); 9] = [
            ("UTF-8", b"\xC3\xA9", Some("é")),
            ("utf-8", b"\xC3", None),
            ("UTF-16", b"\xFE\xFF\x00a", Some("a")),
            ("UTF-16", b"\xFF\xFEa\x00", Some("a")),
            ("UTF-16", b"\x00a", Some("a")),
            ("UTF-16", b"\x00", None),
            ("ISO-8859-1", b"\xE9\x80", Some("é\u{80}")),
            ("US-ASCII", b"\xE9", None),
            ("windows-1252", b"\x80", Some("€")),
        ];
        for (label, bytes, expected) in cases {
            let decoded = TextEncoding::for_label(label)
                .unwrap()
                .decode(bytes)
                .map(|decoded| decoded.text.into_owned());
            assert_eq!(decoded.as_deref(), expected, "{label} {bytes:?}");
        }
        assert_eq!(TextEncoding::for_label("UTF-99"), None);
        assert_eq!(TextEncoding::for_label("hz-gb-2312"), None);
    }

    /// Compares the lines of text in memory with those of a stream.
    fn read_both_ways(bytes: &[u8], buffer: usize) {
        let mut streamed = Vec::new();
        let mut reader = BufReader::with_capacity(buffer, bytes);
        let mut take = |number, line: &str| streamed.push((number, line.to_owned()));
        let end = read_utf8_lines(&mut reader, &mut take).unwrap();
        match TextEncoding::Utf8.decode(bytes) {
            Some(decoded) => {
                let expected = lines(&decoded.text).map(|(number, line)| (number, line.to_owned()));
                assert!(expected.eq(streamed), "{bytes:?}");
                assert_eq!(end, Utf8Lines::All { had_mark: decoded.had_mark }, "{bytes:?}");
            }
            None => assert_eq!(end, Utf8Lines::NotUtf8, "{bytes:?}"),
        }
    }

    #[test]
    fn lines_of_a_stream_are_those_of_the_text() {
        let cases: [&[u8]; 9] = [
            b"",
            b"a",
            b"a\r\nb\n\rc\r\r\n",
            b"\xEF\xBB\xBF",
            b"\xEF\xBB\xBFa\nb",
            b"\xEF\xBB\xBF\n",
            b"a\n\xEF\xBB\xBFb",
            b"ok\n\xC3\n",
            b"\xC3\xA9\r",
        ];
        for bytes in cases {
            (1..8).for_each(|buffer| read_both_ways(bytes, buffer));
        }
    }

    #[test]
    fn only_the_escapes_of_the_version_are_decoded() {
        let cases = [
            ("1.0", "a%0Ab%0dc%25d", "a\nb\rc%d"),
            ("1.0", "a%250A", "a%0A"),
            ("1.0", "a%7E%2", "a%7E%2"),
            ("0.97", "a%0ab%25", "a\nb%25"),
            ("0.96", "a%0A", "a%0A"),
            ("1.0", "%é", "%é"),
        ];
        for (version, text, expected) in cases {
            assert_eq!(decode_path(text, version.parse().unwrap()), expected, "{version} {text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_the_same_lines(bytes in vec(prop::sample::select(&b"\xEF\xBB\xBF\xC3\xA9ab\n\r"[..]), 0..40), buffer in 1_usize..9) {
            read_both_ways(&bytes, buffer);
        }

        #[test]
        fn encoded_paths_decode_to_themselves(path in any::<String>()) {
            let encoded = encode_path(&path);
            assert!(!encoded.contains(['\n', '\r']));
            assert_eq!(decode_path(&encoded, Version::V1_0), path.as_str());
        }

        #[test]
        fn no_path_makes_decoding_panic(path in any::<String>()) {
            for version in ["0.93", "0.97", "1.0"] {
                let _ = decode_path(&path, version.parse().unwrap());
            }
        }
    }
}
