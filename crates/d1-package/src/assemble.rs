//! Turns a plan and its finished layers into the index and the layers' descriptors.

use oci_model::{Descriptor, Digest, RawManifest};
use oci_pack::{Compression, ManifestBuilder, PackedArchive, archive_title};

use crate::error::{Error, ErrorKind, Result};
use crate::facts::PackageFacts;
use crate::files::PackageFiles;
use crate::index::{ArchiveRecord, LayerKind, LayerRecord, PackageIndex, Place};
use crate::manifest::{
    Configuration, ManifestOptions, archive_descriptor, object_descriptor, package_annotations,
    part_descriptor,
};
use crate::plan::{Plan, PlannedArchive, PlannedLayer};
use crate::reuse::ReusableArchive;

/// The result of one planned layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerContent {
    /// The archive was packed.
    Packed(PackedArchive),
    /// The archive is reused from the replaced package.
    Reused(ReusableArchive),
    /// The layer is a file whose facts are all known.
    Object,
    /// The layer is a part of a file.
    Part {
        /// Digest of the part.
        digest: Digest,
    },
}

/// A package whose facts are all known: its index and its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembledPackage {
    /// The index.
    pub index: PackageIndex,
    /// Descriptors of the layers.
    pub layers: Vec<Descriptor>,
    /// The facts about the package as a whole.
    pub facts: PackageFacts,
}

/// Assembles a package. `contents` has one entry for each planned layer.
///
/// # Errors
///
/// If the contents do not fit the plan, or the plan does not fit the files.
pub fn assemble(
    plan: &Plan,
    files: PackageFiles,
    contents: Vec<LayerContent>,
    facts: PackageFacts,
) -> Result<AssembledPackage> {
    if contents.len() != plan.layers.len() {
        return Err(Error::layer_not_planned(contents.len().min(plan.layers.len())));
    }
    let mut assembly = Assembly {
        directory: &plan.directory,
        files: &files,
        records: Vec::with_capacity(contents.len()),
        descriptors: Vec::with_capacity(contents.len()),
        places: vec![None; files.len()],
    };
    for (layer, (planned, content)) in plan.layers.iter().zip(contents).enumerate() {
        let number = u32::try_from(layer).map_err(|_| Error::layer_not_planned(layer))?;
        assembly.add(number, planned, content)?;
    }
    let Assembly { records, descriptors, places, .. } = assembly;
    let unplaced = places.iter().zip(files.files()).find(|(place, _)| place.is_none());
    if let Some((_, file)) = unplaced {
        return Err(not_planned(file.path));
    }
    let index = PackageIndex {
        directory: plan.directory.as_str().into(),
        bag: facts.bag,
        identifier: facts.identifier.clone(),
        resource_map: facts.resource_map.clone(),
        layers: records,
        files,
        places: places.into_iter().flatten().collect(),
    };
    Ok(AssembledPackage { index, layers: descriptors, facts })
}

impl AssembledPackage {
    /// Returns the manifest.
    ///
    /// # Errors
    ///
    /// If it is larger than `options.max_manifest_bytes`.
    pub fn manifest(&self, options: &ManifestOptions) -> Result<RawManifest> {
        let configuration = match options.configuration {
            Configuration::Index => self.index.descriptor(),
            Configuration::Empty => Descriptor::empty(),
        };
        self.manifest_with(configuration, options)
    }

    /// Returns the manifest for the descriptor of a configuration, as [`PackageIndex::write`] returns it.
    /// `options.configuration` is ignored.
    ///
    /// # Errors
    ///
    /// As [`AssembledPackage::manifest`].
    pub fn manifest_with(&self, configuration: Descriptor, options: &ManifestOptions) -> Result<RawManifest> {
        let mut annotations = package_annotations(&self.facts, options.created.as_deref());
        annotations.extend(options.annotations.clone());
        let builder = ManifestBuilder::new(options.artifact_type.clone(), configuration);
        annotations
            .into_iter()
            .fold(builder, |builder, (key, value)| builder.annotation(&key, value))
            .layers(self.layers.iter().cloned())
            .build(options.max_manifest_bytes)
            .map_err(Error::from)
    }
}

