//! What can go wrong while an archive is written.

use std::io;

/// An archive that could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// An entry's name cannot stand in an archive, or stands there in the wrong place.
    #[error("`{path}` cannot be an archive entry: {reason}")]
    Entry {
        /// Name of the entry.
        path: String,
        /// What is wrong with it.
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
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Name of the entry.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file has another size than was declared: it changed while it was read.
    #[error("`{path}` changed while it was read: expected {declared} bytes, found {}{found}", if *.more { "more than " } else { "" })]
    SizeChanged {
        /// Name of the entry.
        path: String,
        /// The declared size in bytes.
        declared: u64,
        /// The number of bytes that came.
        found: u64,
        /// Whether there are more bytes than `found`, which were not counted.
        more: bool,
    },
    /// A file has another content than it had before: whoever inspects what is read says so.
    #[error("`{path}` changed before it was packed")]
    ContentChanged {
        /// Name of the entry.
        path: String,
    },
    /// The compressor failed.
    #[error("cannot compress the archive")]
    Compress {
        /// Why.
        source: io::Error,
    },
    /// The archive could not be written to its destination.
    #[error("cannot write the archive")]
    Write {
        /// Why.
        source: io::Error,
    },
}
