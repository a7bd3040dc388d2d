//! The error of reading and writing DataONE documents.

use std::fmt;
use std::io;

/// Result of reading or writing a DataONE document.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A document that could not be read or written. A document that is only odd has an [`crate::Oddity`].
#[derive(Debug, thiserror::Error)]
#[error("{document}{}: {detail}", Place { position: *position, element })]
pub struct Error {
    kind: ErrorKind,
    document: &'static str,
    element: String,
    position: Option<u64>,
    detail: String,
    source: Option<io::Error>,
}

/// The kind of an error, for callers to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The document is larger or deeper than the limits, or has longer parts.
    TooLarge,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The document declares entities or uses one that XML does not predefine.
    EntityRefused,
    /// The XML is not well-formed, or ends too early.
    Malformed,
    /// This is another kind of document.
    WrongDocument,
    /// A required element or attribute is missing.
    Missing,
    /// A required value is not valid.
    InvalidValue,
    /// The schema or XML has no form for a value that should be written.
    NotWritable,
    /// Reading or writing the bytes failed.
    Io,
}

impl Error {
    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the name of the kind of document that was being read or written, such as `system metadata`.
    #[must_use]
    pub fn document(&self) -> &'static str {
        self.document
    }

    /// Returns the path of the element concerned, such as `accessPolicy/allow`; empty for the document itself.
    #[must_use]
    pub fn element(&self) -> &str {
        &self.element
    }

    /// Returns the byte position in the input where reading stopped, where it is known.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.position
    }

    pub(crate) fn new(kind: ErrorKind, document: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, document, element: String::new(), position: None, detail: detail.into(), source: None }
    }

    pub(crate) fn io(document: &'static str, source: io::Error) -> Self {
        let detail = source.to_string();
        Self { source: Some(source), ..Self::new(ErrorKind::Io, document, detail) }
    }

    pub(crate) fn at_element(mut self, element: impl Into<String>) -> Self {
        self.element = element.into();
        self
    }

    pub(crate) fn at_position(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }
}

/// Writes the position of an error in the document.
struct Place<'a> {
    position: Option<u64>,
    element: &'a str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.element.is_empty() {
            write!(formatter, ", {}", self.element)?;
        }
        if let Some(position) = self.position {
            write!(formatter, ", byte {position}")?;
        }
        Ok(())
    }
}
