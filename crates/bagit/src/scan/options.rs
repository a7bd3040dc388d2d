//! How front ends read a bag, and what they find.

use multi_digest::AlgorithmSet;

use crate::check::{payload_algorithms, tag_algorithms};
use crate::inventory::Inventory;
use crate::tag_files::TagFiles;

/// Bounds the memory and work that input from outside can cause.
///
/// ```
/// let mut options = bagit::ScanOptions::default();
/// options.limits.entries = 1000;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest number of files and directories.
    pub entries: u64,
    /// The largest size in bytes of one tag file that the rules read: declaration, metadata, manifest or `fetch.txt`. In an archive, of all
    /// of them.
    pub tag_file_bytes: u64,
    /// The largest size in bytes of a manifest in a directory that is held in memory. A larger manifest is read line by line.
    pub held_manifest_bytes: u64,
    /// How many times larger than the archive its content may be. Up to 64 MiB of content is always accepted.
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
    /// The number of threads that hash files of a directory. 0 stands for one per core.
    pub threads: usize,
    /// Algorithms to compute for every file, besides those that the manifests need.
    pub extra_algorithms: AlgorithmSet,
    /// Algorithms to compute for payload files of a tar stream that come before any manifest.
    pub stream_algorithms: AlgorithmSet,
    /// The bounds.
    pub limits: Limits,
    /// Computes the algorithms of all manifests for every file, because new manifests need them.
    pub(crate) alike: bool,
}

impl ScanOptions {
    /// Returns the algorithms for payload files, and the algorithms for all other files.
    pub(crate) fn algorithms(&self, tag_files: &TagFiles) -> (AlgorithmSet, AlgorithmSet) {
        let payload = payload_algorithms(tag_files).union(self.extra_algorithms);
        let tags = tag_algorithms(tag_files).union(self.extra_algorithms);
        if self.alike { (payload.union(tags), payload.union(tags)) } else { (payload, tags) }
    }
}

impl Default for ScanOptions {
    fn default() -> Self {
        use multi_digest::Algorithm::{Md5, Sha1, Sha256, Sha512};
        Self {
            threads: 0,
            extra_algorithms: AlgorithmSet::EMPTY,
            stream_algorithms: [Md5, Sha1, Sha256, Sha512].into_iter().collect(),
            limits: Limits::default(),
            alike: false,
        }
    }
}

/// The inputs of [`crate::check()`], as a front end found them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Scan {
    /// The files and directories, with digests and observations.
    pub inventory: Inventory,
    /// The tag files that the rules read.
    pub tag_files: TagFiles,
    /// The directory of the bag in an archive, or `None` if the bag is at the root.
    pub base_directory: Option<String>,
}
