//! The files of a package in their order, without repeats and contradictions.

use bagit::path::folded;

use crate::path::{PathFault, parent, path_fault};
use crate::{ObjectFacts, PackageFile};

/// The files and empty directories of a package, in the order in which a package has them: in a bag the tag files first,
/// then the payload, each bytewise by path; in a plain directory bytewise.
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
        files: Vec<PackageFile>,
        empty_directories: Vec<Box<str>>,
        is_bag: bool,
    ) -> Result<Self, FilesError> {
        let _ = (files, empty_directories, is_bag, parent(""), path_fault(""), folded(""));
        todo!()
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
        let _ = path;
        todo!()
    }

    /// Sets what DataONE knows of the file at a position; an unknown position is ignored.
    pub fn set_object(&mut self, position: usize, facts: ObjectFacts) {
        let _ = (position, facts);
    }

    /// Returns the paths, directories included, that differ by case or Unicode normalisation alone: some file systems
    /// take them for one.
    #[must_use]
    pub fn name_clashes(&self) -> Vec<NameClash> {
        todo!()
    }
}
