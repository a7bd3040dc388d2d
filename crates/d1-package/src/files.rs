//! The files of a package in their order, without repeats and contradictions.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use bagit::path::folded;

use crate::path::{PathFault, parent, path_fault};
use crate::{ObjectFacts, PackageFile};

/// The files and empty directories of a package, in the order in which a package has them: in a bag the tag files
/// first, then the payload, each bytewise by path; in a plain directory bytewise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFiles {
    files: Vec<PackageFile>,
    empty_directories: Vec<Box<str>>,
    is_bag: bool,
}

/// Two paths that some file systems take for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameClash {
    /// The one that comes first.
    pub first: Box<str>,
    /// The other.
    pub second: Box<str>,
}

/// A list of files that is no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A path cannot stand in a package.
    #[error("`{path}` cannot be in a package: {fault}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// A path comes twice.
    #[error("`{path}` comes twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// A file stands where a directory is needed.
    #[error("`{path}` is a file and the directory of `{below}`")]
    FileIsDirectory {
        /// Path of the file.
        path: String,
        /// What lies below it.
        below: String,
    },
    /// A directory that is listed as empty has a file in it.
    #[error("`{path}` is listed as an empty directory and has something in it")]
    NotEmpty {
        /// The directory.
        path: String,
    },
    /// There are more files than a package can have.
    #[error("{count} files are more than a package can have (4294967295)")]
    TooMany {
        /// Number of files.
        count: usize,
    },
}

impl PackageFiles {
    /// Puts files in order; directories that are not empty must not be among `empty_directories`.
    ///
    /// # Errors
    ///
    /// If a path cannot stand in a package, comes twice, or is a file and a directory.
    pub fn new(
        mut files: Vec<PackageFile>,
        mut empty_directories: Vec<Box<str>>,
        is_bag: bool,
    ) -> Result<Self, FilesError> {
        if u32::try_from(files.len()).is_err() {
            return Err(FilesError::TooMany { count: files.len() });
        }
        files.sort_by(|left, right| order_key(&left.path, is_bag).cmp(&order_key(&right.path, is_bag)));
        empty_directories.sort();
        let ordered = Self { files, empty_directories, is_bag };
        ordered.check_paths()?;
        ordered.check_directories_of_files()?;
        ordered.check_empty_directories()?;
        Ok(ordered)
    }

    /// Tells whether this is a bag.
    #[must_use]
    pub fn is_bag(&self) -> bool {
        self.is_bag
    }

    /// Returns the files in order.
    #[must_use]
    pub fn files(&self) -> &[PackageFile] {
        &self.files
    }

    /// Returns the empty directories, bytewise.
    #[must_use]
    pub fn empty_directories(&self) -> &[Box<str>] {
        &self.empty_directories
    }

    /// Returns the position of the file with this path.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<usize> {
        let wanted = order_key(path, self.is_bag);
        self.files.binary_search_by(|file| order_key(&file.path, self.is_bag).cmp(&wanted)).ok()
    }

    /// Tells whether a path is payload: in a bag what is below `data/`, in a plain directory everything.
    #[must_use]
    pub fn is_payload(&self, path: &str) -> bool {
        !self.is_bag || path.starts_with(PAYLOAD)
    }

    /// Sets what DataONE knows of the file at a position; an unknown position is ignored.
    pub fn set_object(&mut self, position: usize, facts: ObjectFacts) {
        if let Some(file) = self.files.get_mut(position) {
            file.object = Some(Box::new(facts));
        }
    }

    /// Returns the paths, directories included, that differ by case or Unicode normalisation alone: some file systems
    /// take them for one.
    #[must_use]
    pub fn name_clashes(&self) -> Vec<NameClash> {
        let hashes = RandomState::new();
        // Hashes stand for the folded paths, which would take as much memory as the paths again.
        let mut nodes: Vec<(u64, &str)> = Vec::with_capacity(self.files.len());
        let mut previous = "";
        let empty = self.empty_directories.iter().map(|path| &**path);
        for path in self.files.iter().map(|file| &*file.path).chain(empty) {
            for node in ancestors(path).chain([path]) {
                // All that is below a directory comes in a row, so most repeats are seen at once.
                if !is_below(previous, node) {
                    nodes.push((hashes.hash_one(folded(node)), node));
                }
            }
            previous = path;
        }
        nodes.sort_unstable();
        nodes.dedup();
        let mut clashes = Vec::new();
        for group in nodes.chunk_by(|left, right| left.0 == right.0) {
            let Some(((_, first), others)) = group.split_first() else { continue };
            let same = others.iter().filter(|(_, other)| folded(other) == folded(first));
            clashes
                .extend(same.map(|(_, other)| NameClash { first: (*first).into(), second: (*other).into() }));
        }
        clashes.sort_by(|left, right| left.first.cmp(&right.first));
        clashes
    }

    fn check_paths(&self) -> Result<(), FilesError> {
        let paths = || self.files.iter().map(|file| &*file.path);
        let empty = || self.empty_directories.iter().map(|path| &**path);
        if let Some((path, fault)) = paths().chain(empty()).find_map(|path| Some((path, path_fault(path)?))) {
            return Err(FilesError::Path { path: path.to_owned(), fault });
        }
        let repeated = paths().zip(paths().skip(1)).chain(empty().zip(empty().skip(1)));
        match repeated.into_iter().find(|(left, right)| left == right) {
            Some((path, _)) => Err(FilesError::Duplicate { path: path.to_owned() }),
            None => Ok(()),
        }
    }

    fn check_directories_of_files(&self) -> Result<(), FilesError> {
        let mut checked = "";
        for path in self.files.iter().map(|file| &*file.path) {
            if parent(path) != checked {
                checked = parent(path);
                self.check_ancestors(path)?;
            }
        }
        Ok(())
    }

    fn check_empty_directories(&self) -> Result<(), FilesError> {
        for path in self.empty_directories.iter().map(|path| &**path) {
            self.check_ancestors(path)?;
            if self.position(path).is_some() {
                return Err(FilesError::FileIsDirectory { path: path.to_owned(), below: path.to_owned() });
            }
            let inside = format!("{path}/");
            let key = order_key(&inside, self.is_bag);
            let file = self.files.partition_point(|file| order_key(&file.path, self.is_bag) < key);
            let directory = self.empty_directories.partition_point(|other| **other < *inside);
            let next_file = self.files.get(file).map(|file| &file.path);
            let next = [next_file, self.empty_directories.get(directory)];
            if next.into_iter().flatten().any(|next| next.starts_with(&inside)) {
                return Err(FilesError::NotEmpty { path: path.to_owned() });
            }
        }
        Ok(())
    }

    fn check_ancestors(&self, path: &str) -> Result<(), FilesError> {
        match ancestors(path).find(|ancestor| self.position(ancestor).is_some()) {
            Some(file) => Err(FilesError::FileIsDirectory { path: file.to_owned(), below: path.to_owned() }),
            None => Ok(()),
        }
    }
}

const PAYLOAD: &str = "data/";

/// Returns what files are ordered by.
pub(crate) fn order_key(path: &str, is_bag: bool) -> (bool, &str) {
    (is_bag && path.starts_with(PAYLOAD), path)
}

/// Returns the directories that lead to a path, the outermost first.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(slash, _)| path.get(..slash))
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
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
        files(paths, &[], is_bag).unwrap().files().iter().map(|file| file.path.clone()).collect()
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
        for (position, file) in list.files().iter().enumerate() {
            assert_eq!(list.position(&file.path), Some(position));
        }
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
