//! Which ranges of which blobs hold a range of a file, and how to decode them.

use std::ops::Range;

use oci_model::Descriptor;
use oci_pack::{Compression, MemberError, MemberSpan};

use super::ArchiveLayer;

/// How to read a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadPlan<'a> {
    /// Read these ranges of blobs.
    Pieces(PlannedRead<'a>),
    /// Stream these archives and look for the file.
    Search(Vec<ArchiveLayer<'a>>),
}

/// Ranges of blobs that together hold a range of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRead<'a> {
    /// Size of the whole file in bytes.
    pub size: u64,
    /// The wanted bytes of the file.
    pub range: Range<u64>,
    /// SHA-256 of the whole file, to verify by when all of it is read.
    pub sha256: Option<[u8; 32]>,
    /// What to read, in order; nothing for an empty range.
    pub pieces: Vec<Piece<'a>>,
}

/// A range of one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Position of the layer in the manifest.
    pub layer: usize,
    /// Descriptor of the layer.
    pub descriptor: &'a Descriptor,
    /// The bytes of the blob.
    pub range: Range<u64>,
    /// What the bytes are.
    pub encoding: PieceEncoding,
}

/// What the bytes of a piece are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceEncoding {
    /// Bytes of the file.
    Raw,
    /// Whole members of an archive, for [`oci_pack::SpanReader`].
    Members {
        /// Compression of the archive.
        compression: Compression,
        /// What to take of them.
        span: MemberSpan,
    },
}

/// A read that cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadPlanError {
    /// There is no such file.
    #[error("`{path}` is not in the package")]
    NotFound {
        /// The path.
        path: String,
    },
    /// The range is not in the file.
    #[error("`{path}` has {size} bytes, so there is no range {start}..{end}")]
    Range {
        /// The path.
        path: String,
        /// Size of the file in bytes.
        size: u64,
        /// First wanted byte.
        start: u64,
        /// First byte that is not wanted any more.
        end: u64,
    },
    /// The members of the archive do not hold the file.
    #[error("the archive that should hold `{path}` does not")]
    Members {
        /// The path.
        path: String,
        /// Why.
        source: MemberError,
    },
}
