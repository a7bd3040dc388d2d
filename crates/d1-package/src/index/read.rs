//! Reading an index: within its declared size, straight into the form in which it is kept.

use std::io::{self, BufReader, Read};

use multi_digest::HashingReader;
use oci_model::ImageManifest;
use oci_pack::Member;

use super::document::{IndexDocument, KindDocument, LayerDocument};
use super::file_list::{AllFiles, KeepFiles};
use super::{
    ArchiveRecord, IndexError, IndexErrorKind, LayerKind, LayerRecord, MAX_INDEX_BYTES, PackageIndex, check,
};
use crate::{FilesError, INDEX_MEDIA_TYPE, PackageFiles, path_fault};

const READ_LENGTH: usize = 64 << 10;

pub(super) fn read(reader: impl io::Read, manifest: &ImageManifest) -> Result<PackageIndex, IndexError> {
    let document = document(reader, manifest)?;
    let layers = layer_records(document.layers)?;
    let AllFiles { inventory, places, objects } = document.files.kept;
    let is_bag = document.bag.is_some();
    let files = PackageFiles::of_inventory(inventory, document.empty_directories, is_bag);
    let mut files = files.map_err(files_error)?;
    objects.into_iter().for_each(|(position, object)| files.set_object(position, object));
    let index = PackageIndex {
        directory: document.directory,
        bag: document.bag.map(Into::into),
        identifier: document.identifier,
        resource_map: document.resource_map,
        layers,
        files,
        places,
    };
    check::check(&index, manifest)?;
    Ok(index)
}

pub(super) fn layer_records(layers: Vec<LayerDocument>) -> Result<Vec<LayerRecord>, IndexError> {
    layers.into_iter().enumerate().map(|(number, layer)| layer_record(number, layer)).collect()
}

/// Reads an index as far as it can be checked by itself.
pub(super) fn document<K: KeepFiles>(
    reader: impl Read,
    manifest: &ImageManifest,
) -> Result<IndexDocument<K>, IndexError> {
    let configuration = &manifest.config;
    if configuration.media_type.as_str() != INDEX_MEDIA_TYPE {
        let detail = format!("the configuration is {}, not an index", configuration.media_type);
        return Err(IndexError::new(IndexErrorKind::NotAnIndex, "", detail));
    }
    if configuration.size > MAX_INDEX_BYTES {
        let detail =
            format!("{} bytes are more than the {MAX_INDEX_BYTES} that are read", configuration.size);
        return Err(IndexError::new(IndexErrorKind::TooLarge, "", detail));
    }
    let document = parse(reader, configuration.size)?;
    if let Some(fault) = path_fault(&document.directory) {
        let detail = format!("`{}` cannot be its directory: {fault}", document.directory);
        return Err(IndexError::new(IndexErrorKind::Path, "", detail));
    }
    document.files.check(&document.empty_directories, document.bag.is_some())?;
    Ok(document)
}

fn parse<K: KeepFiles>(reader: impl Read, size: u64) -> Result<IndexDocument<K>, IndexError> {
    // One byte more, so that a longer index is noticed.
    let mut counted = HashingReader::counting(reader.take(size.saturating_add(1)));
    let parsed = serde_json::from_reader(BufReader::with_capacity(READ_LENGTH, &mut counted));
    let document: IndexDocument<K> = parsed.map_err(|source| {
        let (kind, detail) = if source.is_io() {
            (IndexErrorKind::Read, "it cannot be read")
        } else {
            (IndexErrorKind::Syntax, "it is not valid")
        };
        IndexError::new(kind, "", detail).because(source)
    })?;
    if counted.length() != size {
        let detail = format!("it has not the {size} bytes that the manifest says");
        return Err(IndexError::new(IndexErrorKind::Size, "", detail));
    }
    let media_type = document.media_type.as_deref().unwrap_or(INDEX_MEDIA_TYPE);
    if document.schema_version != 1 || media_type != INDEX_MEDIA_TYPE {
        let detail = format!("version {} of `{media_type}` is not known", document.schema_version);
        return Err(IndexError::new(IndexErrorKind::Version, "", detail));
    }
    Ok(document)
}

fn files_error(error: FilesError) -> IndexError {
    let detail = error.to_string();
    let (kind, subject) = match error {
        FilesError::Path { path, .. } => (IndexErrorKind::Path, path),
        FilesError::Duplicate { path } => (IndexErrorKind::Order, path),
        FilesError::FileIsDirectory { path, .. } | FilesError::NotEmpty { path } => {
            (IndexErrorKind::PathConflict, path)
        }
        FilesError::NotHashed { path } => (IndexErrorKind::Syntax, path),
        FilesError::TooMany { .. } => (IndexErrorKind::TooLarge, String::new()),
    };
    IndexError::new(kind, subject, detail)
}

fn layer_record(number: usize, layer: LayerDocument) -> Result<LayerRecord, IndexError> {
    let kind = match layer.kind {
        KindDocument::Object => LayerKind::Object,
        KindDocument::Part => LayerKind::Part,
        KindDocument::Archive => LayerKind::Archive(archive_record(number, &layer)?),
    };
    Ok(LayerRecord { digest: layer.digest, size: layer.size, kind })
}

fn archive_record(number: usize, layer: &LayerDocument) -> Result<ArchiveRecord, IndexError> {
    let wrong = |detail: &str| IndexError::new(IndexErrorKind::Members, format!("layer {number}"), detail);
    let (Some(tar_digest), Some(tar_size), Some(encoder), Some(lengths)) =
        (&layer.tar_digest, layer.tar_size, &layer.encoder, &layer.members)
    else {
        return Err(wrong("an archive needs `tarDigest`, `tarSize`, `encoder` and `members`"));
    };
    let mut members = Vec::with_capacity(lengths.len());
    let (mut offset, mut tar_offset) = (0_u64, 0_u64);
    for (length, tar_length) in lengths.iter().copied() {
        if length == 0 || tar_length == 0 {
            return Err(wrong("a member is empty"));
        }
        members.push(Member { offset, length, tar_offset, tar_length });
        let ends = offset.checked_add(length).zip(tar_offset.checked_add(tar_length));
        (offset, tar_offset) = ends.ok_or_else(|| wrong("the members are larger than any blob"))?;
    }
    if offset != layer.size {
        return Err(wrong(&format!("the members have {offset} bytes, the layer {}", layer.size)));
    }
    if tar_offset != tar_size {
        return Err(wrong(&format!("the members hold {tar_offset} bytes, the tar archive has {tar_size}")));
    }
    Ok(ArchiveRecord { tar_digest: tar_digest.clone(), tar_size, encoder: encoder.clone(), members })
}
