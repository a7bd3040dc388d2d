//! Reading archives, ours and anyone's, as a stream and without trust.

use std::error::Error;
use std::io::Read;
use std::thread;

use crossbeam_channel::bounded;
use oci_model::Digest;

use crate::archive_path::TitlePrefix;
use crate::archive_walk::{ArchiveWalk, EntryContent};
use crate::chunk_source::{ChunkSource, hash_spent};
use crate::inflate_thread::{CHUNK_COUNT, Chunk, inflate};
use crate::pack::join;
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

/// Reads an archive to its very end and shows its entries to `visitor`.
///
/// gzip (of one or many members), zstd and plain tar are told apart by their first bytes. The stream is read and inflated in
/// a thread of its own, and read to its end, so that a [`HashingReader`](multi_digest::HashingReader) around it has seen all. After an error the
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
    let title = TitlePrefix::new(&options.title)?;
    let (free_sender, free) = bounded(CHUNK_COUNT);
    for _ in 0..CHUNK_COUNT {
        // The channel has room for every chunk.
        let _ = free_sender.try_send(Chunk::new());
    }
    let (inflated_sender, inflated) = bounded(CHUNK_COUNT);
    let (spent_sender, spent) = bounded(CHUNK_COUNT);
    thread::scope(|scope| {
        let limits = &options.limits;
        let inflater = scope.spawn(move || inflate(reader, limits, &free, &inflated_sender));
        let hasher = scope.spawn(move || hash_spent(options.tar_digest, &spent, &free_sender));
        let source = ChunkSource::new(inflated, spent_sender);
        // The walk takes the source with it, so that the threads end when it does.
        let walked = ArchiveWalk::new(source, title, options, visitor).run();
        let compression = join(inflater);
        let tar_digest = join(hasher);
        let walked = walked?;
        Ok(ArchiveSummary {
            compression: compression.unwrap_or_default(),
            tar_digest,
            tar_size: walked.tar_size,
            entries: walked.entries,
            content_size: walked.content_size,
        })
    })
}
