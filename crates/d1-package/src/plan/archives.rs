//! The entries of a planned archive.

use oci_pack::ArchiveEntry;

use crate::{PackageFiles, Plan, PlannedArchive};

/// The entries of an archive, and which of them are files of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntries {
    /// The entries, as [`oci_pack::pack_archive`] takes them.
    pub entries: Vec<ArchiveEntry>,
    /// For each entry, the position of its file in [`PackageFiles::files`]; `None` for a directory.
    pub files: Vec<Option<u32>>,
}

impl Plan {
    /// Returns the entries of one of the plan's archives: the directory, then its files, each behind the directories that
    /// lead to it, then the empty directories.
    #[must_use]
    pub fn entries(&self, archive: &PlannedArchive, files: &PackageFiles) -> ArchiveEntries {
        let _ = (archive, files);
        todo!()
    }
}
