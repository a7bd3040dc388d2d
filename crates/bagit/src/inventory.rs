//! What a bag holds, as a front end found it: the only thing besides tag files that the rules look at.

use std::collections::{BTreeMap, BTreeSet};

use crate::digests::Digests;
use crate::fault::Fault;
use crate::manifest::ManifestName;

/// Says what stands at a path of a bag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A file whose bytes were read.
    #[default]
    File,
    /// A file whose bytes could not be taken; an observation says why.
    Unreadable,
    /// A link, device, fifo or socket; an observation says which.
    NotAFile,
}

/// Describes one file of a bag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileEntry {
    /// Its size in bytes.
    pub size: u64,
    /// The digests of its bytes.
    pub digests: Digests,
    /// Whether its bytes could be read.
    pub kind: EntryKind,
}

/// Lists the files and directories of one bag by bag-relative path, with `/` between the components.
///
/// The front ends of this crate fill it, and so does anyone who moves a bag's bytes in another way. Paths are taken as
/// they are: [`crate::check()`] reports the unsafe ones.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    files: BTreeMap<Box<str>, FileEntry>,
    directories: BTreeSet<Box<str>>,
    observations: Vec<Fault>,
}

impl Inventory {
    /// Starts an empty inventory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file that was read, and the directories above it; gives back the entry that it replaces, if any.
    pub fn insert_file(&mut self, path: &str, size: u64, digests: Digests) -> Option<FileEntry> {
        self.insert(path, FileEntry { size, digests, kind: EntryKind::File })
    }

    /// Adds a file that could not be read; pair it with an observation that says why.
    pub fn insert_unreadable(&mut self, path: &str, size: u64) -> Option<FileEntry> {
        self.insert(path, FileEntry { size, digests: Digests::new(), kind: EntryKind::Unreadable })
    }

    /// Adds something that stands at a path but is no file; pair it with an observation that says what.
    pub fn insert_not_a_file(&mut self, path: &str) -> Option<FileEntry> {
        self.insert(path, FileEntry { size: 0, digests: Digests::new(), kind: EntryKind::NotAFile })
    }

    /// Adds a directory, and those above it.
    pub fn insert_directory(&mut self, path: &str) {
        let mut path = path;
        while !path.is_empty() && !self.directories.contains(path) {
            self.directories.insert(path.into());
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }

    /// Adds a fault that was seen while the inventory was taken; it becomes part of the report.
    pub fn observe(&mut self, fault: Fault) {
        self.observations.push(fault);
    }

    /// Gives the entry at a path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.get(path)
    }

    /// Gives the entry at a path, to be changed.
    pub fn file_mut(&mut self, path: &str) -> Option<&mut FileEntry> {
        self.files.get_mut(path)
    }

    /// Walks all files in bytewise order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &FileEntry)> {
        self.files.iter().map(|(path, entry)| (&**path, entry))
    }

    pub(crate) fn files_mut(&mut self) -> impl Iterator<Item = (&str, &mut FileEntry)> {
        self.files.iter_mut().map(|(path, entry)| (&**path, entry))
    }

    /// Walks the files under `data/` in bytewise order of their paths.
    pub fn payload(&self) -> impl Iterator<Item = (&str, &FileEntry)> {
        self.under("data/")
    }

    /// Walks the files whose path begins with the given text, in bytewise order.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a FileEntry)> {
        self.files
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .map(|(path, entry)| (&**path, entry))
            .take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// Says whether the path is a directory.
    #[must_use]
    pub fn has_directory(&self, path: &str) -> bool {
        self.directories.contains(path)
    }

    /// Walks all directories in bytewise order of their paths.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.directories.iter().map(|path| &**path)
    }

    /// Says whether anything is below the directory.
    #[must_use]
    pub fn has_anything_under(&self, directory: &str) -> bool {
        let inside = format!("{directory}/");
        let from = (std::ops::Bound::Included(inside.as_str()), std::ops::Bound::Unbounded);
        let next_directory = self.directories.range::<str, _>(from).next();
        self.under(&inside).next().is_some() || next_directory.is_some_and(|path| path.starts_with(&inside))
    }

    /// Gives the faults that were seen while the inventory was taken.
    #[must_use]
    pub fn observations(&self) -> &[Fault] {
        &self.observations
    }

    /// Gives the number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Says whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn insert(&mut self, path: &str, entry: FileEntry) -> Option<FileEntry> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.insert_directory(parent);
        }
        self.files.insert(path.into(), entry)
    }
}

/// Holds the bytes of the top-level tag files that the rules read: the declaration, metadata, manifests and `fetch.txt`.
#[derive(Clone, Debug, Default)]
pub struct TagFiles(BTreeMap<String, Vec<u8>>);

impl TagFiles {
    /// Starts an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the rules read the file at this bag-relative path, so that its bytes belong in here.
    #[must_use]
    pub fn wants(path: &str) -> bool {
        let is_manifest = !path.contains('/') && ManifestName::parse(path).is_some();
        is_manifest || matches!(path, "bagit.txt" | "bag-info.txt" | "package-info.txt" | "fetch.txt")
    }

    /// Adds the bytes of one tag file.
    pub fn insert(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.to_owned(), bytes);
    }

    /// Gives the bytes of one tag file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(crate) fn into_files(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.0.into_iter()
    }

    /// Walks the tag files in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Inventory, TagFiles};
    use crate::digests::Digests;

    #[test]
    fn directories_above_a_file_are_known() {
        let mut inventory = Inventory::new();
        inventory.insert_file("data/a/b/c.csv", 1, Digests::new());
        inventory.insert_directory("data/a/empty");
        let directories: Vec<&str> = inventory.directories().collect();
        assert_eq!(directories, ["data", "data/a", "data/a/b", "data/a/empty"]);
        inventory.insert_directory("data/a b");
        assert!(inventory.has_anything_under("data/a") && !inventory.has_anything_under("data/a/empty"));
        assert_eq!(inventory.payload().count(), 1);
        assert_eq!(inventory.under("data/a/e").count(), 0);
    }

    #[test]
    fn only_top_level_tag_files_of_the_format_are_wanted() {
        for name in ["bagit.txt", "manifest-MD5.txt", "tagmanifest-sha256.txt", "fetch.txt", "bag-info.txt"] {
            assert!(TagFiles::wants(name), "{name}");
        }
        for name in ["data/bagit.txt", "manifest-md5", "README.txt", "metadata/manifest-md5.txt", "FETCH.TXT"]
        {
            assert!(!TagFiles::wants(name), "{name}");
        }
    }
}
