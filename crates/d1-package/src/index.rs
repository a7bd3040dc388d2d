//! The index of a package: its files, and the place of their bytes.

mod check;
mod document;
mod replaced;

use std::io::{self, Write};

use bagit::{AlgorithmSet, Version};
use d1_model::Identifier;
use oci_model::{Descriptor, Digest, ImageManifest};
use oci_pack::Member;
use serde::{Deserialize, Serialize};

use crate::{FileView, PackageFiles, Result};

pub use self::replaced::ReplacedArchives;
pub(crate) use self::replaced::{Fingerprint, ReplacedArchive};

/// The largest index that is read, in bytes. An index of a million files has about 200 MB.
pub const MAX_INDEX_BYTES: u64 = 1 << 30;

/// The largest index that is also written into the manifest, in bytes: the index of some 250 files.
///
/// It saves every reader a request and leaves nine tenths of the manifest to the layers.
pub const MAX_INLINE_INDEX_BYTES: u64 = 64 << 10;

/// The index of a package, checked: every file has its place in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageIndex {
    pub(crate) directory: Box<str>,
    pub(crate) bag: Option<BagRecord>,
    pub(crate) identifier: Option<Identifier>,
    pub(crate) resource_map: Option<Identifier>,
    pub(crate) layers: Vec<LayerRecord>,
    pub(crate) files: PackageFiles,
    /// The place of each file.
    pub(crate) places: Vec<Place>,
}

/// The facts in `bagit.txt` and in the names of the manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BagRecord {
    /// Version that the bag declares.
    #[serde(deserialize_with = "document::parsed")]
    pub version: Version,
    /// Algorithms of the bag's payload manifests.
    #[serde(with = "document::algorithm_names")]
    pub algorithms: AlgorithmSet,
}

/// One layer of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "document::LayerDocument", into = "document::LayerDocument")]
pub struct LayerRecord {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Content of the blob.
    pub kind: LayerKind,
}

/// Names the content of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// A compressed archive.
    Archive(ArchiveRecord),
    /// The bytes of one file.
    Object,
    /// Some of the bytes of one file.
    Part,
}

/// The facts about an archive layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRecord {
    /// Digest of the tar archive.
    pub tar_digest: Digest,
    /// Size of the tar archive in bytes.
    pub tar_size: u64,
    /// Identity of the encoder, see [`oci_pack::Compression::encoder`].
    pub encoder: Box<str>,
    /// The independently compressed pieces, in order and without gaps.
    pub members: Vec<Member>,
}

/// The place of a file's bytes. Layers are named by their position in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In an archive.
    Archive {
        /// The layer.
        layer: u32,
        /// Where the content begins in the tar archive.
        offset: u64,
    },
    /// A layer of their own.
    Object {
        /// The layer.
        layer: u32,
    },
    /// Several layers in a row.
    Parts {
        /// The first layer.
        first: u32,
        /// Number of layers.
        count: u32,
    },
}

impl PackageIndex {
    /// Reads an index. Checks that it is consistent and fits the manifest that names it as configuration.
    ///
    /// Unknown fields are skipped. Digests of contents remain claims until the bytes are read. Memory stays below
    /// three times the size of the index, whatever its content.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be read, are not valid, do not have the size that the manifest states, or contradict
    /// themselves or the manifest.
    pub fn read(reader: impl io::Read, manifest: &ImageManifest) -> Result<Self> {
        document::read_index(reader, manifest)
    }

    /// Writes the index as compact JSON with fields in fixed order: equal packages give equal bytes.
    ///
    /// Returns the descriptor of the written bytes. Up to [`MAX_INLINE_INDEX_BYTES`] are in the descriptor too.
    ///
    /// # Errors
    ///
    /// If `output` fails.
    pub fn write(&self, output: impl Write) -> io::Result<Descriptor> {
        document::write_index(self, output)
    }

    /// Returns the descriptor of the bytes that [`PackageIndex::write`] writes.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        // Maps with text keys and numbers in range, written to a sink: serialising them cannot fail.
        self.write(io::sink()).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Returns the name of the directory that the package unpacks into.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Returns the facts about the bag, or `None` for a plain directory.
    #[must_use]
    pub fn bag(&self) -> Option<&BagRecord> {
        self.bag.as_ref()
    }

    /// Returns the identifier of the package.
    #[must_use]
    pub fn identifier(&self) -> Option<&Identifier> {
        self.identifier.as_ref()
    }

    /// Returns the identifier of the resource map.
    #[must_use]
    pub fn resource_map(&self) -> Option<&Identifier> {
        self.resource_map.as_ref()
    }

    /// Returns the layers in the order of the manifest.
    #[must_use]
    pub fn layers(&self) -> &[LayerRecord] {
        &self.layers
    }

    /// Returns the files and empty directories.
    #[must_use]
    pub fn files(&self) -> &PackageFiles {
        &self.files
    }

    /// Returns the place of the file at a position.
    #[must_use]
    pub fn place(&self, position: usize) -> Option<Place> {
        self.places.get(position).copied()
    }

    /// Returns the files with their places, in order.
    pub fn entries(&self) -> impl Iterator<Item = (FileView<'_>, Place)> {
        self.files.files().zip(self.places.iter().copied())
    }
}
