//! The files of a package in their order, without repeats and contradictions.

mod check;
mod clashes;

use std::collections::BTreeMap;
use std::ops::Range;

use bagit::{Algorithm, FileEntry, Inventory};

use crate::{FileView, ObjectFacts, PackageFile};

pub use check::FilesError;
pub use clashes::NameClash;

/// The files and empty directories of a package, in the order in which a package has them: in a bag the tag files
/// first, then the payload, each bytewise by path; in a plain directory bytewise.
#[derive(Clone, Debug)]
pub struct PackageFiles {
    /// The files, each with its SHA-256, bytewise.
    inventory: Inventory,
    empty_directories: Vec<Box<str>>,
    is_bag: bool,
    /// Where the inventory has what comes last: the payload of a bag.
    last: Range<usize>,
    /// What DataONE knows of files, by position.
    objects: BTreeMap<usize, ObjectFacts>,
}

impl PackageFiles {
    /// Puts files in order; directories that are not empty must not be among `empty_directories`.
    ///
    /// # Errors
    ///
    /// If a path cannot stand in a package, comes twice, or is a file and a directory.
    pub fn new(
        files: Vec<PackageFile>,
        empty_directories: Vec<Box<str>>,
        is_bag: bool,
    ) -> Result<Self, FilesError> {
        let mut inventory = Inventory::new();
        let mut objects = Vec::new();
        for file in files {
            if inventory.insert_file(&file.path, file.size, file.view().digests()) {
                return Err(FilesError::Duplicate { path: file.path.into() });
            }
            objects.extend(file.object.map(|object| (file.path, *object)));
        }
        let mut ordered = Self::of_inventory(inventory, empty_directories, is_bag)?;
        for (path, object) in objects {
            if let Some(position) = ordered.position(&path) {
                ordered.set_object(position, object);
            }
        }
        Ok(ordered)
    }

    /// Takes over the files of an inventory; directories that are not empty must not be among `empty_directories`.
    ///
    /// # Errors
    ///
    /// As [`PackageFiles::new`]; if the SHA-256 of a file is not known.
    pub fn of_inventory(
        inventory: Inventory,
        mut empty_directories: Vec<Box<str>>,
        is_bag: bool,
    ) -> Result<Self, FilesError> {
        if u32::try_from(inventory.len()).is_err() {
            return Err(FilesError::TooMany { count: inventory.len() });
        }
        empty_directories.sort();
        let last = if is_bag {
            inventory.count_before(PAYLOAD)..inventory.count_before(AFTER_PAYLOAD)
        } else {
            inventory.len()..inventory.len()
        };
        let ordered = Self { inventory, empty_directories, is_bag, last, objects: BTreeMap::new() };
        ordered.check()?;
        Ok(ordered)
    }

    /// Tells whether this is a bag.
    #[must_use]
    pub fn is_bag(&self) -> bool {
        self.is_bag
    }

    /// Returns the files in order.
    pub fn files(&self) -> impl Iterator<Item = FileView<'_>> {
        let Range { start, end } = self.last;
        let first = self.inventory.files_from(0).take(start).chain(self.inventory.files_from(end));
        let files = first.chain(self.inventory.files_from(start).take(end - start));
        let mut objects = self.objects.iter().peekable();
        files.enumerate().map(move |(position, (path, entry))| {
            let object = objects.next_if(|(of, _)| **of == position).map(|(_, object)| object);
            view(path, entry, object)
        })
    }

    /// Returns the file at a position.
    #[must_use]
    pub fn file(&self, position: usize) -> Option<FileView<'_>> {
        let Range { start, end } = self.last;
        let after = self.inventory.len() - end;
        let place = match position {
            before if before < start => before,
            after_payload if after_payload < start + after => after_payload - start + end,
            payload if payload < self.len() => payload - after,
            _ => return None,
        };
        let (path, entry) = self.inventory.get(place)?;
        Some(view(path, entry, self.objects.get(&position)))
    }

    /// Returns the number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inventory.len()
    }

    /// Tells whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inventory.is_empty()
    }

    /// Returns the empty directories, bytewise.
    #[must_use]
    pub fn empty_directories(&self) -> &[Box<str>] {
        &self.empty_directories
    }

    /// Returns the files as [`bagit::check`] takes them, without the empty directories.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Returns the position of the file with this path.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<usize> {
        let Range { start, end } = self.last;
        let after = self.inventory.len() - end;
        Some(match self.inventory.position(path)? {
            before if before < start => before,
            payload if payload < end => payload + after,
            after_payload => after_payload - end + start,
        })
    }

    /// Tells whether a path is payload: in a bag what is below `data/`, in a plain directory everything.
    #[must_use]
    pub fn is_payload(&self, path: &str) -> bool {
        !self.is_bag || path.starts_with(PAYLOAD)
    }

    /// Sets what DataONE knows of the file at a position; an unknown position is ignored.
    pub fn set_object(&mut self, position: usize, facts: ObjectFacts) {
        if position < self.len() {
            self.objects.insert(position, facts);
        }
    }

    /// Returns the paths of all files and empty directories.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let empty = self.empty_directories.iter().map(|path| &**path);
        self.inventory.files().map(|(path, _)| path).chain(empty)
    }
}

