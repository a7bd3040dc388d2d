//! Recognises archive layers of the replaced package that packing would produce again.

use oci_model::Digest;
use oci_pack::Compression;

use crate::index::{Fingerprint, ReplacedArchive};
use crate::{ArchiveRecord, PackageFiles, Plan, PlannedArchive, ReplacedArchives};

/// An archive layer that already exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReusableArchive {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// The facts about the archive.
    pub record: ArchiveRecord,
    /// Compression of the blob.
    pub compression: Compression,
    /// Start of each file's content in the tar archive, in the order of the files.
    pub data_offsets: Vec<u64>,
}

/// Finds for each planned archive a layer of the replaced package with the same files. They must have the same
/// order, paths, sizes, SHA-256 digests, directory and encoder.
///
/// The index is only a claim: see `docs/decisions/0002-reuse-of-archive-layers.md`.
#[must_use]
pub fn reusable_archives(
    plan: &Plan,
    files: &PackageFiles,
    replaced: &ReplacedArchives,
    compression: Compression,
) -> Vec<Option<ReusableArchive>> {
    let find = |planned: &PlannedArchive| {
        let wanted = Wanted { plan, planned, files, replaced, compression };
        let found = replaced.archives.iter().enumerate().find(|(number, known)| wanted.is(*number, known));
        found.map(|(_, known)| reusable(known, compression))
    };
    plan.archives().map(find).collect()
}

fn reusable(known: &ReplacedArchive, compression: Compression) -> ReusableArchive {
    ReusableArchive {
        digest: known.digest.clone(),
        size: known.size,
        record: known.record.clone(),
        compression,
        data_offsets: known.files.iter().map(|(_, offset)| *offset).collect(),
    }
}

/// An archive that must be packed unless an equal one exists.
struct Wanted<'a> {
    plan: &'a Plan,
    planned: &'a PlannedArchive,
    files: &'a PackageFiles,
    replaced: &'a ReplacedArchives,
    compression: Compression,
}

impl Wanted<'_> {
    /// Returns whether packing would produce the known archive with this number.
    fn is(&self, number: usize, known: &ReplacedArchive) -> bool {
        let empty_here = self.files.empty_directories().iter().filter(|_| self.planned.empty_directories);
        let empty_there = self.replaced.empty_directories.iter().filter(|_| number == 0);
        *known.record.encoder == *self.compression.encoder()
            && *self.plan.directory == *self.replaced.directory
            && self.planned.files.len() == known.files.len()
            && empty_here.eq(empty_there)
            && self.planned.files.iter().zip(&known.files).all(|(position, (fingerprint, _))| {
                let file = self.files.file(*position as usize);
                file.is_some_and(|file| Fingerprint::of(&file) == *fingerprint)
            })
    }
}
