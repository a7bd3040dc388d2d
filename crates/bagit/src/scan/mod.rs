//! Front ends: from a directory, a tar stream or a zip file to an inventory with digests.

use crate::algorithm::AlgorithmSet;
use crate::check::{payload_algorithms, tag_algorithms};
use crate::inventory::Inventory;
use crate::tag_files::TagFiles;

mod archive;
mod directory;
mod hashing;
mod tar;
mod unpack;
mod zip;

pub(crate) use directory::{Links, Prefix, hash_positions, walk};
pub use directory::{hash_directory, is_bag, scan_directory, validate_directory};
pub use hashing::{FileToHash, HashOutcome, hash_files};
pub(crate) use hashing::{ReadOutcome, is_same_state, read_unchanged};
pub use tar::{scan_tar, validate_tar};
pub(crate) use unpack::unpack_zip;
pub use zip::{scan_zip, validate_zip};

/// Bounds what input from outside may make a scan do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The number of files and directories.
    pub entries: u64,
    /// The bytes of one tag file that the rules read: declaration, metadata, manifests, `fetch.txt`.
    pub tag_file_bytes: u64,
    /// The bytes of one manifest of a directory up to which it is held in memory too; a larger one is read line by line.
    pub held_manifest_bytes: u64,
    /// How many times larger than the archive its content may be; small content is always fine.
    pub expansion: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            tag_file_bytes: 1 << 30,
            held_manifest_bytes: TagFiles::MOST_HELD_BYTES,
            expansion: 200,
        }
    }
}

/// Sets how a bag is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanOptions {
    /// The number of threads that hash files of a directory; 0 is one per core.
    pub threads: usize,
    /// Algorithms to compute for every file besides those that the manifests need.
    pub extra_algorithms: AlgorithmSet,
    /// Algorithms to compute in a tar stream for payload files that come before any manifest.
    pub stream_algorithms: AlgorithmSet,
    /// The bounds.
    pub limits: Limits,
    /// Hashes every file by all algorithms that any manifest names, as new manifests for all files need.
    pub(crate) alike: bool,
}

impl ScanOptions {
    /// Gives the algorithms for payload files, and those for the others.
    pub(crate) fn algorithms(&self, tag_files: &TagFiles) -> (AlgorithmSet, AlgorithmSet) {
        let payload = payload_algorithms(tag_files).union(self.extra_algorithms);
        let tags = tag_algorithms(tag_files).union(self.extra_algorithms);
        if self.alike { (payload.union(tags), payload.union(tags)) } else { (payload, tags) }
    }
}

impl Default for ScanOptions {
    fn default() -> Self {
        use crate::algorithm::Algorithm::{Md5, Sha1, Sha256, Sha512};
        Self {
            threads: 0,
            extra_algorithms: AlgorithmSet::EMPTY,
            stream_algorithms: [Md5, Sha1, Sha256, Sha512].into_iter().collect(),
            limits: Limits::default(),
            alike: false,
        }
    }
}

/// Holds what a front end found: the two inputs of [`crate::check()`].
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Every file and directory, with digests and observations.
    pub inventory: Inventory,
    /// The tag files that the rules read.
    pub tag_files: TagFiles,
    /// In an archive, the directory that is the bag; `None` if the bag is at the root.
    pub base_directory: Option<String>,
}
