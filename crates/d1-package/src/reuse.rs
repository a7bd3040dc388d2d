//! Recognising archive layers that would come out as they are in the package that is replaced.

use oci_model::Digest;
use oci_pack::Compression;

use crate::{ArchiveRecord, LayerKind, LayerRecord, PackageFiles, PackageIndex, Place, Plan, PlannedArchive};

/// An archive layer that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReusableArchive {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// What is known of it.
    pub record: ArchiveRecord,
    /// Compression of the blob.
    pub compression: Compression,
    /// Where the content of each file begins in the tar archive, in the order of the files.
    pub data_offsets: Vec<u64>,
}

/// Finds, for each of the plan's archives, a layer of the package that is replaced with the same files in the same
/// order, by path, size and SHA-256, under the same directory and from the same encoder.
///
/// The index that is relied on is a claim, see `docs/decisions/0002-reuse-of-archive-layers.md`.
#[must_use]
pub fn reusable_archives(
    plan: &Plan,
    files: &PackageFiles,
    replaced: &PackageIndex,
    compression: Compression,
) -> Vec<Option<ReusableArchive>> {
    let known = known_archives(replaced, compression);
    plan.archives()
        .map(|archive| known.iter().find_map(|known| known.matching(plan, archive, files)))
        .collect()
}

/// An archive of the package that is replaced.
struct KnownArchive<'a> {
    layer: &'a LayerRecord,
    record: &'a ArchiveRecord,
    replaced: &'a PackageIndex,
    compression: Compression,
    /// Positions of the files in it.
    files: Vec<u32>,
    is_first: bool,
}

fn known_archives(replaced: &PackageIndex, compression: Compression) -> Vec<KnownArchive<'_>> {
    let mut files_of: Vec<Vec<u32>> = vec![Vec::new(); replaced.layers().len()];
    for (file, place) in (0..).zip(&replaced.places) {
        if let Place::Archive { layer, .. } = place
            && let Some(files) = files_of.get_mut(*layer as usize)
        {
            files.push(file);
        }
    }
    let archives = replaced.layers().iter().zip(files_of).filter_map(|(layer, files)| match &layer.kind {
        LayerKind::Archive(record) => Some((layer, record, files)),
        LayerKind::Object | LayerKind::Part => None,
    });
    let archives = archives.enumerate().map(|(number, (layer, record, files))| KnownArchive {
        layer,
        record,
        replaced,
        compression,
        files,
        is_first: number == 0,
    });
    archives.filter(|archive| &*archive.record.encoder == compression.encoder()).collect()
}

impl<'a> KnownArchive<'a> {
    fn matching(
        &self,
        plan: &Plan,
        planned: &PlannedArchive,
        files: &'a PackageFiles,
    ) -> Option<ReusableArchive> {
        let empty_here = files.empty_directories().iter().filter(|_| planned.empty_directories);
        let empty_there = self.replaced.files().empty_directories().iter().filter(|_| self.is_first);
        let same_directories = *plan.directory == *self.replaced.directory() && empty_here.eq(empty_there);
        let same_files = || {
            planned.files.len() == self.files.len()
                && planned.files.iter().zip(&self.files).all(|(position, known)| {
                    let of = |files: &'a PackageFiles, position: u32| {
                        let file = files.file(position as usize)?;
                        Some((file.path, file.size, file.sha256))
                    };
                    of(files, *position) == of(self.replaced.files(), *known)
                })
        };
        (same_directories && same_files()).then(|| ReusableArchive {
            digest: self.layer.digest.clone(),
            size: self.layer.size,
            record: self.record.clone(),
            compression: self.compression,
            data_offsets: self.files.iter().map(|file| self.data_offset(*file)).collect(),
        })
    }

    fn data_offset(&self, file: u32) -> u64 {
        match self.replaced.place(file as usize) {
            Some(Place::Archive { offset, .. }) => offset,
            _ => 0,
        }
    }
}
