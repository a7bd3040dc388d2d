//! A cursor over an XML document that returns its elements in order, within bounds, and notes oddities.

use quick_xml::XmlVersion;
use quick_xml::errors::Error as XmlError;
use quick_xml::escape::{EscapeError, resolve_xml_entity};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{NamespaceError, ResolveResult};
use quick_xml::reader::NsReader;

use super::is_xml_character;
use crate::error::{Error, ErrorKind, Result};
use crate::oddity::{OddityCode, OddityList, Parsed, quoted};

/// The deepest nesting of elements. The schemas need five levels.
const MAX_DEPTH: usize = 64;
/// The most attributes of an element. The schemas need seven, and namespaces a few more.
const MAX_ATTRIBUTES: usize = 64;
/// The most namespace declarations in scope.
const MAX_NAMESPACES: usize = 64;

/// A kind of document, for the cursor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DocumentKind {
    /// The name of the document in messages.
    pub(crate) name: &'static str,
    /// Local name of the root element.
    pub(crate) root: &'static str,
    /// The namespaces in which the root is expected; the empty one means none.
    pub(crate) namespaces: &'static [&'static str],
    /// The largest document that is read, in bytes.
    pub(crate) max_bytes: usize,
}

/// An element whose start tag was read.
#[derive(Debug)]
pub(crate) struct Element {
    /// Local name.
    pub(crate) name: String,
    /// Namespace; empty where there is none.
    pub(crate) namespace: String,
    attributes: Vec<(String, String)>,
    depth: usize,
}

impl Element {
    /// Returns the value of an attribute without a namespace.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a document of the given kind. Checks its root, and calls `read` with its content.
pub(crate) fn read_document<T>(
    kind: DocumentKind,
    bytes: &[u8],
    read: impl FnOnce(&mut Cursor<'_>, &Element) -> Result<T>,
) -> Result<Parsed<T>> {
    let mut cursor = Cursor::new(kind, bytes)?;
    let root = cursor.root()?;
    let value = read(&mut cursor, &root)?;
    cursor.finish(&root)?;
    Ok(Parsed { value, oddities: cursor.oddities.into_vec() })
}

/// Walks through a document.
pub(crate) struct Cursor<'a> {
    kind: DocumentKind,
    reader: NsReader<&'a [u8]>,
    /// Names of the open elements, the root first.
    open: Vec<String>,
    oddities: OddityList,
}

impl<'a> Cursor<'a> {
    fn new(kind: DocumentKind, bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() > kind.max_bytes {
            let detail = format!("{} bytes are more than the {} allowed", bytes.len(), kind.max_bytes);
            return Err(Error::new(ErrorKind::TooLarge, kind.name, detail));
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let position = u64::try_from(error.valid_up_to()).unwrap_or(u64::MAX);
            Error::new(ErrorKind::NotUtf8, kind.name, "the bytes are not UTF-8").at_position(position)
        })?;
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader.resolver_mut().set_max_namespace_bindings(MAX_NAMESPACES);
        Ok(Self { kind, reader, open: Vec::new(), oddities: OddityList::default() })
    }

    /// Notes an oddity at a path below the root.
    pub(crate) fn odd(&mut self, code: OddityCode, path: &str, message: impl FnOnce() -> String) {
        self.oddities.add(code, path, message);
    }

    /// Returns an error at a path below the root.
    pub(crate) fn error(&self, kind: ErrorKind, path: &str, detail: impl Into<String>) -> Error {
        Error::new(kind, self.kind.name, detail).at_element(path).at_position(self.reader.buffer_position())
    }

    /// Returns the path of the element that was opened last, relative to the root.
    pub(crate) fn path(&self) -> String {
        self.open.get(1..).unwrap_or_default().join("/")
    }

    /// Returns the next child of `parent`, or `None` at its end tag. The rest of an earlier child is skipped.
    pub(crate) fn next_child(&mut self, parent: &Element) -> Result<Option<Element>> {
        loop {
            match self.next_event()? {
                Event::Start(start) => {
                    let element = self.open_element(&start)?;
                    if element.depth == parent.depth.saturating_add(1) {
                        return Ok(Some(element));
                    }
                }
                Event::End(_) => {
                    self.open.pop();
                    if self.open.len() < parent.depth {
                        return Ok(None);
                    }
                }
                event => {
                    if self.open.len() == parent.depth {
                        self.note_stray_text(&event)?;
                    }
                }
            }
        }
    }

    /// Returns the text of `element` up to its end tag, unchanged. Elements within are skipped as unknown.
    pub(crate) fn raw_text(&mut self, element: &Element) -> Result<String> {
        self.collect_text(element, false)
    }

