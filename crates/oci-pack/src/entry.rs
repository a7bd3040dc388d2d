//! The entries of an archive: directories and files of known size, in the caller's order.

use std::borrow::Cow;
use std::collections::HashSet;

/// One entry of an archive that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Name in the archive, with the layer's title before it: `title/data/a.csv`, without a slash at either end.
    pub path: String,
    /// Kind, and size of a file.
    pub kind: EntryKind,
}

/// Entries in order. They need not all be in memory at once: an archive may have a million.
pub trait EntryList: Sync {
    /// Returns the number of entries.
    fn count(&self) -> usize;

    /// Returns the entry at a position; `None` from [`EntryList::count`] on.
    fn entry(&self, position: usize) -> Option<Cow<'_, ArchiveEntry>>;

    /// Returns the entries in their order.
    fn entries(&self) -> impl Iterator<Item = Cow<'_, ArchiveEntry>> {
        (0..self.count()).map_while(|position| self.entry(position))
    }
}

impl EntryList for [ArchiveEntry] {
    fn count(&self) -> usize {
        self.len()
    }

    fn entry(&self, position: usize) -> Option<Cow<'_, ArchiveEntry>> {
        self.get(position).map(Cow::Borrowed)
    }
}

impl EntryList for Vec<ArchiveEntry> {
    fn count(&self) -> usize {
        self.len()
    }

    fn entry(&self, position: usize) -> Option<Cow<'_, ArchiveEntry>> {
        self.as_slice().entry(position)
    }
}

/// Kind of an archive entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Length of the content in bytes.
        size: u64,
    },
}

impl ArchiveEntry {
    /// Returns the entry of a directory.
    pub fn directory(path: impl Into<String>) -> Self {
        Self { path: path.into(), kind: EntryKind::Directory }
    }

    /// Returns the entry of a file of `size` bytes.
    pub fn file(path: impl Into<String>, size: u64) -> Self {
        Self { path: path.into(), kind: EntryKind::File { size } }
    }

    /// Returns the size of the content in bytes; a directory has none.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::Directory => 0,
            EntryKind::File { size } => size,
        }
    }
}

/// Returns entries for `root`, for every file below it, and for each directory before its first file.
///
/// Files are `(path, size)` with the path relative to `root`, and keep their order. `oras` creates no parent directories
/// while it unpacks, so every directory needs an entry of its own. A `root` of `.` gives names without a prefix.
///
/// ```
/// use oci_pack::entries_with_directories;
///
/// let entries = entries_with_directories("bag", [("bagit.txt", 55), ("data/a.csv", 7)]);
/// let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
/// assert_eq!(paths, ["bag", "bag/bagit.txt", "bag/data", "bag/data/a.csv"]);
/// ```
pub fn entries_with_directories<'a>(
    root: &str,
    files: impl IntoIterator<Item = (&'a str, u64)>,
) -> Vec<ArchiveEntry> {
    let mut entries = vec![ArchiveEntry::directory(root)];
    let mut known: HashSet<&'a str> = HashSet::new();
    let named = |path: &str| if root == "." { path.to_owned() } else { format!("{root}/{path}") };
    for (path, size) in files {
        for (slash, _) in path.match_indices('/') {
            let directory = &path[..slash];
            if known.insert(directory) {
                entries.push(ArchiveEntry::directory(named(directory)));
            }
        }
        entries.push(ArchiveEntry::file(named(path), size));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &str, files: &[&str]) -> Vec<String> {
        let files = files.iter().map(|path| (*path, 1));
        entries_with_directories(root, files).into_iter().map(|entry| entry.path).collect()
    }

    #[test]
    fn each_directory_comes_once_and_before_its_first_file() {
        assert_eq!(
            names("bag", &["bagit.txt", "data/b/c", "data/a", "data/b/d", "e/f"]),
            [
                "bag",
                "bag/bagit.txt",
                "bag/data",
                "bag/data/b",
                "bag/data/b/c",
                "bag/data/a",
                "bag/data/b/d",
                "bag/e",
                "bag/e/f"
            ]
        );
    }

    #[test]
    fn a_root_of_dot_is_no_prefix() {
        assert_eq!(names(".", &["a/b"]), [".", "a", "a/b"]);
    }
}
