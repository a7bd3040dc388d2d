//! Finds the root element at the beginning of a file, without parsing the rest.

/// The number of bytes to search: a licence comment may precede the root, but the whole document need not be
/// scanned.
const MAX_PROLOG: usize = 64 * 1024;

/// The first start tag of a document.
pub(crate) struct FirstElement<'a> {
    /// Local name, without the prefix.
    pub(crate) name: &'a [u8],
}

/// Finds the first start tag. Returns `None` if the bytes do not begin as an XML document does.
pub(crate) fn first_element(bytes: &[u8]) -> Option<FirstElement<'_>> {
    let bytes = bytes.get(..MAX_PROLOG).unwrap_or(bytes);
    let mut rest = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    loop {
        rest = rest.trim_ascii_start().strip_prefix(b"<")?;
        if rest.starts_with(b"?") {
            rest = after(rest, b"?>")?;
        } else if rest.starts_with(b"!--") {
            rest = after(rest.get(3..)?, b"-->")?;
        } else if rest.starts_with(b"!") {
            rest = after(rest, b">")?;
        } else {
            let end =
                rest.iter().position(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace())?;
            let qualified = rest.get(..end)?;
            let name = qualified.rsplit(|byte| *byte == b':').next()?;
            return Some(FirstElement { name });
        }
    }
}

/// Finds a short text in the searched bytes.
pub(crate) fn find_bytes(bytes: &[u8], wanted: &[u8]) -> bool {
    let bytes = bytes.get(..MAX_PROLOG).unwrap_or(bytes);
    bytes.windows(wanted.len().max(1)).any(|window| window == wanted)
}

fn after<'a>(bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let position = bytes.windows(end.len().max(1)).position(|window| window == end)?;
    bytes.get(position.checked_add(end.len())?..)
}

#[cfg(test)]
mod tests {
    use super::first_element;

    #[test]
    fn finds_the_root() {
        for (text, name) in [
            ("<a/>", Some("a")),
            ("\u{FEFF}<?xml version='1.0'?>\n<!-- <b> -->\n<x:a y='1'>", Some("a")),
            ("<!DOCTYPE a SYSTEM 'x'><a>", Some("a")),
            ("  <a:b\n", Some("b")),
            ("<a", None),
            ("text <a>", None),
            ("", None),
            ("<!-- open", None),
            ("{\"a\": 1}", None),
        ] {
            let found = first_element(text.as_bytes()).map(|element| element.name.to_vec());
            assert_eq!(found, name.map(|name| name.as_bytes().to_vec()), "{text}");
        }
    }
}