    /// Returns the text of `element` and of all elements within, for content of any type.
    pub(crate) fn deep_text(&mut self, element: &Element) -> Result<String> {
        self.collect_text(element, true)
    }

    fn collect_text(&mut self, element: &Element, deep: bool) -> Result<String> {
        let mut text = String::new();
        loop {
            let event = self.next_event()?;
            let own = deep || self.open.len() == element.depth;
            match event {
                Event::Start(start) => {
                    self.open_element(&start)?;
                    if own && !deep {
                        let path = self.path();
                        self.odd(OddityCode::UnknownElement, &path, || {
                            "an element stands where only text is due".to_owned()
                        });
                    }
                }
                Event::End(_) => {
                    self.open.pop();
                    if self.open.len() < element.depth {
                        return Ok(text);
                    }
                }
                Event::Text(part) if own => text.push_str(&part.xml10_content()),
                Event::CData(part) if own => text.push_str(&part.xml10_content()),
                Event::GeneralRef(reference) => {
                    let resolved = self.resolve(&reference)?;
                    if own {
                        text.push_str(&resolved);
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns the trimmed text of `element`. Whitespace around it is noted.
    pub(crate) fn text(&mut self, element: &Element) -> Result<String> {
        let path = self.path();
        let text = self.raw_text(element)?;
        let trimmed = text.trim();
        if trimmed.len() == text.len() {
            return Ok(text);
        }
        if !trimmed.is_empty() {
            self.odd(OddityCode::SurroundingWhitespace, &path, || {
                "whitespace stands around the value".to_owned()
            });
        }
        Ok(trimmed.to_owned())
    }

    /// Returns the text of `element` as [`Cursor::text`] does, and notes it if it is empty.
    pub(crate) fn filled_text(&mut self, element: &Element) -> Result<Option<String>> {
        let path = self.path();
        let text = self.text(element)?;
        if text.is_empty() {
            self.odd(OddityCode::EmptyElement, &path, || "the element is empty".to_owned());
            return Ok(None);
        }
        Ok(Some(text))
    }

    /// Skips an element that the schema does not know, and notes it.
    pub(crate) fn skip_unknown(&mut self, element: &Element) -> Result<()> {
        let path = self.path();
        self.odd(OddityCode::UnknownElement, &path, || {
            format!("the schema knows no element “{}” here", quoted(&element.name))
        });
        self.skip(element)
    }

    /// Skips an element with its content.
    pub(crate) fn skip(&mut self, element: &Element) -> Result<()> {
        self.deep_text(element).map(drop)
    }

    fn root(&mut self) -> Result<Element> {
        loop {
            match self.next_event()? {
                Event::Start(start) => {
                    let root = self.open_element(&start)?;
                    self.check_root(&root)?;
                    return Ok(root);
                }
                Event::Text(text) if !is_blank(&text) => {
                    return Err(self.error(ErrorKind::Malformed, "", "text stands before the root element"));
                }
                Event::CData(_) | Event::GeneralRef(_) | Event::End(_) => {
                    return Err(self.error(
                        ErrorKind::Malformed,
                        "",
                        "the document does not begin with an element",
                    ));
                }
                _ => {}
            }
        }
    }

    fn check_root(&mut self, root: &Element) -> Result<()> {
        if root.name != self.kind.root {
            let detail = format!("the root element is “{}”, not “{}”", quoted(&root.name), self.kind.root);
            return Err(self.error(ErrorKind::WrongDocument, "", detail));
        }
        if !self.kind.namespaces.contains(&root.namespace.as_str()) {
            self.odd(OddityCode::Namespace, "", || match root.namespace.as_str() {
                "" => "the root element is in no namespace".to_owned(),
                other => format!("the root element is in the namespace “{}”", quoted(other)),
            });
        }
        Ok(())
    }

    /// Reads the rest of the root element and of the document.
    fn finish(&mut self, root: &Element) -> Result<()> {
        if !self.open.is_empty() {
            while let Some(element) = self.next_child(root)? {
                self.skip_unknown(&element)?;
            }
        }
        loop {
            match self.reader.read_event().map_err(|error| self.malformed(&error))? {
                Event::Eof => return Ok(()),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if is_blank(&text) => {}
                _ => return Err(self.error(ErrorKind::Malformed, "", "something follows the root element")),
            }
        }
    }

    /// Reads the next event. The end of the document is an error, because an element is always expected or open.
    fn next_event(&mut self) -> Result<Event<'a>> {
        let event = self.reader.read_event().map_err(|error| self.malformed(&error))?;
        match &event {
            Event::Eof if self.open.is_empty() => {
                return Err(self.error(ErrorKind::Malformed, "", "there is no root element"));
            }
            Event::Eof => {
                let path = self.path();
                return Err(self.error(ErrorKind::Malformed, &path, "the document ends within an element"));
            }
            Event::DocType(declaration) => self.check_document_type(declaration)?,
            Event::Decl(declaration) => {
                if let Some(Ok(encoding)) = declaration.encoding() {
                    self.check_encoding(&encoding);
                }
            }
            _ => {}
        }
        Ok(event)
    }

    fn check_document_type(&mut self, declaration: &str) -> Result<()> {
        if declaration.contains('[') {
            let detail = "declarations within the document type are refused, since they can define entities";
            return Err(self.error(ErrorKind::EntityRefused, "", detail));
        }
        self.odd(OddityCode::DocumentType, "", || {
            "there is a document type declaration; it was not followed".to_owned()
        });
        Ok(())
    }

    fn check_encoding(&mut self, encoding: &str) {
        if !["utf-8", "utf8", "us-ascii"].iter().any(|known| known.eq_ignore_ascii_case(encoding)) {
            let encoding = quoted(encoding);
            self.odd(OddityCode::DeclaredEncoding, "", || {
                format!("the encoding is declared as “{encoding}”, the bytes were read as UTF-8")
            });
        }
    }

    fn open_element(&mut self, start: &BytesStart<'_>) -> Result<Element> {
        if self.open.len() >= MAX_DEPTH {
            let detail = format!("elements are nested more than {MAX_DEPTH} deep");
            return Err(self.error(ErrorKind::TooLarge, "", detail));
        }
        let (namespace, name) = match self.reader.resolver().resolve_element(start.name()) {
            (ResolveResult::Bound(namespace), name) => (namespace.0.to_owned(), name.as_ref().to_owned()),
            (ResolveResult::Unbound, name) => (String::new(), name.as_ref().to_owned()),
            (ResolveResult::Unknown(prefix), _) => {
                let detail = format!("the prefix “{}” is not declared", quoted(&prefix));
                return Err(self.error(ErrorKind::Malformed, "", detail));
            }
        };
        let attributes = self.read_attributes(start)?;
        self.open.push(quoted(&name));
        Ok(Element { name, namespace, attributes, depth: self.open.len() })
    }

    fn read_attributes(&self, start: &BytesStart<'_>) -> Result<Vec<(String, String)>> {
        let mut attributes = Vec::new();
        // Counting first bounds the check for equal names, which compares each pair.
        if start.attributes().with_checks(false).count() > MAX_ATTRIBUTES {
            let detail = format!("an element has more than {MAX_ATTRIBUTES} attributes");
            return Err(self.error(ErrorKind::TooLarge, "", detail));
        }
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| self.malformed(&XmlError::InvalidAttr(error)))?;
            let value = attribute
                .normalized_value_with(XmlVersion::Implicit1_0, 1, resolve_xml_entity)
                .map_err(|error| self.malformed(&error))?
                .into_owned();
            attributes.push((attribute.key.as_ref().to_owned(), value));
        }
        Ok(attributes)
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<String> {
        if let Some(character) = reference.resolve_char_ref().map_err(|error| self.malformed(&error))? {
            if is_xml_character(character) {
                return Ok(character.to_string());
            }
            let detail = format!("XML cannot carry the character U+{:04X}", u32::from(character));
            return Err(self.error(ErrorKind::Malformed, &self.path(), detail));
        }
        if reference.is_empty() {
            return Err(self.error(ErrorKind::Malformed, &self.path(), "a reference has no name"));
        }
        resolve_xml_entity(reference).map(str::to_owned).ok_or_else(|| {
            let detail =
                format!("the entity “{}” is not one of the five that XML predefines", quoted(reference));
            self.error(ErrorKind::EntityRefused, &self.path(), detail)
        })
    }

    fn note_stray_text(&mut self, event: &Event<'_>) -> Result<()> {
        let stray = match event {
            Event::Text(text) => !is_blank(text),
            Event::CData(text) => !is_blank(text),
            Event::GeneralRef(reference) => !is_blank(&self.resolve(reference)?),
            _ => false,
        };
        if stray {
            let path = self.path();
            self.odd(OddityCode::StrayText, &path, || "text stands between the elements".to_owned());
        }
        Ok(())
    }

    fn malformed(&self, error: &XmlError) -> Error {
        let kind = match error {
            XmlError::Escape(EscapeError::UnrecognizedEntity(..)) => ErrorKind::EntityRefused,
            XmlError::Namespace(NamespaceError::TooManyBindings(_)) => ErrorKind::TooLarge,
            _ => ErrorKind::Malformed,
        };
        self.error(kind, &self.path(), quoted(&error.to_string()))
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}
