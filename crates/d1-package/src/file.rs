//! One file of a package, and what DataONE knows of it.

use bagit::{Algorithm, Digests, DigestsView};
use d1_model::{Checksum, Identifier};

/// A file of a package by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// Path relative to the package's directory, clean, with `/` between its components.
    pub path: Box<str>,
    /// Length of the content in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Digests by other algorithms, where they are known; SHA-256 may be among them and is then not written twice.
    pub checksums: Digests,
    /// What DataONE knows of the file.
    pub object: Option<Box<ObjectFacts>>,
}

/// A file of a package in a list of many, which holds its path and its digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileView<'a> {
    /// Path relative to the package's directory, clean, with `/` between its components.
    pub path: &'a str,
    /// Length of the content in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Digests by other algorithms, where they are known; SHA-256 may be among them.
    pub checksums: DigestsView<'a>,
    /// What DataONE knows of the file.
    pub object: Option<&'a ObjectFacts>,
}

/// What DataONE knows of a file, from its system metadata or from a resource map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectFacts {
    /// The object's identifier (PID).
    pub identifier: Option<Identifier>,
    /// The object format identifier.
    pub format_id: Option<Box<str>>,
    /// The checksum that the system metadata declare.
    pub declared_checksum: Option<Checksum>,
    /// Path of the system metadata in the package.
    pub system_metadata: Option<Box<str>>,
}

impl PackageFile {
    /// Returns a file of which no more is known.
    #[must_use]
    pub fn new(path: impl Into<Box<str>>, size: u64, sha256: [u8; 32]) -> Self {
        Self { path: path.into(), size, sha256, checksums: Digests::new(), object: None }
    }

    /// Returns the file as a list of files has it.
    #[must_use]
    pub fn view(&self) -> FileView<'_> {
        FileView {
            path: &self.path,
            size: self.size,
            sha256: self.sha256,
            checksums: self.checksums.view(),
            object: self.object.as_deref(),
        }
    }
}

impl<'a> FileView<'a> {
    /// Returns a digest, where it is known.
    #[must_use]
    pub fn digest(&self, algorithm: Algorithm) -> Option<&[u8]> {
        match algorithm {
            Algorithm::Sha256 => Some(&self.sha256),
            _ => self.checksums.get(algorithm),
        }
    }

    /// Returns all digests, SHA-256 among them.
    #[must_use]
    pub fn digests(&self) -> Digests {
        let mut digests = self.checksums.to_digests();
        digests.insert(Algorithm::Sha256, &self.sha256);
        digests
    }

    /// Returns the identifier, where it is known.
    #[must_use]
    pub fn identifier(&self) -> Option<&'a Identifier> {
        self.object?.identifier.as_ref()
    }

    /// Returns the object format identifier, where it is known.
    #[must_use]
    pub fn format_id(&self) -> Option<&'a str> {
        self.object?.format_id.as_deref()
    }
}
