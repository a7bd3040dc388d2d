//! Writing a deterministic archive: read, hash, compress and write at the same time.

use std::fmt;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use oci_model::Digest;

use crate::{ArchiveEntry, Compression, Member, PackError};

/// Opens the content of the entry with this position in the list; called once for each file, in order, from one thread.
pub type OpenEntry<'a> = dyn Fn(usize) -> io::Result<Box<dyn Read + Send + 'a>> + Sync + 'a;

/// How to write an archive.
#[derive(Clone, Copy)]
pub struct PackOptions<'a> {
    /// Compression of the archive.
    pub compression: Compression,
    /// Number of threads that compress; the result is the same for any number.
    pub threads: NonZeroUsize,
    /// Called from the calling thread with the number of further tar bytes that were written.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedArchive {
    /// Compression of the archive.
    pub compression: Compression,
    /// Digest of the bytes written.
    pub blob_digest: Digest,
    /// Number of bytes written.
    pub blob_size: u64,
    /// Digest of the tar archive, as `io.deis.oras.content.digest` holds it.
    pub tar_digest: Digest,
    /// Size of the tar archive in bytes.
    pub tar_size: u64,
    /// The independently compressed pieces, in order and without gaps.
    pub members: Vec<Member>,
    /// The regular files, in the order of the entries.
    pub files: Vec<PackedFile>,
}

/// A file in an archive that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedFile {
    /// Position in the list of entries.
    pub entry: usize,
    /// Length of the content in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Where the content begins in the tar archive.
    pub data_offset: u64,
}

impl Default for PackOptions<'_> {
    /// gzip, with as many threads as the machine has cores.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { compression: Compression::default(), threads, progress: None }
    }
}

impl fmt::Debug for PackOptions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PackOptions")
            .field("compression", &self.compression)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Writes the archive of `entries` to `output`.
///
/// Equal entries with equal contents give equal bytes, on every machine and with any number of threads. Memory is
/// bounded by a few members of 1 MiB for each thread. What is in `output` after an error is of no use.
///
/// # Errors
///
/// As [`tar_layout`](crate::tar_layout); if a file cannot be read, or has another size than its entry declares; if `output` fails.
pub fn pack_archive(
    entries: &[ArchiveEntry],
    open: &OpenEntry<'_>,
    options: &PackOptions<'_>,
    output: &mut dyn Write,
) -> Result<PackedArchive, PackError> {
    let _ = (open, options, output);
    todo!("{entries:?}")
}
