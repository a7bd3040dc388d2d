//! One file of a package, and what DataONE knows of it.

use bagit::Digests;
use d1_model::{Checksum, Identifier};

/// A file of a package: 80 bytes, its path, its further digests, and a box for DataONE members.
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

    /// Returns the identifier, where it is known.
    #[must_use]
    pub fn identifier(&self) -> Option<&Identifier> {
        self.object.as_ref()?.identifier.as_ref()
    }

    /// Returns the object format identifier, where it is known.
    #[must_use]
    pub fn format_id(&self) -> Option<&str> {
        self.object.as_ref()?.format_id.as_deref()
    }
}
