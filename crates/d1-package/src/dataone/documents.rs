//! Finding and reading the DataONE documents of a package, before its files are hashed.

use std::io::{self, Read};

use bagit::AlgorithmSet;
use d1_model::{Checksum, Identifier, ResourceMap};

use crate::{DataOneFacts, PackageFiles, PackageOddity};

/// Opens the file of the package at a path.
pub type OpenFile<'a> = dyn FnMut(&str) -> io::Result<Box<dyn Read>> + 'a;

/// The DataONE documents of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// The system metadata, in the order of the files.
    pub system_metadata: Vec<ObjectRecord>,
    /// The resource maps, in the order of the files.
    pub resource_maps: Vec<ResourceMapRecord>,
    /// What was odd about them.
    pub oddities: Vec<PackageOddity>,
}

/// What one system metadata document says of its object, as far as a package needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRecord {
    /// Path of the document in the package.
    pub path: Box<str>,
    /// SHA-256 of the document.
    pub sha256: [u8; 32],
    /// Identifier of the object.
    pub identifier: Identifier,
    /// Object format identifier.
    pub format_id: Box<str>,
    /// Size of the object in bytes.
    pub size: u64,
    /// Checksum of the object.
    pub checksum: Checksum,
    /// Series identifier.
    pub series_id: Option<Identifier>,
    /// The version before the object.
    pub obsoletes: Option<Identifier>,
    /// The file name that is suggested for the object; not safe as a path.
    pub file_name: Option<Box<str>>,
    /// Whether everybody may read the object.
    pub is_public: bool,
}

/// A resource map of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceMapRecord {
    /// Path of the document in the package.
    pub path: Box<str>,
    /// SHA-256 of the document.
    pub sha256: [u8; 32],
    /// What it says.
    pub map: ResourceMap,
}

/// A file that could not be read while DataONE documents were looked for.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{path}`")]
pub struct RecogniseError {
    /// Path of the file.
    pub path: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Reads the DataONE documents among these files, given as path and size.
///
/// Of a bag, tag files are looked at, and small payload files; of a plain directory, small files. A document that looks like one and
/// cannot be read is an oddity.
///
/// # Errors
///
/// If a file cannot be opened or read.
pub fn read_documents<'p>(
    files: impl IntoIterator<Item = (&'p str, u64)>,
    open: &mut OpenFile<'_>,
) -> Result<Documents, RecogniseError> {
    let _ = (files.into_iter().count(), open(""));
    todo!()
}

impl Documents {
    /// Returns the algorithms by which a file of `size` bytes has to be hashed, besides SHA-256, to be matched with its system
    /// metadata: none for most files.
    #[must_use]
    pub fn algorithms_for(&self, size: u64) -> AlgorithmSet {
        let _ = size;
        todo!()
    }

    /// Matches the documents with the files.
    ///
    /// Files are matched by checksum and size, among equal ones by the resource map's `prov:atLocation`, then by `fileName`, then by
    /// identifier, and in the last resort in a stable order, which is an oddity.
    #[must_use]
    pub fn recognise(&self, files: &PackageFiles) -> DataOneFacts {
        let _ = files;
        todo!()
    }
}
