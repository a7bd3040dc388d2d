//! Checks an index against itself and against the manifest. Until it has passed, an index is only a claim.

use oci_model::annotations::{ORAS_CONTENT_DIGEST, TITLE};
use oci_model::{Descriptor, ImageManifest};
use oci_pack::{Member, archive_title, part_title};

use super::{ArchiveRecord, LayerKind, LayerRecord, PackageIndex, Place};
use crate::error::layer_name;
use crate::media::archive_compression;
use crate::{Error, ErrorKind, FileView, Result};

const BLOCK: u64 = 512;

/// The two zero blocks that close an archive.
const END: u64 = 2 * BLOCK;

/// Checks layers, places and titles.
pub(super) fn check(index: &PackageIndex, manifest: &ImageManifest) -> Result<()> {
    check_layers(&index.layers, manifest)?;
    let mut titles = PlaceCheck::new(index).run()?;
    let mut archives = 0;
    for (number, (record, descriptor)) in index.layers.iter().zip(&manifest.layers).enumerate() {
        let expected = match &record.kind {
            LayerKind::Archive(_) => {
                archives += 1;
                Some(archive_title(&index.directory, archives - 1))
            }
            LayerKind::Object | LayerKind::Part => titles.get_mut(number).and_then(Option::take),
        };
        check_title(number, expected, descriptor)?;
    }
    Ok(())
}

/// Checks that the layers are those of the manifest.
pub(super) fn check_layers(layers: &[LayerRecord], manifest: &ImageManifest) -> Result<()> {
    if layers.len() != manifest.layers.len() {
        let detail = format!("it has {} layers, the manifest {}", layers.len(), manifest.layers.len());
        return Err(Error::index(ErrorKind::Layers, "", detail));
    }
    for (number, (record, descriptor)) in layers.iter().zip(&manifest.layers).enumerate() {
        let wrong = |detail: String| Err(Error::index(ErrorKind::Layers, layer_name(number), detail));
        if (&record.digest, record.size) != (&descriptor.digest, descriptor.size) {
            return wrong(format!(
                "{} of {} bytes is {} of {} bytes in the manifest",
                record.digest, record.size, descriptor.digest, descriptor.size
            ));
        }
        let LayerKind::Archive(archive) = &record.kind else { continue };
        if archive_compression(&descriptor.media_type).is_none() {
            return wrong(format!("expected the media type of an archive, found {}", descriptor.media_type));
        }
        let annotated = descriptor.annotation(ORAS_CONTENT_DIGEST).unwrap_or(archive.tar_digest.as_str());
        if annotated != archive.tar_digest.as_str() {
            return wrong(format!("the tar digest {} is {annotated} in the manifest", archive.tar_digest));
        }
    }
    Ok(())
}

/// Checks that an archive names all its facts, and that its members add up to its sizes.
pub(super) fn check_members(number: usize, layer: &LayerRecord) -> Result<()> {
    let LayerKind::Archive(archive) = &layer.kind else { return Ok(()) };
    let wrong = |detail: String| Err(Error::index(ErrorKind::Members, layer_name(number), detail));
    if archive.members.is_empty() {
        return wrong("an archive needs `tarDigest`, `tarSize`, `encoder` and `members`".to_owned());
    }
    if archive.members.iter().any(|member| member.length == 0 || member.tar_length == 0) {
        return wrong("a member is empty".to_owned());
    }
    let sum = |length: fn(&Member) -> u64| {
        archive.members.iter().try_fold(0_u64, |sum, member| sum.checked_add(length(member)))
    };
    let (length, tar_length) = (sum(|member| member.length), sum(|member| member.tar_length));
    if (length, tar_length) != (Some(layer.size), Some(archive.tar_size)) {
        let found = |sum: Option<u64>| sum.map_or("more than fit".to_owned(), |sum| sum.to_string());
        return wrong(format!(
            "expected members of {} bytes for {} of tar, found {} for {}",
            layer.size,
            archive.tar_size,
            found(length),
            found(tar_length)
        ));
    }
    Ok(())
}

/// The progress through the files of an archive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArchiveRoom {
    /// The end of the last file, in whole blocks.
    end: u64,
    /// The end of its content.
    content_end: u64,
}

impl ArchiveRoom {
    /// Adds a file, or returns the reason why it cannot be there.
    pub(super) fn add(&mut self, offset: u64, size: u64) -> Result<(), &'static str> {
        if !offset.is_multiple_of(BLOCK) {
            return Err("its offset is not at a block of the archive");
        }
        // The header takes at least one block.
        if offset < self.end.saturating_add(BLOCK) {
            return Err("it overlaps the file before it in the archive, or is not in the archive's order");
        }
        self.content_end = offset.checked_add(size).ok_or("it does not lie in the archive")?;
        self.end = self.content_end.div_ceil(BLOCK).saturating_mul(BLOCK);
        Ok(())
    }

    /// Returns whether an archive of this size has room for all files so far.
    pub(super) fn fits(&self, tar_size: u64) -> bool {
        self.content_end <= tar_size.saturating_sub(END)
    }
}

