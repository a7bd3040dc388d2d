//! Errors of writing and reading archives.

use std::error::Error;
use std::{fmt, io};

/// An archive that is damaged, refused, or cannot be read.
#[derive(Debug)]
pub struct ArchiveError {
    kind: ArchiveErrorKind,
    entry: Option<String>,
    detail: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kind of a fault in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArchiveErrorKind {
    /// The stream could not be read; the source says why.
    Read,
    /// The stream is neither gzip nor zstd nor tar.
    UnknownFormat,
    /// The stream ends before the archive does.
    Truncated,
    /// Compressed data or tar headers are damaged.
    Corrupt,
    /// Bytes other than padding follow the end of the archive.
    TrailingData,
    /// A name is not UTF-8.
    NotUtf8,
    /// A name is absolute or empty, or has `..` or NUL.
    UnsafePath,
    /// A name is not below the layer's title.
    OutsideTitle,
    /// An entry is not a directory, file or link: a device, a FIFO, a sparse file or another type.
    UnsupportedType,
    /// A path leads through an earlier link or file.
    ThroughNonDirectory,
    /// A name comes twice.
    Duplicate,
    /// Two names differ by case or Unicode normalisation alone.
    NameClash,
    /// A link leads out of the archive, or a hard link names a file that did not come earlier.
    LinkTarget,
    /// There are too many entries.
    TooManyEntries,
    /// A file is too large.
    EntryTooLarge,
    /// The files together are too large.
    TotalTooLarge,
    /// The archive inflates beyond the allowed ratio.
    CompressionRatio,
    /// An extended header is too large, or there are too many of them.
    HeaderTooLarge,
    /// The visitor stopped the reading; the source says why.
    Visitor,
}

impl ArchiveError {
    pub(crate) fn new(kind: ArchiveErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, entry: None, detail: detail.into(), source: None }
    }

    /// Names the entry, unless the error already names one.
    pub(crate) fn at(mut self, entry: impl Into<String>) -> Self {
        self.entry.get_or_insert_with(|| entry.into());
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the kind of the fault.
    pub fn kind(&self) -> ArchiveErrorKind {
        self.kind
    }

    /// Returns the entry's name from the archive. Control characters and wrong UTF-8 are replaced.
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// Returns the error of the visitor or the stream, for the caller to take back.
    pub fn into_source(self) -> Option<Box<dyn Error + Send + Sync>> {
        self.source
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(formatter, "archive entry `{entry}`: {}", self.detail),
            None => formatter.write_str(&self.detail),
        }
    }
}

impl Error for ArchiveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

/// An archive that could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// An entry's name is not allowed in an archive, or not at this position.
    #[error("`{path}` cannot be an archive entry: {reason}")]
    Entry {
        /// Name of the entry.
        path: String,
        /// The reason.
        reason: &'static str,
    },
    /// The archive would be larger than 2^63 bytes.
    #[error("the archive is too large at entry `{path}`")]
    TooLarge {
        /// The entry that does not fit.
        path: String,
    },
    /// A file could not be opened.
    #[error("cannot open `{path}`")]
    Open {
        /// Name of the entry.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Name of the entry.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A file's size differs from the declared one: it changed while it was read.
    #[error("`{path}` changed while it was read: expected {declared} bytes, found {}{found}", if *.more { "more than " } else { "" })]
    SizeChanged {
        /// Name of the entry.
        path: String,
        /// The declared size in bytes.
        declared: u64,
        /// Number of bytes read.
        found: u64,
        /// Whether the file has more bytes than `found`, which were not counted.
        more: bool,
    },
    /// A file's content differs from its earlier one. The inspector of the packing reports it.
    #[error("`{path}` changed before it was packed")]
    ContentChanged {
        /// Name of the entry.
        path: String,
    },
    /// The compressor failed.
    #[error("cannot compress the archive")]
    Compress {
        /// The cause.
        source: io::Error,
    },
    /// The archive could not be written to its destination.
    #[error("cannot write the archive")]
    Write {
        /// The cause.
        source: io::Error,
    },
}
