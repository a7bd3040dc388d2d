//! The content of a package for readers, with or without an index: its files and the places of their bytes.

mod foreign;
mod read_plan;

use std::ops::Range;

use bagit::{Algorithm, Digests, DigestsView};
use d1_model::Identifier;
use oci_model::annotations::TITLE;
use oci_model::{Descriptor, ImageManifest};

use self::foreign::ForeignContent;
use crate::annotations::D1_IDENTIFIER;
use crate::media::BAG_ARTIFACT_TYPE;
use crate::{BagRecord, Error, ErrorKind, FileView, LayerKind, ObjectFacts, PackageIndex, Place, Result};

pub use self::read_plan::{Piece, PieceEncoding, PlannedRead, ReadPlan};

/// The files of a package.
#[derive(Clone, Debug)]
pub struct PackageView {
    manifest: ImageManifest,
    index: Option<PackageIndex>,
    foreign: ForeignContent,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path below [`PackageView::directory`].
    pub path: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content. Without an index, a file in parts does not have one.
    pub sha256: Option<[u8; 32]>,
    /// Further digests.
    pub checksums: Option<DigestsView<'a>>,
    /// The facts about the file in DataONE documents or an RO-Crate.
    pub object: Option<&'a ObjectFacts>,
    /// The place of its bytes.
    pub place: Place,
}

/// An archive layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveLayer<'a> {
    /// Position of the layer in the manifest.
    pub layer: usize,
    /// Descriptor of the layer.
    pub descriptor: &'a Descriptor,
    /// Title of the layer for [`oci_pack::ReadOptions`]: entry names begin with it.
    pub title: &'a str,
    /// The directory that the archive unpacks into, below [`PackageView::directory`]; empty for the directory
    /// itself.
    pub path: &'a str,
}

impl PackageView {
    /// Returns whether the manifest's configuration is an index for [`PackageIndex::read`].
    #[must_use]
    pub fn has_index(manifest: &ImageManifest) -> bool {
        manifest.config.media_type.as_str() == crate::INDEX_MEDIA_TYPE
    }

    /// Returns the view of a manifest by any writer.
    ///
    /// Without an index, layers marked for unpacking are archives with unknown content, and other layers with a
    /// title are files. Layers without a title do not belong to the package, as in `oras`.
    ///
    /// # Errors
    ///
    /// If a title is unsafe or already used, or parts are missing.
    pub fn new(manifest: ImageManifest, index: Option<PackageIndex>) -> Result<Self> {
        let foreign = match &index {
            Some(index) => {
                if !is_index_of(index, &manifest) {
                    let message = "the index belongs to another manifest";
                    return Err(Error::new(ErrorKind::Layers, "", message));
                }
                ForeignContent::default()
            }
            None => ForeignContent::of(&manifest)?,
        };
        Ok(Self { manifest, index, foreign })
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

    /// Returns the directory that the package unpacks into, or an empty text if it names none.
    #[must_use]
    pub fn directory(&self) -> &str {
        self.index.as_ref().map_or(&self.foreign.directory, PackageIndex::directory)
    }

    /// Returns the facts about the bag, or `None` if the package has another form.
    ///
    /// An index is only a claim. A package is also a bag if its artifact type and a `bagit.txt` show it. Then the
    /// facts come from the artifact type and the names of the manifests.
    #[must_use]
    pub fn bag(&self) -> Option<BagRecord> {
        let index = self.index.as_ref()?;
        if let Some(bag) = index.bag() {
            return Some(*bag);
        }
        let artifact_type = self.manifest.artifact_type.as_ref()?.as_str();
        let version = artifact_type.strip_prefix(BAG_ARTIFACT_TYPE)?.parse().ok()?;
        index.files().position("bagit.txt")?;
        let names = index.files().inventory().files().map(|(path, _)| path);
        let manifests = names.filter_map(|path| path.strip_prefix("manifest-")?.strip_suffix(".txt"));
        let algorithms = manifests.filter_map(|name| name.parse::<Algorithm>().ok()).collect();
        Some(BagRecord { version, algorithms })
    }

    /// Returns the identifier of the package: the index's, else the annotation's.
    #[must_use]
    pub fn identifier(&self) -> Option<&str> {
        let indexed = self.index.as_ref().and_then(PackageIndex::identifier);
        let annotated = || self.manifest.annotations.get(D1_IDENTIFIER).map(String::as_str);
        indexed.map(Identifier::as_str).or_else(annotated)
    }

    /// Returns the known files: all files with an index, else those that are layers.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let indexed = self.index.iter().flat_map(PackageIndex::entries);
        indexed.map(|(file, place)| indexed_entry(file, place)).chain(self.foreign.entries())
    }

