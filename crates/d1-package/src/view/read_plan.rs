//! The ranges of blobs that hold a range of a file, and how to decode them.

use std::ops::Range;

use oci_model::Descriptor;
use oci_pack::{Compression, MemberError, MemberRange, members_covering};

use super::{ArchiveLayer, PackageView};
use crate::media::archive_compression;
use crate::{Error, ErrorKind, LayerKind, Place, Result, path_fault};

/// The way to read a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadPlan<'a> {
    /// Read these ranges of blobs.
    Pieces(PlannedRead<'a>),
    /// Stream these archives and look for the file.
    Search(Vec<ArchiveLayer<'a>>),
}

/// Ranges of blobs that together hold a range of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRead<'a> {
    /// Size of the whole file in bytes.
    pub size: u64,
    /// The wanted bytes of the file.
    pub range: Range<u64>,
    /// SHA-256 of the whole file, to verify a complete read.
    pub sha256: Option<[u8; 32]>,
    /// The pieces to read, in order. An empty range has none.
    pub pieces: Vec<Piece<'a>>,
}

/// A range of one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Position of the layer in the manifest.
    pub layer: usize,
    /// Descriptor of the layer.
    pub descriptor: &'a Descriptor,
    /// The bytes of the blob.
    pub range: Range<u64>,
    /// The encoding of the bytes.
    pub encoding: PieceEncoding,
}

/// The encoding of the bytes of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceEncoding {
    /// Bytes of the file.
    Raw,
    /// Whole members of an archive, for [`oci_pack::MemberReader`].
    Members {
        /// Compression of the archive.
        compression: Compression,
        /// The part of them that belongs to the file.
        part: MemberRange,
    },
}

/// Plans reading a file, or a range of its bytes.
pub(super) fn read_plan<'a>(
    view: &'a PackageView,
    path: &str,
    range: Option<Range<u64>>,
) -> Result<ReadPlan<'a>> {
    let Some(entry) = view.entry(path) else { return search(view, path) };
    let size = entry.size;
    let range = range.unwrap_or(0..size);
    if range.start > range.end || range.end > size {
        return Err(Error::outside_file(path, size, &range));
    }
    let layers = Layers(view);
    let pieces = match entry.place {
        _ if range.is_empty() => Vec::new(),
        Place::Archive { layer, offset } => {
            let tar = offset.saturating_add(range.start)..offset.saturating_add(range.end);
            vec![archive_piece(view, layer, tar, path)?]
        }
        Place::Object { layer } => layers.raw(layer, range.clone()).into_iter().collect(),
        Place::Parts { first, count } => layers.parts(first, count, &range),
    };
    Ok(ReadPlan::Pieces(PlannedRead { size, range, sha256: entry.sha256, pieces }))
}

/// Without an index, any archive whose directory contains the path may hold the file.
fn search<'a>(view: &'a PackageView, path: &str) -> Result<ReadPlan<'a>> {
    let mut archives = if view.index().is_some() { Vec::new() } else { view.archives() };
    archives.retain(|archive| {
        let below = path.strip_prefix(archive.path);
        archive.path.is_empty() || below.is_some_and(|rest| rest.starts_with('/'))
    });
    if archives.is_empty() || path_fault(path).is_some() {
        return Err(Error::new(ErrorKind::NotFound, path, format!("`{path}` is not in the package")));
    }
    Ok(ReadPlan::Search(archives))
}

struct Layers<'a>(&'a PackageView);

impl<'a> Layers<'a> {
    fn raw(&self, layer: u32, range: Range<u64>) -> Option<Piece<'a>> {
        let layer = layer as usize;
        let descriptor = self.0.manifest().layers.get(layer)?;
        Some(Piece { layer, descriptor, range, encoding: PieceEncoding::Raw })
    }

    fn parts(&self, first: u32, count: u32, wanted: &Range<u64>) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut start = 0_u64;
        for layer in (first..=u32::MAX).take(count as usize) {
            let size = self.0.manifest().layers.get(layer as usize).map_or(0, |descriptor| descriptor.size);
            let end = start.saturating_add(size);
            let (from, to) = (wanted.start.clamp(start, end), wanted.end.clamp(start, end));
            if from < to {
                pieces.extend(self.raw(layer, from - start..to - start));
            }
            start = end;
        }
        pieces
    }
}

/// Plans reading a range of the tar archive in a layer.
pub(super) fn archive_piece<'a>(
    view: &'a PackageView,
    layer: u32,
    tar: Range<u64>,
    name: &str,
) -> Result<Piece<'a>> {
    let wrong = |source: MemberError| {
        let message = format!("the archive of `{name}` does not hold it");
        Error::new(ErrorKind::Members, name, message).because(source)
    };
    let layer = layer as usize;
    let record = view.index().and_then(|index| index.layers().get(layer));
    let descriptor = view.manifest().layers.get(layer);
    let compression = descriptor.and_then(|descriptor| archive_compression(&descriptor.media_type));
    let (Some(LayerKind::Archive(archive)), Some(descriptor), Some(compression)) =
        (record.map(|record| &record.kind), descriptor, compression)
    else {
        return Err(wrong(MemberError::Uncovered { start: tar.start, end: tar.end }));
    };
    let part = members_covering(&archive.members, tar).map_err(wrong)?;
    let range = part.compressed.clone();
    Ok(Piece { layer, descriptor, range, encoding: PieceEncoding::Members { compression, part } })
}
