//! The one error of this crate, and the kinds a caller can match on.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;

use oci_pack::ManifestBuildError;
use safe_files::PathFault;

/// Result of describing or reading a package.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A package that cannot be made, described or read.
///
/// ```
/// use d1_package::{ErrorKind, PackageFile, PackageFiles};
///
/// let outside = PackageFile::new("../secret.csv", 0, [0; 32]);
/// let error = PackageFiles::new(vec![outside], Vec::new(), false).unwrap_err();
/// assert_eq!((error.kind(), error.subject()), (ErrorKind::Path, "../secret.csv"));
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    subject: Box<str>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of a fault in a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A path, title or directory name cannot be in a package.
    Path,
    /// The SHA-256 of a file is not known.
    NotHashed,
    /// Files or directories are not in their order, or one comes twice.
    Order,
    /// A path is both a file and a directory, or a directory that is listed as empty is not.
    PathConflict,
    /// A file system could take two names for one.
    NameClash,
    /// There are more bytes or entries than this crate reads or writes.
    TooLarge,
    /// Even the fewest layers are more than the store takes.
    TooManyLayers,
    /// The manifest is larger than the store takes.
    ManifestTooLarge,
    /// The largest blob that the store takes is too small for any archive.
    BlobLimit,
    /// The layers or files differ from the planned ones.
    NotPlanned,
    /// The bytes cannot be read; the source says why.
    Read,
    /// The configuration of the manifest is not an index.
    NotAnIndex,
    /// The index is not JSON, lacks a required field, or has a value that does not parse; the source says where.
    Syntax,
    /// The version of the format is not known.
    Version,
    /// The index does not have the size that the manifest states.
    Size,
    /// The layers differ from those of the manifest.
    Layers,
    /// A layer does not have the title that follows from the index.
    Title,
    /// The members of an archive do not add up to its sizes.
    Members,
    /// A file names a layer that does not exist, a layer of the wrong kind, or no place at all.
    Place,
    /// A file in an archive lies outside of it, or overlaps another.
    Overlap,
    /// The layers of a file do not have its size.
    FileSize,
    /// The layer of a file does not have its digest.
    FileDigest,
    /// A layer holds no file.
    UnusedLayer,
    /// A part of a file is missing, or not in its order.
    Part,
    /// The package has no such file.
    NotFound,
    /// The range ends behind the end of the file.
    Range,
}

impl Error {
    /// Returns the kind of the fault.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the path, title or `layer 3` that the error is about; empty for the package as a whole.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the error for bytes that a file of `size` bytes does not have.
    #[must_use]
    pub fn outside_file(path: &str, size: u64, wanted: &Range<u64>) -> Self {
        let Range { start, end } = wanted;
        let message = format!("expected a range within the {size} bytes of `{path}`, found {start}..{end}");
        Self::new(ErrorKind::Range, path, message)
    }

    /// Returns the error for a layer that is not as planned.
    #[must_use]
    pub fn layer_not_planned(layer: usize) -> Self {
        Self::new(
            ErrorKind::NotPlanned,
            layer_name(layer),
            format!("layer {layer} differs from the planned one"),
        )
    }

    pub(crate) fn new(kind: ErrorKind, subject: impl Into<Box<str>>, message: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), message: message.into(), source: None }
    }

    /// Makes the error of a path that cannot be in a package.
    pub(crate) fn unsafe_path(path: &str, fault: PathFault) -> Self {
        Self::new(ErrorKind::Path, path, format!("`{path}` cannot be in a package: {fault}"))
    }

    /// Makes an error of a package index; `subject` is a path, a layer, or empty.
    pub(crate) fn index(kind: ErrorKind, subject: impl Into<Box<str>>, detail: impl fmt::Display) -> Self {
        let subject = subject.into();
        let message = match &*subject {
            "" => format!("package index: {detail}"),
            about => format!("package index, {about}: {detail}"),
        };
        Self::new(kind, subject, message)
    }

    pub(crate) fn because(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Says that the error is about the index of a package that came from outside.
    pub(crate) fn in_index(mut self) -> Self {
        self.message = format!("package index: {}", self.message);
        self
    }
}

/// Returns the subject of errors about a layer.
pub(crate) fn layer_name(number: usize) -> String {
    format!("layer {number}")
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<ManifestBuildError> for Error {
    fn from(error: ManifestBuildError) -> Self {
        let (kind, subject) = match &error {
            ManifestBuildError::DuplicateTitle { title } => (ErrorKind::PathConflict, title.as_str()),
            _ => (ErrorKind::ManifestTooLarge, ""),
        };
        Self::new(kind, subject, error.to_string())
    }
}