impl PartialEq for PackageFiles {
    fn eq(&self, other: &Self) -> bool {
        // Which directories an inventory names besides is no matter of the package.
        self.is_bag == other.is_bag
            && self.empty_directories == other.empty_directories
            && self.len() == other.len()
            && self.files().eq(other.files())
    }
}

impl Eq for PackageFiles {}

const PAYLOAD: &str = "data/";

/// What comes right after everything that begins with [`PAYLOAD`].
const AFTER_PAYLOAD: &str = "data0";

/// Returns what files are ordered by.
pub(crate) fn order_key(path: &str, is_bag: bool) -> (bool, &str) {
    (is_bag && path.starts_with(PAYLOAD), path)
}

fn view<'a>(path: &'a str, entry: FileEntry<'a>, object: Option<&'a ObjectFacts>) -> FileView<'a> {
    let sha256 = entry.digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok());
    // No list has a file without it.
    let sha256 = sha256.unwrap_or_default();
    FileView { path, size: entry.size, sha256, checksums: entry.digests, object }
}

#[cfg(test)]
mod tests {
    use super::{FilesError, PackageFiles};
    use crate::PackageFile;

    fn files(paths: &[&str], empty: &[&str], is_bag: bool) -> Result<PackageFiles, FilesError> {
        let files = paths.iter().map(|path| PackageFile::new(*path, 1, [0; 32])).collect();
        PackageFiles::new(files, empty.iter().map(|path| (*path).into()).collect(), is_bag)
    }

    fn order(paths: &[&str], is_bag: bool) -> Vec<Box<str>> {
        files(paths, &[], is_bag).unwrap().files().map(|file| file.path.into()).collect()
    }

    #[test]
    fn tag_files_come_before_the_payload_of_a_bag() {
        let paths = ["tagmanifest-md5.txt", "data/b", "data-x", "data/B/c", "bagit.txt", "metadata/a"];
        assert_eq!(
            order(&paths, true).iter().map(|path| &**path).collect::<Vec<_>>(),
            ["bagit.txt", "data-x", "metadata/a", "tagmanifest-md5.txt", "data/B/c", "data/b"]
        );
        assert!(order(&paths, false).is_sorted());
    }

    #[test]
    fn every_file_is_found_by_its_path() {
        let list = files(&["z", "data/a", "b/c"], &[], true).unwrap();
        for (position, file) in list.files().enumerate() {
            assert_eq!(list.position(file.path), Some(position));
            assert_eq!(list.file(position), Some(file));
        }
        assert_eq!(list.file(3), None);
        assert_eq!(list.position("data"), None);
    }

    #[test]
    fn contradictions_are_refused() {
        let conflict =
            |path: &str, below: &str| FilesError::FileIsDirectory { path: path.into(), below: below.into() };
        assert_eq!(files(&["a", "a"], &[], false), Err(FilesError::Duplicate { path: "a".into() }));
        assert_eq!(files(&["a", "a-", "a/b"], &[], false), Err(conflict("a", "a/b")));
        assert_eq!(files(&["data", "data/b"], &[], true), Err(conflict("data", "data/b")));
        assert_eq!(files(&["a"], &["a/b"], false), Err(conflict("a", "a/b")));
        assert_eq!(files(&["a"], &["a"], false), Err(conflict("a", "a")));
        assert_eq!(
            files(&["data/a/b"], &["data/a"], true),
            Err(FilesError::NotEmpty { path: "data/a".into() })
        );
        assert_eq!(files(&["x"], &["a", "a/b"], false), Err(FilesError::NotEmpty { path: "a".into() }));
        assert_eq!(files(&[], &["a", "a"], false), Err(FilesError::Duplicate { path: "a".into() }));
        assert!(matches!(files(&["a/../b"], &[], false), Err(FilesError::Path { .. })));
        assert!(matches!(files(&[], &["/b"], false), Err(FilesError::Path { .. })));
        assert!(files(&["a", "a-b", "data/a"], &["data/e", "e", "e-"], true).is_ok());
    }

    #[test]
    fn names_that_some_file_systems_take_for_one_are_found() {
        let list = files(&["A/x", "a/y", "b", "data/N\u{fa}", "data/Nu\u{301}", "c"], &["C"], true).unwrap();
        let found: Vec<_> =
            list.name_clashes().into_iter().map(|clash| (clash.first, clash.second)).collect();
        let expected = [("A", "a"), ("C", "c"), ("data/Nu\u{301}", "data/N\u{fa}")];
        assert_eq!(found, expected.map(|(first, second)| (first.into(), second.into())));
        assert!(files(&["a/x", "a/y", "a-/x"], &["a/z"], false).unwrap().name_clashes().is_empty());
    }
}