/// The layers that were added so far.
struct Assembly<'a> {
    directory: &'a str,
    files: &'a PackageFiles,
    records: Vec<LayerRecord>,
    descriptors: Vec<Descriptor>,
    /// For each file, where its bytes are.
    places: Vec<Option<Place>>,
}

impl Assembly<'_> {
    fn add(&mut self, layer: u32, planned: &PlannedLayer, content: LayerContent) -> Result<()> {
        let wrong = || Error::layer_not_planned(layer as usize);
        match (planned, content) {
            (PlannedLayer::Archive(archive), LayerContent::Packed(packed)) => {
                self.add_packed(layer, archive, packed)
            }
            (PlannedLayer::Archive(archive), LayerContent::Reused(reused)) => {
                self.place_in_archive(layer, archive, &reused.data_offsets)?;
                let ReusableArchive { digest, size, record, compression, .. } = reused;
                self.add_archive(archive.number, compression, digest, size, record);
                Ok(())
            }
            (PlannedLayer::Object { file }, LayerContent::Object) => {
                let description = self.files.file(*file).ok_or_else(wrong)?;
                let descriptor = object_descriptor(self.directory, &description);
                self.place(*file, Place::Object { layer });
                self.add_plain(descriptor, LayerKind::Object);
                Ok(())
            }
            (PlannedLayer::Part { file, number, count, range }, LayerContent::Part { digest }) => {
                let path = self.files.file(*file).ok_or_else(wrong)?.path;
                let size = range.end.saturating_sub(range.start);
                let descriptor = part_descriptor(self.directory, path, (*number, *count), digest, size);
                if *number == 1 {
                    self.place(*file, Place::Parts { first: layer, count: *count });
                }
                self.add_plain(descriptor, LayerKind::Part);
                Ok(())
            }
            _ => Err(wrong()),
        }
    }

    fn add_packed(&mut self, layer: u32, archive: &PlannedArchive, packed: PackedArchive) -> Result<()> {
        self.place_in_archive(layer, archive, &packed.data_offsets)?;
        let record = ArchiveRecord {
            tar_digest: packed.tar_digest,
            tar_size: packed.tar_size,
            encoder: packed.compression.encoder().into(),
            members: packed.members,
        };
        self.add_archive(archive.number, packed.compression, packed.blob_digest, packed.blob_size, record);
        Ok(())
    }

    fn place_in_archive(&mut self, layer: u32, archive: &PlannedArchive, data_offsets: &[u64]) -> Result<()> {
        if data_offsets.len() != archive.files.len() {
            return Err(Error::layer_not_planned(layer as usize));
        }
        for (file, offset) in archive.files.iter().zip(data_offsets) {
            self.place(*file as usize, Place::Archive { layer, offset: *offset });
        }
        Ok(())
    }

    fn add_archive(
        &mut self,
        number: usize,
        compression: Compression,
        digest: Digest,
        size: u64,
        record: ArchiveRecord,
    ) {
        let title = archive_title(self.directory, number);
        self.descriptors.push(archive_descriptor(compression, &digest, size, &record.tar_digest, &title));
        self.records.push(LayerRecord { digest, size, kind: LayerKind::Archive(record) });
    }

    fn add_plain(&mut self, descriptor: Descriptor, kind: LayerKind) {
        self.records.push(LayerRecord { digest: descriptor.digest.clone(), size: descriptor.size, kind });
        self.descriptors.push(descriptor);
    }

    fn place(&mut self, file: usize, place: Place) {
        if let Some(slot) = self.places.get_mut(file) {
            *slot = Some(place);
        }
    }
}

fn not_planned(path: &str) -> Error {
    Error::new(ErrorKind::NotPlanned, path, format!("the plan has no place for `{path}`"))
}
