//! What a bag holds, as a front end found it: the only thing besides tag files that the rules look at.

mod block;
mod table;

use std::collections::BTreeSet;

use crate::digests::{Digests, DigestsView};
use crate::fault::Fault;
use safe_files::{ancestors, is_below};

use table::FileTable;

pub use block::FileEntry;
pub(crate) use block::LONGEST_PATH;

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

/// Lists the files and directories of one bag by bag-relative path, with `/` between the components.
///
/// The front ends of this crate fill it, and so does anyone who moves a bag's bytes in another way. Paths are taken as
/// they are: [`crate::check()`] reports the unsafe ones.
///
/// It is made for millions of files: besides the bytes of its path and digests, a file takes some 25 bytes. Paths of over 1 MiB,
/// which no front end gives, are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    files: FileTable,
    /// Those that were added; those above a file or another directory need not be among them.
    directories: BTreeSet<Box<str>>,
    observations: Vec<Fault>,
}

impl Inventory {
    /// Starts an empty inventory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file that was read, and the directories above it; says whether it took the place of another entry.
    pub fn insert_file(&mut self, path: &str, size: u64, digests: Digests) -> bool {
        self.insert(path, FileEntry { size, digests: digests.view(), kind: EntryKind::File })
    }

    /// Adds a file that could not be read; pair it with an observation that says why.
    pub fn insert_unreadable(&mut self, path: &str, size: u64) -> bool {
        self.insert(path, FileEntry { size, digests: DigestsView::default(), kind: EntryKind::Unreadable })
    }

    /// Adds something that stands at a path but is no file; pair it with an observation that says what.
    pub fn insert_not_a_file(&mut self, path: &str) -> bool {
        self.insert(path, FileEntry { size: 0, digests: DigestsView::default(), kind: EntryKind::NotAFile })
    }

    /// Adds an entry as another inventory has it.
    pub fn insert(&mut self, path: &str, entry: FileEntry<'_>) -> bool {
        self.files.insert(path, entry)
    }

    /// Adds a directory, and those above it.
    pub fn insert_directory(&mut self, path: &str) {
        if !path.is_empty() && !self.directories.contains(path) {
            self.directories.insert(path.into());
        }
    }

    /// Adds a fault that was seen while the inventory was taken; it becomes part of the report.
    pub fn observe(&mut self, fault: Fault) {
        self.observations.push(fault);
    }

    /// Gives the entry at a path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<FileEntry<'_>> {
        self.get(self.position(path)?).map(|(_, entry)| entry)
    }

    /// Gives the place of a path in the bytewise order of all files, counted from 0.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<usize> {
        self.files.position(path).ok()
    }

    /// Gives the number of files whose paths come before this one in bytewise order.
    #[must_use]
    pub fn count_before(&self, path: &str) -> usize {
        self.files.position(path).unwrap_or_else(|place| place)
    }

    /// Gives the file at a place in the bytewise order of all files.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<(&str, FileEntry<'_>)> {
        self.files.get(position)
    }

    /// Gives the number that was set for the file at a place, or 0: a note of whoever fills the inventory.
    pub(crate) fn mark(&self, position: usize) -> u32 {
        self.files.mark(position).unwrap_or_default()
    }

    /// Sets the number of the file at a path.
    pub(crate) fn set_mark(&mut self, path: &str, mark: u32) {
        self.files.set_mark(path, mark);
    }

    /// Changes what is known of the file at a place; an unknown place is ignored.
    pub(crate) fn set(&mut self, position: usize, entry: FileEntry<'_>) {
        self.files.set(position, entry);
    }

    /// Walks all files in bytewise order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        self.files.iter_from(0)
    }

    /// Walks the files from a place on, in bytewise order of their paths.
    pub fn files_from(&self, position: usize) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        self.files.iter_from(position)
    }

    /// Walks the files under `data/` in bytewise order of their paths.
    pub fn payload(&self) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        self.under("data/")
    }

    /// Walks the files whose path begins with the given text, in bytewise order.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, FileEntry<'a>)> {
        self.files_from(self.count_before(prefix)).take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// Says whether the path is a directory.
    #[must_use]
    pub fn has_directory(&self, path: &str) -> bool {
        !path.is_empty() && (self.directories.contains(path) || self.has_anything_under(path))
    }

    /// Walks all directories in bytewise order of their paths.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        let (mut all, mut previous) = (Vec::new(), "");
        for path in self.files().map(|(path, _)| path).chain(self.added_directories()) {
            // All that is below a directory comes nearly in a row, so most repeats are seen at once.
            all.extend(ancestors(path).filter(|directory| !is_below(previous, directory)));
            previous = path;
        }
        all.extend(self.added_directories());
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// Walks the directories that were added, not those that are known from what is in them, in bytewise order.
    pub fn added_directories(&self) -> impl Iterator<Item = &str> {
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
        self.files.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Inventory;
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
}