fn check_title(number: usize, expected: Option<String>, descriptor: &Descriptor) -> Result<()> {
    let Some(expected) = expected else {
        return Err(Error::index(ErrorKind::UnusedLayer, layer_name(number), "it holds no file"));
    };
    let found = descriptor.annotation(TITLE).unwrap_or_default();
    if found == expected {
        return Ok(());
    }
    let detail = format!("its title in the manifest is `{found}` instead of `{expected}`");
    Err(Error::index(ErrorKind::Title, layer_name(number), detail))
}

/// Walks the files in order and assigns each layer once.
struct PlaceCheck<'a> {
    index: &'a PackageIndex,
    /// The progress of each archive.
    rooms: Vec<ArchiveRoom>,
    /// For each object and part, the title that its file requires.
    titles: Vec<Option<String>>,
}

impl<'a> PlaceCheck<'a> {
    fn new(index: &'a PackageIndex) -> Self {
        let count = index.layers.len();
        Self { index, rooms: vec![ArchiveRoom::default(); count], titles: vec![None; count] }
    }

    fn run(mut self) -> Result<Vec<Option<String>>> {
        for (file, place) in self.index.entries() {
            match place {
                Place::Archive { layer, offset } => self.check_in_archive(&file, layer, offset)?,
                Place::Object { layer } => self.check_object(&file, layer)?,
                Place::Parts { first, count } => self.check_parts(&file, first, count)?,
            }
        }
        Ok(self.titles)
    }

    fn check_in_archive(&mut self, file: &FileView<'_>, layer: u32, offset: u64) -> Result<()> {
        let archive = self.archive(layer).ok_or_else(|| misplaced(file, "its layer is not an archive"))?;
        let wrong = |detail| Err(Error::index(ErrorKind::Overlap, file.path, detail));
        let Some(room) = self.rooms.get_mut(layer as usize) else { return Ok(()) };
        room.add(offset, file.size).or_else(wrong)?;
        if room.fits(archive.tar_size) { Ok(()) } else { wrong("it does not lie in the archive") }
    }

    fn check_object(&mut self, file: &FileView<'_>, layer: u32) -> Result<()> {
        self.take(file, layer, &LayerKind::Object, format!("{}/{}", self.index.directory, file.path))?;
        let Some(record) = self.index.layers.get(layer as usize) else { return Ok(()) };
        if record.size != file.size {
            return Err(wrong_size(file, record.size));
        }
        if record.digest.sha256_bytes() != Some(file.sha256) {
            let detail = format!("its SHA-256 is not the digest of its layer, {}", record.digest);
            return Err(Error::index(ErrorKind::FileDigest, file.path, detail));
        }
        Ok(())
    }

    fn check_parts(&mut self, file: &FileView<'_>, first: u32, count: u32) -> Result<()> {
        let mut size = 0_u64;
        for number in 1..=count {
            let layer =
                first.checked_add(number - 1).ok_or_else(|| misplaced(file, "it has too many parts"))?;
            let title = part_title(&self.index.directory, file.path, number, count);
            self.take(file, layer, &LayerKind::Part, title)?;
            size = size.saturating_add(self.index.layers.get(layer as usize).map_or(0, |record| record.size));
        }
        if size == file.size { Ok(()) } else { Err(wrong_size(file, size)) }
    }

    fn archive(&self, layer: u32) -> Option<&'a ArchiveRecord> {
        match &self.index.layers.get(layer as usize)?.kind {
            LayerKind::Archive(archive) => Some(archive),
            LayerKind::Object | LayerKind::Part => None,
        }
    }

    /// Assigns a layer to a file.
    fn take(&mut self, file: &FileView<'_>, layer: u32, kind: &LayerKind, title: String) -> Result<()> {
        let is_of_kind = self.index.layers.get(layer as usize).is_some_and(|record| record.kind == *kind);
        let Some(slot) = self.titles.get_mut(layer as usize).filter(|_| is_of_kind) else {
            return Err(misplaced(file, "its layer does not exist, or has another kind"));
        };
        if slot.replace(title).is_some() {
            return Err(misplaced(file, "its layer is that of another file"));
        }
        Ok(())
    }
}

fn misplaced(file: &FileView<'_>, detail: &str) -> Error {
    Error::index(ErrorKind::Place, file.path, detail)
}

fn wrong_size(file: &FileView<'_>, found: u64) -> Error {
    let detail = format!("it has {} bytes, its layers have {found}", file.size);
    Error::index(ErrorKind::FileSize, file.path, detail)
}