    /// Returns the file at a path, if it is known.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<Entry<'_>> {
        self.entry_at(self.position(path)?)
    }

    /// Returns the position of the file at a path among [`PackageView::entries`], if it is known.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.files().position(path),
            None => self.foreign.position(path),
        }
    }

    /// Returns the file at a position among [`PackageView::entries`].
    #[must_use]
    pub fn entry_at(&self, position: usize) -> Option<Entry<'_>> {
        match &self.index {
            Some(index) => Some(indexed_entry(index.files().file(position)?, index.place(position)?)),
            None => self.foreign.entry_at(position),
        }
    }

    /// Returns the file with a DataONE identifier, or the only one of a series, if it is known.
    #[must_use]
    pub fn entry_by_identifier(&self, identifier: &str) -> Option<Entry<'_>> {
        let is_named = |entry: &Entry<'_>| {
            let known = entry.object.and_then(|object| object.identifier.as_ref());
            known.is_some_and(|known| known.as_str() == identifier)
        };
        let is_of_series = |entry: &Entry<'_>| {
            let state = entry.object.and_then(|object| object.state.as_ref());
            state
                .and_then(|state| state.series_id.as_ref())
                .is_some_and(|series| series.as_str() == identifier)
        };
        self.entries().find(is_named).or_else(|| {
            let mut series = self.entries().filter(is_of_series);
            let first = series.next();
            // A version that another one replaces is not the head of the series.
            let is_current = |entry: &Entry<'_>| {
                let state = entry.object.and_then(|object| object.state.as_ref());
                state.is_none_or(|state| state.obsoleted_by.is_none())
            };
            match first {
                Some(first) if is_current(&first) => Some(first),
                first => series.find(is_current).or(first),
            }
        })
    }

    /// Returns the known empty directories.
    #[must_use]
    pub fn empty_directories(&self) -> &[Box<str>] {
        self.index.as_ref().map_or(&[], |index| index.files().empty_directories())
    }

    /// Returns the archive layers. A pull of the whole package unpacks them.
    #[must_use]
    pub fn archives(&self) -> Vec<ArchiveLayer<'_>> {
        let records = self.index.iter().flat_map(|index| index.layers().iter().enumerate());
        let indexed = records.filter(|(_, record)| matches!(record.kind, LayerKind::Archive(_)));
        let foreign = self.foreign.archives.iter().map(|(layer, path)| (*layer, path.as_str()));
        indexed
            .map(|(layer, _)| (layer, ""))
            .chain(foreign)
            .filter_map(|(layer, path)| {
                let descriptor = self.manifest.layers.get(layer)?;
                let title = descriptor.annotation(TITLE).unwrap_or_default();
                Some(ArchiveLayer { layer, descriptor, title, path })
            })
            .collect()
    }

    /// Plans reading a file, or a range of its bytes.
    ///
    /// Without an index, a file may lie in any archive: the plan is to search them.
    ///
    /// # Errors
    ///
    /// If the file does not exist, or the range is outside it.
    pub fn read_plan(&self, path: &str, range: Option<Range<u64>>) -> Result<ReadPlan<'_>> {
        read_plan::read_plan(self, path, range)
    }

    /// Plans reading a range of the tar archive in a layer, which may hold several files. `name` names the range in errors.
    ///
    /// # Errors
    ///
    /// If the layer is not an archive with known members, or its members do not hold the range.
    pub fn archive_piece(&self, layer: u32, tar: Range<u64>, name: &str) -> Result<Piece<'_>> {
        read_plan::archive_piece(self, layer, tar, name)
    }
}

fn indexed_entry(file: FileView<'_>, place: Place) -> Entry<'_> {
    Entry {
        path: file.path,
        size: file.size,
        sha256: Some(file.sha256),
        checksums: Some(file.checksums),
        object: file.object,
        place,
    }
}

impl Entry<'_> {
    /// Returns all digests that the package states.
    #[must_use]
    pub fn digests(&self) -> Digests {
        let mut digests = self.checksums.map(DigestsView::to_digests).unwrap_or_default();
        if let Some(sha256) = &self.sha256 {
            digests.insert(Algorithm::Sha256, sha256);
        }
        digests
    }

    /// Returns a digest, if the package states it.
    #[must_use]
    pub fn digest(&self, algorithm: Algorithm) -> Option<&[u8]> {
        match (algorithm, &self.sha256) {
            (Algorithm::Sha256, Some(sha256)) => Some(sha256),
            _ => self.checksums?.get(algorithm),
        }
    }
}

/// Returns whether the layers are those of the manifest. [`PackageIndex::read`] has checked everything else.
fn is_index_of(index: &PackageIndex, manifest: &ImageManifest) -> bool {
    let records = index.layers().iter().map(|record| (&record.digest, record.size));
    records.eq(manifest.layers.iter().map(|descriptor| (&descriptor.digest, descriptor.size)))
}
