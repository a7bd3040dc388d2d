//! What can be wrong with an index.

use std::fmt;

/// An index that is not valid, or contradicts itself or the manifest.
#[derive(Debug)]
pub struct IndexError {
    kind: IndexErrorKind,
    subject: String,
    detail: String,
    source: Option<serde_json::Error>,
}

/// What is wrong with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IndexErrorKind {
    /// The bytes cannot be read; the source says why.
    Read,
    /// The configuration of the manifest is no index.
    NotAnIndex,
    /// The index is larger than is read, or has more entries.
    TooLarge,
    /// The text is no JSON, lacks required fields, or a value does not read; the source says where.
    Syntax,
    /// The version of the format is not known.
    Version,
    /// The index has another size than the manifest says.
    Size,
    /// A path cannot stand in a package.
    Path,
    /// The files are not in their order, or one comes twice.
    Order,
    /// A path is a file and a directory, or a directory listed as empty is not.
    PathConflict,
    /// The layers are not those of the manifest.
    Layers,
    /// A layer's title is not the one that follows from the index.
    Title,
    /// The members of an archive do not add up to its sizes.
    Members,
    /// A file names a layer that is not there, or of the wrong kind, or no place at all.
    Place,
    /// A file in an archive lies outside of it, or overlaps another.
    Overlap,
    /// The layers of a file do not have its size.
    FileSize,
    /// The layer of a file does not have its digest.
    FileDigest,
    /// A layer holds no file.
    UnusedLayer,
}

impl IndexError {
    pub(crate) fn new(kind: IndexErrorKind, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), detail: detail.into(), source: None }
    }

    pub(crate) fn because(mut self, source: serde_json::Error) -> Self {
        self.source = Some(source);
        self
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn kind(&self) -> IndexErrorKind {
        self.kind
    }

    /// Returns what it is about: a path, `layer 3`, or nothing for the index as a whole.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("package index")?;
        if !self.subject.is_empty() {
            write!(formatter, ", {}", self.subject)?;
        }
        write!(formatter, ": {}", self.detail)
    }
}

impl std::error::Error for IndexError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
