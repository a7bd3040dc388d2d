//! Which lists of files are no package.

use bagit::{Algorithm, FileEntry};
use safe_files::{PathFault, ancestors, parent, path_fault};

use super::PackageFiles;

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
    /// The SHA-256 of a file is not known.
    #[error("`{path}` has not been hashed")]
    NotHashed {
        /// The path.
        path: String,
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
    /// Checks the paths, and that no file is a directory.
    pub(super) fn check(&self) -> Result<(), FilesError> {
        self.check_files()?;
        self.check_directories_of_files()?;
        self.check_empty_directories()
    }

    fn check_files(&self) -> Result<(), FilesError> {
        if let Some((path, fault)) = self.paths().find_map(|path| Some((path, path_fault(path)?))) {
            return Err(FilesError::Path { path: path.to_owned(), fault });
        }
        let hashed = |entry: FileEntry<'_>| entry.digests.get(Algorithm::Sha256).is_some();
        if let Some((path, _)) = self.inventory.files().find(|(_, entry)| !hashed(*entry)) {
            return Err(FilesError::NotHashed { path: path.to_owned() });
        }
        let repeated = |pair: &&[Box<str>]| pair.first() == pair.last();
        match self.empty_directories.windows(2).find(repeated).and_then(<[_]>::first) {
            Some(path) => Err(FilesError::Duplicate { path: path.to_string() }),
            None => Ok(()),
        }
    }

    fn check_directories_of_files(&self) -> Result<(), FilesError> {
        let mut checked = "";
        for (path, _) in self.inventory.files() {
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
            if self.inventory.position(path).is_some() {
                return Err(FilesError::FileIsDirectory { path: path.to_owned(), below: path.to_owned() });
            }
            let inside = format!("{path}/");
            let next = self.empty_directories.partition_point(|other| **other < *inside);
            let has_directory =
                self.empty_directories.get(next).is_some_and(|next| next.starts_with(&inside));
            if has_directory || self.inventory.under(&inside).next().is_some() {
                return Err(FilesError::NotEmpty { path: path.to_owned() });
            }
        }
        Ok(())
    }

    fn check_ancestors(&self, path: &str) -> Result<(), FilesError> {
        match ancestors(path).find(|ancestor| self.inventory.position(ancestor).is_some()) {
            Some(file) => Err(FilesError::FileIsDirectory { path: file.to_owned(), below: path.to_owned() }),
            None => Ok(()),
        }
    }
}
