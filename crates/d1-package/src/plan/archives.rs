//! The entries of a planned archive.

use std::borrow::Cow;
use std::collections::HashSet;

use oci_pack::{ArchiveEntry, EntryList};
use safe_files::ancestors;

use crate::{PackageFiles, Plan, PlannedArchive};

/// The entries of an archive for [`oci_pack::pack_archive`], in 8 bytes each.
#[derive(Clone, Debug)]
pub struct ArchiveEntries<'a> {
    directory: &'a str,
    files: &'a PackageFiles,
    /// The entries after the directory itself.
    nodes: Vec<Node>,
    /// Directories that contain no file.
    directories: Vec<ArchiveEntry>,
}

/// A file, or a directory that leads to it.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Position of the file.
    file: u32,
    /// Length of the directory's path in bytes; 0 for the file itself.
    directory_length: u32,
}

impl Plan {
    /// Returns the entries of one of the plan's archives: the directory, then its files, each after the
    /// directories that lead to it, then the empty directories.
    #[must_use]
    pub fn entries<'a>(&'a self, archive: &PlannedArchive, files: &'a PackageFiles) -> ArchiveEntries<'a> {
        let mut nodes = Vec::with_capacity(archive.files.len());
        let mut known: HashSet<&str> = HashSet::new();
        for position in &archive.files {
            let Some(file) = files.file(*position as usize) else { continue };
            for directory in ancestors(file.path).filter(|directory| known.insert(directory)) {
                // No path is longer than 4096 bytes.
                let directory_length = u32::try_from(directory.len()).unwrap_or(u32::MAX);
                nodes.push(Node { file: *position, directory_length });
            }
            nodes.push(Node { file: *position, directory_length: 0 });
        }
        let mut directories = Vec::new();
        if archive.empty_directories {
            for path in files.empty_directories() {
                let new = ancestors(path).chain([&**path]).filter(|node| known.insert(node));
                directories
                    .extend(new.map(|node| ArchiveEntry::directory(format!("{}/{node}", self.directory))));
            }
        }
        ArchiveEntries { directory: &self.directory, files, nodes, directories }
    }
}

impl ArchiveEntries<'_> {
    /// Returns the position of an entry's file in [`PackageFiles::files`], or `None` for a directory.
    #[must_use]
    pub fn file(&self, entry: usize) -> Option<u32> {
        let node = self.nodes.get(entry.checked_sub(1)?)?;
        (node.directory_length == 0).then_some(node.file)
    }
}

impl EntryList for ArchiveEntries<'_> {
    fn count(&self) -> usize {
        1 + self.nodes.len() + self.directories.len()
    }

    fn entry(&self, position: usize) -> Option<Cow<'_, ArchiveEntry>> {
        let Some(after_root) = position.checked_sub(1) else {
            return Some(Cow::Owned(ArchiveEntry::directory(self.directory)));
        };
        let Some(node) = self.nodes.get(after_root) else {
            return self.directories.get(after_root - self.nodes.len()).map(Cow::Borrowed);
        };
        let file = self.files.file(node.file as usize)?;
        Some(Cow::Owned(match node.directory_length as usize {
            0 => ArchiveEntry::file(format!("{}/{}", self.directory, file.path), file.size),
            length => ArchiveEntry::directory(format!("{}/{}", self.directory, file.path.get(..length)?)),
        }))
    }
}
