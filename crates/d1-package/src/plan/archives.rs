//! The entries of a planned archive.

use std::collections::HashSet;

use oci_pack::{ArchiveEntry, EntryKind, entries_with_directories};

use crate::files::ancestors;
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
    /// Returns the entries of one of the plan's archives: the directory, then its files, each behind the
    /// directories that lead to it, then the empty directories.
    #[must_use]
    pub fn entries(&self, archive: &PlannedArchive, files: &PackageFiles) -> ArchiveEntries {
        let of_archive =
            || archive.files.iter().filter_map(|file| Some((*file, files.files().get(*file as usize)?)));
        let named = of_archive().map(|(_, file)| (&*file.path, file.size));
        let mut entries = entries_with_directories(&self.directory, named);
        let mut positions = of_archive().map(|(position, _)| position);
        let mut of_entries: Vec<Option<u32>> = entries
            .iter()
            .map(|entry| matches!(entry.kind, EntryKind::File { .. }).then(|| positions.next()).flatten())
            .collect();
        if archive.empty_directories {
            append_empty_directories(&self.directory, files.empty_directories(), &mut entries);
            of_entries.resize(entries.len(), None);
        }
        ArchiveEntries { entries, files: of_entries }
    }
}

fn append_empty_directories(directory: &str, empty: &[Box<str>], entries: &mut Vec<ArchiveEntry>) {
    let is_directory = |entry: &&ArchiveEntry| entry.kind == EntryKind::Directory;
    let mut known: HashSet<String> =
        entries.iter().filter(is_directory).map(|entry| entry.path.clone()).collect();
    for path in empty {
        for node in ancestors(path).chain([&**path]) {
            let name = format!("{directory}/{node}");
            if known.insert(name.clone()) {
                entries.push(ArchiveEntry::directory(name));
            }
        }
    }
}
