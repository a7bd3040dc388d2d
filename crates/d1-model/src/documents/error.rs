//! The document that describes an error of a node.

use std::fmt;
use std::io;

use crate::error::Result;
use crate::oddity::Parsed;
use crate::values::{note_missing_attribute, read_number_attribute};
use crate::xml::{self, Cursor, DocumentKind, Element, XmlWriter, read_document};

const KIND: DocumentKind =
    DocumentKind { name: "DataONE error", root: "error", namespaces: &[""], max_bytes: 1024 * 1024 };

/// An error of a node (`dataoneErrors.xsd`).
///
/// A node may send it with any HTTP status, even 200, instead of the requested document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorDocument {
    /// The name of the exception, such as `NotFound`.
    pub name: String,
    /// The HTTP status of the exception, such as 404.
    pub error_code: i64,
    /// The place in the service interface that raised it, such as `1020`.
    pub detail_code: String,
    /// The requested identifier, as text.
    pub identifier: Option<String>,
    /// The node that raised it.
    pub node_id: Option<String>,
    /// The description, for people.
    pub description: Option<String>,
    /// The place of the error in the node's program. Tags of markup are left out.
    pub trace_information: Option<String>,
}

impl ErrorDocument {
    /// Reads an error document.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not well-formed XML in UTF-8, define entities, are more than 1 MiB or have another root
    /// element.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Self>> {
        read_document(KIND, bytes, read)
    }

    /// Writes the document.
    ///
    /// # Errors
    ///
    /// Fails when a text cannot be written in XML, or when writing to `out` fails.
    ///
    /// ```
    /// use d1_model::ErrorDocument;
    ///
    /// let error = ErrorDocument {
    ///     name: "NotFound".to_owned(),
    ///     error_code: 404,
    ///     detail_code: "1020".to_owned(),
    ///     ..ErrorDocument::default()
    /// };
    /// let mut document = Vec::new();
    /// error.write_xml(&mut document)?;
    /// assert_eq!(ErrorDocument::parse(&document)?.value, error);
    /// # Ok::<(), d1_model::Error>(())
    /// ```
    pub fn write_xml(&self, out: impl io::Write) -> Result<()> {
        let mut writer = XmlWriter::new(out, KIND.name)?;
        let error_code = self.error_code.to_string();
        let mut attributes =
            vec![("name", self.name.as_str()), ("errorCode", &error_code), ("detailCode", &self.detail_code)];
        attributes.extend(self.identifier.as_deref().map(|identifier| ("identifier", identifier)));
        attributes.extend(self.node_id.as_deref().map(|node_id| ("nodeId", node_id)));
        writer.start(KIND.root, &attributes)?;
        for (name, text) in
            [("description", &self.description), ("traceInformation", &self.trace_information)]
        {
            if let Some(text) = text {
                writer.leaf(name, &[], text)?;
            }
        }
        writer.end()
    }
}

impl fmt::Display for ErrorDocument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}, detail code {})", self.name, self.error_code, self.detail_code)?;
        self.description.as_ref().map_or(Ok(()), |description| write!(formatter, ": {description}"))
    }
}

/// Returns whether the bytes look like an error document. It reads only their first element.
#[must_use]
pub fn looks_like_error(bytes: &[u8]) -> bool {
    xml::first_element(bytes).is_some_and(|element| element.name == KIND.root.as_bytes())
        && xml::find_bytes(bytes, b"detailCode")
}

fn read(cursor: &mut Cursor<'_>, root: &Element) -> Result<ErrorDocument> {
    for name in ["name", "errorCode", "detailCode"] {
        if root.attribute(name).is_none() {
            note_missing_attribute(cursor, name);
        }
    }
    let text = |name| root.attribute(name).unwrap_or_default().trim().to_owned();
    let optional = |name| Some(text(name)).filter(|text| !text.is_empty());
    let mut value = ErrorDocument {
        // Metacat gives the name of the Java class.
        name: text("name").rsplit('.').next().unwrap_or_default().to_owned(),
        error_code: read_number_attribute(cursor, root, "errorCode").unwrap_or_default(),
        detail_code: text("detailCode"),
        identifier: optional("identifier").or_else(|| optional("pid")),
        node_id: optional("nodeId"),
        description: None,
        trace_information: None,
    };
    while let Some(element) = cursor.next_child(root)? {
        match element.name.as_str() {
            "description" => value.description = read_text(cursor, &element)?,
            "traceInformation" => value.trace_information = read_text(cursor, &element)?,
            _ => cursor.skip_unknown(&element)?,
        }
    }
    Ok(value)
}

fn read_text(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<String>> {
    let text = cursor.deep_text(element)?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
    use proptest::{option, string::string_regex};

    use super::{ErrorDocument, looks_like_error};
    use crate::oddity::OddityCode;

    #[test]
    fn an_error_with_markup_and_a_class_name() {
        let document = br#"<?xml version="1.0" encoding="UTF-8"?>
            <error detailCode="1020" errorCode="404" name="org.dataone.service.exceptions.NotFound" pid="a&amp;b">
            <description> No such <![CDATA[<object>]]></description>
            <traceInformation><value>at line 1</value></traceInformation><more/></error>"#;
        assert!(looks_like_error(document));
        let parsed = ErrorDocument::parse(document).unwrap();
        assert_eq!(parsed.value.to_string(), "NotFound (404, detail code 1020): No such <object>");
        assert_eq!(parsed.value.identifier.as_deref(), Some("a&b"));
        assert_eq!(parsed.value.trace_information.as_deref(), Some("at line 1"));
        assert_eq!(parsed.oddities.len(), 1, "{:?}", parsed.oddities);
        assert!(parsed.has(OddityCode::UnknownElement));
    }

    #[test]
    fn missing_attributes_are_reported() {
        let parsed = ErrorDocument::parse(b"<error errorCode='many'/>").unwrap();
        let codes: Vec<_> =
            parsed.oddities.iter().map(|oddity| (oddity.code, oddity.path.as_str())).collect();
        assert_eq!(
            codes,
            [
                (OddityCode::MissingElement, "@name"),
                (OddityCode::MissingElement, "@detailCode"),
                (OddityCode::InvalidValue, "@errorCode"),
            ]
        );
    }

    fn text() -> impl Strategy<Value = String> {
        string_regex("[^\\s\\pC.]([^\\pC.]{0,20}[^\\s\\pC.])?").unwrap()
    }

    proptest! {
        #[test]
        fn errors_read_back(
            name in text(),
            error_code in any::<i64>(),
            detail_code in text(),
            optional in [option::of(text()), option::of(text()), option::of(text()), option::of(text())],
        ) {
            let [identifier, node_id, description, trace_information] = optional;
            let value = ErrorDocument {
                name, error_code, detail_code, identifier, node_id, description, trace_information,
            };
            let mut bytes = Vec::new();
            value.write_xml(&mut bytes).unwrap();
            let parsed = ErrorDocument::parse(&bytes).unwrap();
            prop_assert_eq!(parsed.oddities, vec![]);
            prop_assert_eq!(parsed.value, value);
        }
    }
}
