//! A package as a reader sees it: its files and how to get at their bytes, with or without an index.

mod foreign;
mod read_plan;
#[cfg(test)]
mod tests;

use bagit::Digests;
use oci_model::{Descriptor, ImageManifest};
use oci_pack::Compression;

use crate::{ObjectFacts, PackageIndex, PathFault, Place};

pub use self::read_plan::{Piece, PieceEncoding, PlannedRead, ReadPlan, ReadPlanError};

/// The files of a package.
#[derive(Clone, Debug)]
pub struct PackageView {
    manifest: ImageManifest,
    index: Option<PackageIndex>,
    foreign: foreign::ForeignContent,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path below [`PackageView::directory`].
    pub path: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content; a file in parts has none without an index.
    pub sha256: Option<[u8; 32]>,
    /// Further digests.
    pub checksums: Option<&'a Digests>,
    /// What DataONE knows of the file.
    pub object: Option<&'a ObjectFacts>,
    /// Where its bytes are.
    pub place: Place,
}

/// An archive layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveLayer<'a> {
    /// Position of the layer in the manifest.
    pub layer: usize,
    /// Descriptor of the layer.
    pub descriptor: &'a Descriptor,
    /// Title of the layer, as it is, for [`oci_pack::ReadOptions`]: entry names begin with it.
    pub title: &'a str,
    /// Where the archive unpacks, below [`PackageView::directory`]; empty for the directory itself.
    pub path: &'a str,
}

/// A manifest that cannot be read as a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A title cannot be a path.
    #[error("layer {layer} has the title `{title}`, which is not safe to write: {fault}")]
    UnsafeTitle {
        /// Position of the layer.
        layer: usize,
        /// The title.
        title: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// Two layers mean the same path, or a file and a directory.
    #[error("layer {layer} has the title `{title}`, which another layer has or needs as a directory")]
    TitleConflict {
        /// Position of the layer.
        layer: usize,
        /// The title.
        title: String,
    },
    /// The parts of a file are not all there, or not in their order.
    #[error("layer {layer} (`{title}`) is not the part of a file that its place among the layers demands")]
    Part {
        /// Position of the layer.
        layer: usize,
        /// The title.
        title: String,
    },
    /// The index belongs to another manifest.
    #[error("the index is not that of the manifest")]
    OtherIndex,
}

impl PackageView {
    /// Tells whether the manifest's configuration is an index, which [`PackageIndex::read`] reads.
    #[must_use]
    pub fn has_index(manifest: &ImageManifest) -> bool {
        manifest.config.media_type.as_str() == crate::INDEX_MEDIA_TYPE
    }

    /// Returns the view of a manifest, whoever wrote it.
    ///
    /// Without an index, layers that are marked for unpacking are archives of which nothing is known, other layers with a title are
    /// files, and layers without one are no part of the package, as `oras` has it.
    ///
    /// # Errors
    ///
    /// If a title is unsafe or stands for something else already, or parts are missing.
    pub fn new(manifest: ImageManifest, index: Option<PackageIndex>) -> Result<Self, ViewError> {
        let _ = (manifest, index);
        todo!()
    }

    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// Returns the index, if there is one.
    #[must_use]
    pub fn index(&self) -> Option<&PackageIndex> {
        self.index.as_ref()
    }

    /// Returns the directory that the package unpacks into; empty if it is none in particular.
    #[must_use]
    pub fn directory(&self) -> &str {
        todo!()
    }

    /// Returns the identifier of the package: the index's, else the annotation's.
    #[must_use]
    pub fn identifier(&self) -> Option<&str> {
        todo!()
    }

    /// Returns the files that are known: all of them with an index, else those that are layers.
    pub fn entries(&self) -> Box<dyn Iterator<Item = Entry<'_>> + '_> {
        todo!()
    }

    /// Returns the file at a path, if it is known.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<Entry<'_>> {
        let _ = path;
        todo!()
    }

    /// Returns the file with a DataONE identifier, if it is known.
    #[must_use]
    pub fn entry_by_identifier(&self, identifier: &str) -> Option<Entry<'_>> {
        let _ = identifier;
        todo!()
    }

    /// Returns the empty directories that are known.
    #[must_use]
    pub fn empty_directories(&self) -> &[Box<str>] {
        self.index.as_ref().map_or(&[], |index| index.files().empty_directories())
    }

    /// Returns the archive layers: what has to be unpacked to get the whole package.
    #[must_use]
    pub fn archives(&self) -> Vec<ArchiveLayer<'_>> {
        todo!()
    }

    /// Plans reading a file, or a range of its bytes.
    ///
    /// Without an index, a file may lie in any archive: the plan is to search them.
    ///
    /// # Errors
    ///
    /// If there is no such file, or the range is not in it.
    pub fn read_plan(
        &self,
        path: &str,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<ReadPlan<'_>, ReadPlanError> {
        let _ = (path, range, Compression::Gzip);
        todo!()
    }
}
