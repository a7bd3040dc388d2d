//! Writing an index: compact JSON, fields in fixed order, nothing held in memory.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use bagit::{Algorithm, DigestsView};
use d1_model::Identifier;
use multi_digest::{HashingWriter, Update};
use oci_model::{Descriptor, Digest, DigestAlgorithm, DigestHasher, MediaType};
use oci_pack::Member;
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

use super::{BagRecord, LayerKind, LayerRecord, PackageIndex, Place};
use crate::{FileView, INDEX_MEDIA_TYPE, MAX_INLINE_INDEX_BYTES, ObjectFacts};

const WRITE_LENGTH: usize = 64 << 10;

pub(super) fn write(index: &PackageIndex, output: impl Write) -> io::Result<Descriptor> {
    let described =
        Described { hasher: DigestHasher::new(DigestAlgorithm::Sha256), inline: Some(Vec::new()) };
    let hashing = HashingWriter::new(output, described);
    let mut buffered = BufWriter::with_capacity(WRITE_LENGTH, hashing);
    serde_json::to_writer(&mut buffered, index)?;
    let mut hashing = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    hashing.flush()?;
    let size = hashing.length();
    let (_, described) = hashing.into_parts();
    let digest = described.hasher.finish();
    let descriptor = Descriptor::new(MediaType::from_static(INDEX_MEDIA_TYPE), digest, size);
    Ok(match described.inline {
        Some(content) => descriptor.with_inline_content(&content),
        None => descriptor,
    })
}

/// The digest of the index, and its bytes as long as they fit into the manifest.
struct Described {
    hasher: DigestHasher,
    inline: Option<Vec<u8>>,
}

impl Update for Described {
    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        let fits = |inline: &Vec<u8>| (inline.len() + bytes.len()) as u64 <= MAX_INLINE_INDEX_BYTES;
        self.inline = self.inline.take().filter(fits);
        if let Some(inline) = &mut self.inline {
            inline.extend_from_slice(bytes);
        }
    }
}

/// The index as [`PackageIndex::write`] writes it.
impl Serialize for PackageIndex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        IndexText {
            schema_version: 1,
            media_type: INDEX_MEDIA_TYPE,
            directory: &self.directory,
            bag: self.bag.map(BagText),
            identifier: self.identifier.as_ref(),
            resource_map: self.resource_map.as_ref(),
            layers: LayersText(&self.layers),
            files: FilesText(self),
            empty_directories: self.files.empty_directories(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexText<'a> {
    schema_version: u32,
    media_type: &'static str,
    directory: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bag: Option<BagText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a Identifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_map: Option<&'a Identifier>,
    layers: LayersText<'a>,
    files: FilesText<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    empty_directories: &'a [Box<str>],
}

struct BagText(BagRecord);

impl Serialize for BagText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bag = serializer.serialize_struct("Bag", 2)?;
        bag.serialize_field("version", &Text(self.0.version))?;
        bag.serialize_field("algorithms", &Names(self.0))?;
        bag.end()
    }
}

struct Names(BagRecord);

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.algorithms.iter().map(Algorithm::name))
    }
}

struct LayersText<'a>(&'a [LayerRecord]);

impl Serialize for LayersText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(LayerText::from))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerText<'a> {
    digest: &'a Digest,
    size: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tar_digest: Option<&'a Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tar_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<MembersText<'a>>,
}

impl<'a> From<&'a LayerRecord> for LayerText<'a> {
    fn from(layer: &'a LayerRecord) -> Self {
        let (kind, archive) = match &layer.kind {
            LayerKind::Archive(archive) => ("archive", Some(archive)),
            LayerKind::Object => ("object", None),
            LayerKind::Part => ("part", None),
        };
        Self {
            digest: &layer.digest,
            size: layer.size,
            kind,
            tar_digest: archive.map(|archive| &archive.tar_digest),
            tar_size: archive.map(|archive| archive.tar_size),
            encoder: archive.map(|archive| &*archive.encoder),
            members: archive.map(|archive| MembersText(&archive.members)),
        }
    }
}

struct MembersText<'a>(&'a [Member]);

impl Serialize for MembersText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|member| (member.length, member.tar_length)))
    }
}

struct FilesText<'a>(&'a PackageIndex);

impl Serialize for FilesText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.entries().map(|(file, place)| FileText::new(file, place)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileText<'a> {
    path: &'a str,
    size: u64,
    sha256: String,
    #[serde(skip_serializing_if = "ChecksumsText::is_empty")]
    checksums: ChecksumsText<'a>,
    #[serde(flatten)]
    object: Option<ObjectText<'a>>,
    #[serde(flatten)]
    place: PlaceText,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectText<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a Identifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declared_checksum: Option<Text<&'a d1_model::Checksum>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_metadata: Option<&'a str>,
}

impl<'a> FileText<'a> {
    fn new(file: FileView<'a>, place: Place) -> Self {
        Self {
            path: file.path,
            size: file.size,
            sha256: hex::encode(file.sha256),
            checksums: ChecksumsText(file.checksums),
            object: file.object.map(ObjectText::from),
            place: PlaceText(place),
        }
    }
}

impl<'a> From<&'a ObjectFacts> for ObjectText<'a> {
    fn from(object: &'a ObjectFacts) -> Self {
        Self {
            identifier: object.identifier.as_ref(),
            format_id: object.format_id.as_deref(),
            declared_checksum: object.declared_checksum.as_ref().map(Text),
            system_metadata: object.system_metadata.as_deref(),
        }
    }
}

struct PlaceText(Place);

impl Serialize for PlaceText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Place::Archive { layer, offset } => {
                map.serialize_entry("layer", &layer)?;
                map.serialize_entry("offset", &offset)?;
            }
            Place::Object { layer } => map.serialize_entry("layer", &layer)?,
            Place::Parts { first, count } => {
                let layers: Vec<u32> = (first..=u32::MAX).take(count as usize).collect();
                map.serialize_entry("parts", &layers)?;
            }
        }
        map.end()
    }
}

/// Digests by other algorithms than SHA-256.
struct ChecksumsText<'a>(DigestsView<'a>);

impl<'a> ChecksumsText<'a> {
    fn others(&self) -> impl Iterator<Item = (Algorithm, &'a [u8])> {
        self.0.iter().filter(|(algorithm, _)| *algorithm != Algorithm::Sha256)
    }

    fn is_empty(&self) -> bool {
        self.others().next().is_none()
    }
}

impl Serialize for ChecksumsText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(self.others().map(|(algorithm, digest)| (algorithm.name(), hex::encode(digest))))
    }
}

/// Writes a value as its text.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
