//! XML documents as trees, within bounds.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::errors::Error as XmlError;
use quick_xml::escape::{EscapeError, resolve_xml_entity};
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::error::{Error, Result};

/// The deepest nesting of elements. Taxa of EML nest once for each rank.
const MAX_DEPTH: usize = 128;

/// The most elements of a document.
const MAX_ELEMENTS: usize = 500_000;

/// The most attributes of an element.
const MAX_ATTRIBUTES: usize = 64;

/// An element.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Name without its prefix.
    pub(crate) name: Box<str>,
    /// Prefix of the name, or nothing.
    prefix: Box<str>,
    attributes: Vec<(Box<str>, Box<str>)>,
    children: Vec<Child>,
}

#[derive(Debug)]
enum Child {
    Element(Node),
    Text(Box<str>),
}

impl Node {
    /// Reads a document and returns its root.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut open = vec![Self::default()];
        let mut elements = 0;
        loop {
            match reader.read_event().map_err(|error| malformed(&error))? {
                Event::Start(start) => {
                    elements += 1;
                    if elements > MAX_ELEMENTS {
                        return Err(Error::TooLarge { limit: MAX_ELEMENTS, things: "elements" });
                    }
                    if open.len() > MAX_DEPTH {
                        return Err(Error::TooLarge { limit: MAX_DEPTH, things: "nested elements" });
                    }
                    open.push(Self::of(&start)?);
                }
                Event::End(_) => {
                    let closed = open.pop().unwrap_or_default();
                    let Some(parent) = open.last_mut() else { return Err(unexpected("an end tag")) };
                    parent.children.push(Child::Element(closed));
                }
                Event::Text(part) => add_text(&mut open, &part.xml10_content()),
                Event::CData(part) => add_text(&mut open, &part.xml10_content()),
                Event::GeneralRef(reference) => add_text(&mut open, &resolve(&reference)?),
                Event::DocType(declaration) if declaration.contains('[') => return Err(Error::Entities),
                Event::Eof => break,
                _ => {}
            }
        }
        let (Some(document), true) = (open.pop(), open.is_empty()) else { return Err(unexpected("the end")) };
        let mut roots = document.children.into_iter().filter_map(|child| match child {
            Child::Element(node) => Some(node),
            Child::Text(_) => None,
        });
        match (roots.next(), roots.next()) {
            (Some(root), None) => Ok(root),
            _ => Err(unexpected("no or several root elements")),
        }
    }

    fn of(start: &BytesStart<'_>) -> Result<Self> {
        let (name, prefix) = (start.local_name(), start.name().prefix());
        // Counting first bounds the check for equal names, which compares each pair.
        if start.attributes().with_checks(false).count() > MAX_ATTRIBUTES {
            return Err(Error::TooLarge { limit: MAX_ATTRIBUTES, things: "attributes" });
        }
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| malformed(&XmlError::InvalidAttr(error)))?;
            let value = attribute
                .normalized_value_with(XmlVersion::Implicit1_0, 1, resolve_xml_entity)
                .map_err(|error| malformed(&error))?;
            attributes.push((attribute.key.local_name().as_ref().into(), value.as_ref().into()));
        }
        Ok(Self {
            name: name.as_ref().into(),
            prefix: prefix.map(|prefix| prefix.as_ref().into()).unwrap_or_default(),
            attributes,
            children: Vec::new(),
        })
    }

    /// Returns the prefix of the name.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the value of an attribute, whatever its namespace.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| &**key == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns the elements in this one.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Child::Element(node) => Some(node),
            Child::Text(_) => None,
        })
    }

    /// Returns the elements in this one with a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.elements().filter(move |node| &*node.name == name)
    }

    /// Returns the first element at a path of names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        self.elements().filter(|node| &*node.name == *first).find_map(|node| node.at(rest))
    }

    /// Returns the text of the first element at a path that has one.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<String> {
        let Some((first, rest)) = path.split_first() else { return self.text() };
        self.elements().filter(|node| &*node.name == *first).find_map(|node| node.text_at(rest))
    }

    /// Returns all elements with a name, at any depth, in the order of the document.
    pub(crate) fn below<'a>(&'a self, name: &str) -> Vec<&'a Self> {
        let mut found = Vec::new();
        self.collect(name, &mut found);
        found
    }

    fn collect<'a>(&'a self, name: &str, found: &mut Vec<&'a Self>) {
        for node in self.elements() {
            if &*node.name == name {
                found.push(node);
            }
            node.collect(name, found);
        }
    }

    /// Returns the element with an attribute `id`.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Self> {
        self.elements().find_map(|node| {
            let is_it = node.attribute("id") == Some(id);
            if is_it { Some(node) } else { node.by_id(id) }
        })
    }

    /// Returns the text in this element and all within, on one line. Returns `None` if there is none.
    pub(crate) fn text(&self) -> Option<String> {
        let mut text = String::new();
        self.add_to(&mut text);
        let words: Vec<&str> = text.split_whitespace().collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Returns the text in this element alone as it is, spaces too. Returns `None` if there is none.
    pub(crate) fn raw_text(&self) -> Option<String> {
        let parts = self.children.iter().filter_map(|child| match child {
            Child::Text(part) => Some(&**part),
            Child::Element(_) => None,
        });
        let text: String = parts.collect();
        (!text.is_empty()).then_some(text)
    }

    fn add_to(&self, text: &mut String) {
        for child in &self.children {
            match child {
                Child::Text(part) => text.push_str(part),
                Child::Element(node) => {
                    node.add_to(text);
                    // Words in neighbouring elements are different words, but `H<subscript>2</subscript>O` is one.
                    if !INLINE.contains(&&*node.name) {
                        text.push(' ');
                    }
                }
            }
        }
    }

    /// Returns the text as paragraphs, separated by empty lines.
    pub(crate) fn prose(&self) -> Option<String> {
        let mut paragraphs = vec![String::new()];
        self.add_paragraphs(&mut paragraphs);
        let tidy = paragraphs.iter().filter_map(|paragraph| {
            let words: Vec<&str> = paragraph.split_whitespace().collect();
            (!words.is_empty()).then(|| words.join(" "))
        });
        let text = tidy.collect::<Vec<_>>().join("\n\n");
        (!text.is_empty()).then_some(text)
    }

    fn add_paragraphs(&self, paragraphs: &mut Vec<String>) {
        for child in &self.children {
            match child {
                Child::Text(part) => {
                    // Markdown separates paragraphs with empty lines.
                    for (number, piece) in part.split("\n\n").enumerate() {
                        if number > 0 {
                            paragraphs.push(String::new());
                        }
                        if let Some(last) = paragraphs.last_mut() {
                            last.push_str(piece);
                        }
                    }
                }
                Child::Element(node) => {
                    let is_block = BLOCKS.contains(&&*node.name);
                    if is_block {
                        paragraphs.push(String::new());
                    }
                    node.add_paragraphs(paragraphs);
                    if is_block {
                        paragraphs.push(String::new());
                    }
                }
            }
        }
    }
}

/// Elements within a word or a sentence.
const INLINE: [&str; 5] = ["subscript", "superscript", "emphasis", "ulink", "citetitle"];

/// Elements of DocBook in EML that are paragraphs of their own.
const BLOCKS: [&str; 7] =
    ["para", "section", "title", "listitem", "literalLayout", "markdown", "description"];

fn add_text(open: &mut [Node], text: &str) {
    if let Some(node) = open.last_mut()
        && !text.is_empty()
    {
        node.children.push(Child::Text(text.into()));
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| malformed(&error))? {
        return Ok(character.to_string());
    }
    resolve_xml_entity(reference).map(str::to_owned).ok_or(Error::Entities)
}

fn malformed(error: &XmlError) -> Error {
    match error {
        XmlError::Escape(EscapeError::UnrecognizedEntity(..)) => Error::Entities,
        error => Error::Malformed(error.to_string().chars().take(200).collect()),
    }
}

fn unexpected(what: &str) -> Error {
    Error::Malformed(format!("expected one root element, found {what}"))
}
