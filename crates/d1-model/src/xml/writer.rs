//! Writes XML: indented, deterministic, and without characters that XML does not allow.

use std::io::Write;

use super::is_xml_character;
use crate::error::{Error, ErrorKind, Result};
use crate::oddity::quoted;

/// Writes one document.
pub(crate) struct XmlWriter<W> {
    out: W,
    document: &'static str,
    open: Vec<&'static str>,
}

/// The attributes of an element, in the order in which they are written.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl<W: Write> XmlWriter<W> {
    /// Starts a document with its XML declaration.
    pub(crate) fn new(out: W, document: &'static str) -> Result<Self> {
        let mut writer = Self { out, document, open: Vec::new() };
        writer.put("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")?;
        Ok(writer)
    }

    /// Writes a start tag on a line of its own.
    pub(crate) fn start(&mut self, name: &'static str, attributes: Attributes<'_>) -> Result<()> {
        self.tag(name, attributes)?;
        self.put(">\n")?;
        self.open.push(name);
        Ok(())
    }

    /// Writes the end tag of the innermost open element.
    pub(crate) fn end(&mut self) -> Result<()> {
        let Some(name) = self.open.pop() else { return Ok(()) };
        self.indent()?;
        self.put("</")?;
        self.put(name)?;
        self.put(">\n")
    }

    /// Writes an element that holds only text.
    pub(crate) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) -> Result<()> {
        self.tag(name, attributes)?;
        self.put(">")?;
        self.escaped(name, text, false)?;
        self.put("</")?;
        self.put(name)?;
        self.put(">\n")
    }

    /// Writes an element without content.
    pub(crate) fn empty(&mut self, name: &'static str, attributes: Attributes<'_>) -> Result<()> {
        self.tag(name, attributes)?;
        self.put("/>\n")
    }

    /// Returns the error of a value that cannot be written.
    pub(crate) fn not_writable(&self, element: &str, detail: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotWritable, self.document, detail).at_element(element)
    }

    fn tag(&mut self, name: &'static str, attributes: Attributes<'_>) -> Result<()> {
        self.indent()?;
        self.put("<")?;
        self.put(name)?;
        for (key, value) in attributes {
            self.put(" ")?;
            self.put(key)?;
            self.put("=\"")?;
            self.escaped(name, value, true)?;
            self.put("\"")?;
        }
        Ok(())
    }

    fn indent(&mut self) -> Result<()> {
        for _ in 0..self.open.len() {
            self.put("  ")?;
        }
        Ok(())
    }

    fn escaped(&mut self, element: &'static str, text: &str, in_attribute: bool) -> Result<()> {
        if let Some(bad) = text.chars().find(|character| !is_xml_character(*character)) {
            let detail =
                format!("XML cannot carry the character U+{:04X} of “{}”", u32::from(bad), quoted(text));
            return Err(self.not_writable(element, detail));
        }
        let special = |character: char| match character {
            '&' => Some("&amp;"),
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            // A parser would read a bare carriage return as a line feed.
            '\r' => Some("&#xD;"),
            '"' if in_attribute => Some("&quot;"),
            '\t' if in_attribute => Some("&#x9;"),
            '\n' if in_attribute => Some("&#xA;"),
            _ => None,
        };
        let mut rest = text;
        while let Some((before, character, after)) = split_at_first(rest, |c| special(c).is_some()) {
            self.put(before)?;
            self.put(special(character).unwrap_or_default())?;
            rest = after;
        }
        self.put(rest)
    }

    fn put(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).map_err(|error| Error::io(self.document, error))
    }
}

/// Splits a text at the first character that matches.
fn split_at_first(text: &str, wanted: impl Fn(char) -> bool) -> Option<(&str, char, &str)> {
    let (position, character) = text.char_indices().find(|(_, character)| wanted(*character))?;
    let (before, rest) = text.split_at_checked(position)?;
    Some((before, character, rest.get(character.len_utf8()..)?))
}

#[cfg(test)]
mod tests {
    use super::XmlWriter;
    use crate::error::ErrorKind;

    #[test]
    fn escapes_what_would_not_read_back() {
        let mut out = Vec::new();
        let mut writer = XmlWriter::new(&mut out, "test").unwrap();
        writer.start("a", &[("k", "\"<&>\t\n\r'")]).unwrap();
        writer.leaf("b", &[], "]]> \"quoted\" & \r\n<").unwrap();
        writer.empty("c", &[]).unwrap();
        writer.end().unwrap();
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <a k=\"&quot;&lt;&amp;&gt;&#x9;&#xA;&#xD;'\">\n  \
            <b>]]&gt; \"quoted\" &amp; &#xD;\n&lt;</b>\n  <c/>\n</a>\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn refuses_characters_that_xml_cannot_carry() {
        for text in ["\0", "a\u{8}", "\u{FFFE}"] {
            let mut writer = XmlWriter::new(Vec::new(), "test").unwrap();
            assert_eq!(writer.leaf("b", &[], text).unwrap_err().kind(), ErrorKind::NotWritable);
        }
    }
}
