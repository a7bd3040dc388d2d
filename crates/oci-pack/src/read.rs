//! Reading archives, ours and anyone's, as a stream and without trust.

use std::error::Error;
use std::io::{self, BufRead, Read};

use oci_model::Digest;

use crate::{ArchiveError, Compression};

/// What a visitor may stop the reading with.
pub type VisitError = Box<dyn Error + Send + Sync>;

/// How to read an archive.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Title of the layer: every name has to be under it, and it is taken off. `.` and the empty title are no prefix;
    /// `dir/.` means `dir`.
    pub title: String,
    /// What is too much.
    pub limits: ReadLimits,
    /// What to do about names that some file systems take for one.
    pub name_clashes: NameClashes,
    /// Whether to compute the digest of the tar archive, which costs a pass of SHA-256 in a thread of its own.
    pub tar_digest: bool,
}

/// What is too much for an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Largest number of entries, directories without an entry of their own included.
    pub entries: u64,
    /// Largest size of all files together, in bytes.
    pub total_size: u64,
    /// Largest size of one file, in bytes.
    pub entry_size: u64,
    /// Largest ratio of inflated to compressed bytes, beyond `ratio_floor`. A caller that knows the sizes from a trusted
    /// place sets `total_size` and no ratio: zeros compress 1000 times.
    pub ratio: Option<u64>,
    /// Number of inflated bytes up to which any ratio is fine.
    pub ratio_floor: u64,
    /// Largest extended header, in bytes; names are limited to 4096 bytes in any case.
    pub extended_header: u64,
}

/// What to do about names that differ by case or Unicode normalisation alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameClashes {
    /// Refuse the archive.
    #[default]
    Refuse,
    /// Tell the visitor.
    Warn,
}

/// Something odd that does not stop the reading.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveWarning {
    /// Two names differ by case or Unicode normalisation alone.
    NameClash {
        /// The name that came now.
        path: String,
        /// The name that came earlier.
        earlier: String,
    },
}

/// Receives the entries of an archive in order.
///
/// Paths are relative, clean (no `.`, `..`, double or trailing slashes), below the title, and come once. Directories
/// that have no entry are not reported; the root itself neither.
pub trait ArchiveVisitor {
    /// Takes a directory; one that has several entries comes several times.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn directory(&mut self, path: &str) -> Result<(), VisitError>;

    /// Takes a file; content that is not read is skipped.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError>;

    /// Takes a symbolic link; following `target` from the link's directory stays inside.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn symbolic_link(&mut self, path: &str, target: &str) -> Result<(), VisitError>;

    /// Takes a hard link to `target`, a path relative to the root, which came earlier as a file or hard link.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn hard_link(&mut self, path: &str, target: &str) -> Result<(), VisitError>;

    /// Takes a warning, before the entry that it is about.
    ///
    /// # Errors
    ///
    /// Any error stops the reading.
    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError>;
}

/// The content of a file in an archive.
pub struct EntryContent<'a> {
    inner: &'a mut dyn BufRead,
    size: u64,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// Compression, as found.
    pub compression: Compression,
    /// Digest of the tar archive up to and with its second closing zero block, as `io.deis.oras.content.digest` holds
    /// it; absent if it was not asked for.
    pub tar_digest: Option<Digest>,
    /// Size of the tar archive in bytes, without padding.
    pub tar_size: u64,
    /// Number of entries.
    pub entries: u64,
    /// Size of all files together, in bytes.
    pub content_size: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            total_size: 1 << 50,
            entry_size: 1 << 50,
            ratio: Some(250),
            ratio_floor: 64 << 20,
            extended_header: 64 << 10,
        }
    }
}

impl ReadOptions {
    /// Returns the defaults for a layer with this title.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            limits: ReadLimits::default(),
            name_clashes: NameClashes::default(),
            tar_digest: true,
        }
    }
}

impl EntryContent<'_> {
    /// Returns the size of the whole content in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for EntryContent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl BufRead for EntryContent<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
    }
}

/// Reads an archive to its very end and shows its entries to `visitor`.
///
/// gzip (of one or many members), zstd and plain tar are told apart by their first bytes. The stream is read and inflated in
/// a thread of its own, and read to its end, so that a [`HashingRead`](crate::HashingRead) around it has seen all. After an error the
/// call returns as soon as a running read of `reader` does.
///
/// # Errors
///
/// If the archive is damaged, holds something unsafe, exceeds a limit, or `visitor` stops the reading.
pub fn read_archive<R: Read + Send>(
    reader: R,
    options: &ReadOptions,
    visitor: &mut dyn ArchiveVisitor,
) -> Result<ArchiveSummary, ArchiveError> {
    let _ = (reader, visitor);
    todo!("{options:?}")
}
