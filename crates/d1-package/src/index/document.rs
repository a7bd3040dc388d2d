//! The index as a JSON document. One description of its form serves writing and reading.
//!
//! A million files pass through this code. They are written without a copy of the list, and read directly into
//! compact form. An index comes from outside, so every list and every text in it is bounded.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::marker::PhantomData;
use std::str::FromStr;

use bagit::{Algorithm, AlgorithmSet, Digests, Inventory};
use d1_model::{Checksum, Identifier};
use multi_digest::{HashingWriter, Update};
use oci_model::{Descriptor, Digest, DigestAlgorithm, DigestHasher, ImageManifest, MediaType};
use oci_pack::Member;
use safe_files::{PathFault, path_fault};
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::{check, check_members};
use super::{
    ArchiveRecord, BagRecord, LayerKind, LayerRecord, MAX_INDEX_BYTES, MAX_INLINE_INDEX_BYTES, PackageIndex,
    Place,
};
use crate::files::{MAX_EMPTY_DIRECTORIES, order_key};
use crate::{Error, ErrorKind, FileView, INDEX_MEDIA_TYPE, ObjectFacts, ObjectState, PackageFiles, Result};

/// Size of the buffer for reading and writing, in bytes.
const BUFFER_LENGTH: usize = 64 << 10;

/// The most layers that are read. It exceeds the layers that the largest manifest of any registry can name.
const MAX_LAYERS: usize = 1 << 16;

/// The most lists that are read. Each member of an archive is one, so these are the members of 8 TiB.
const MAX_LISTS: usize = 1 << 23;

/// The longest text that is read, in bytes of JSON. It is more than twice a path of 4096 escaped bytes.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// Reads an index and checks it.
pub(super) fn read_index(reader: impl Read, manifest: &ImageManifest) -> Result<PackageIndex> {
    let document = read_document::<AllFiles>(reader, manifest)?;
    let AllFiles { inventory, places, objects } = document.files.kept;
    let is_bag = document.bag.is_some();
    let files = PackageFiles::of_inventory(inventory, document.empty_directories.into_owned(), is_bag);
    let mut files = files.map_err(Error::in_index)?;
    objects.into_iter().for_each(|(position, object)| files.set_object(position, object));
    let index = PackageIndex {
        directory: document.directory.into(),
        bag: document.bag,
        identifier: document.identifier.map(Cow::into_owned),
        resource_map: document.resource_map.map(Cow::into_owned),
        layers: document.layers.into_owned(),
        files,
        places,
    };
    check(&index, manifest)?;
    Ok(index)
}

/// Reads an index and checks it by itself. `K` holds the facts about its files that the caller needs.
pub(super) fn read_document<K: KeepFiles>(
    reader: impl Read,
    manifest: &ImageManifest,
) -> Result<ReadDocument<K>> {
    let configuration = &manifest.config;
    if configuration.media_type.as_str() != INDEX_MEDIA_TYPE {
        let detail = format!(
            "expected a configuration of type {INDEX_MEDIA_TYPE}, found {}",
            configuration.media_type
        );
        return Err(Error::index(ErrorKind::NotAnIndex, "", detail));
    }
    if configuration.size > MAX_INDEX_BYTES {
        let detail = format!("expected at most {MAX_INDEX_BYTES} bytes, found {}", configuration.size);
        return Err(Error::index(ErrorKind::TooLarge, "", detail));
    }
    let document: ReadDocument<K> = parse(reader, configuration.size)?;
    if let Some(fault) = path_fault(&document.directory) {
        let detail = format!("`{}` cannot be its directory: {fault}", document.directory);
        return Err(Error::index(ErrorKind::Path, "", detail));
    }
    document.files.check(&document.empty_directories, document.bag.is_some())?;
    document.layers.iter().enumerate().try_for_each(|(number, layer)| check_members(number, layer))?;
    Ok(document)
}

fn parse<K: KeepFiles>(reader: impl Read, size: u64) -> Result<ReadDocument<K>> {
    // One byte more, to notice a longer index.
    let mut guarded = Guard::new(reader.take(size.saturating_add(1)));
    let parsed = serde_json::from_reader(BufReader::with_capacity(BUFFER_LENGTH, &mut guarded));
    if let Some(fault) = guarded.fault {
        return Err(Error::index(ErrorKind::TooLarge, "", fault));
    }
    let document: ReadDocument<K> = parsed.map_err(|source: serde_json::Error| {
        let (kind, detail) = if source.is_io() {
            (ErrorKind::Read, "it cannot be read")
        } else {
            (ErrorKind::Syntax, "it is not valid")
        };
        Error::index(kind, "", detail).because(source)
    })?;
    if guarded.count != size {
        let detail = format!("expected the {size} bytes that the manifest states, found another number");
        return Err(Error::index(ErrorKind::Size, "", detail));
    }
    let media_type = document.media_type.as_deref().unwrap_or(INDEX_MEDIA_TYPE);
    if document.schema_version != 1 || media_type != INDEX_MEDIA_TYPE {
        let detail =
            format!("expected version 1, found version {} of `{media_type}`", document.schema_version);
        return Err(Error::index(ErrorKind::Version, "", detail));
    }
    Ok(document)
}

/// Writes an index and describes the written bytes.
pub(super) fn write_index(index: &PackageIndex, output: impl Write) -> io::Result<Descriptor> {
    let document = IndexDocument {
        schema_version: 1,
        media_type: Some(INDEX_MEDIA_TYPE.into()),
        directory: (&*index.directory).into(),
        bag: index.bag,
        identifier: index.identifier.as_ref().map(Cow::Borrowed),
        resource_map: index.resource_map.as_ref().map(Cow::Borrowed),
        layers: (&*index.layers).into(),
        files: FilesOf(index),
        empty_directories: index.files.empty_directories().into(),
    };
    let described =
        Described { hasher: DigestHasher::new(DigestAlgorithm::Sha256), inline: Some(Vec::new()) };
    let mut buffered = BufWriter::with_capacity(BUFFER_LENGTH, HashingWriter::new(output, described));
    serde_json::to_writer(&mut buffered, &document)?;
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

/// The document. `F` stands for its files: a reference when it is written, the kept facts when it is read.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IndexDocument<'a, F> {
    schema_version: u64,
    media_type: Option<Cow<'a, str>>,
    pub(super) directory: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bag: Option<BagRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<Cow<'a, Identifier>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_map: Option<Cow<'a, Identifier>>,
    #[serde(deserialize_with = "at_most::<MAX_LAYERS, _, _>")]
    pub(super) layers: Cow<'a, [LayerRecord]>,
    pub(super) files: F,
    #[serde(
        default,
        deserialize_with = "at_most::<MAX_EMPTY_DIRECTORIES, _, _>",
        skip_serializing_if = "<[_]>::is_empty"
    )]
    pub(super) empty_directories: Cow<'a, [Box<str>]>,
}

/// A document that was read.
pub(super) type ReadDocument<K> = IndexDocument<'static, FileList<K>>;

/// A layer. Only archives have the last four fields.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayerDocument {
    digest: Digest,
    size: u64,
    kind: KindName,
    #[serde(skip_serializing_if = "Option::is_none")]
    tar_digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tar_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Members>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    Archive,
    Object,
    Part,
}

impl From<LayerRecord> for LayerDocument {
    fn from(layer: LayerRecord) -> Self {
        let (kind, archive) = match layer.kind {
            LayerKind::Archive(archive) => (KindName::Archive, Some(archive)),
            LayerKind::Object => (KindName::Object, None),
            LayerKind::Part => (KindName::Part, None),
        };
        let (mut tar_digest, mut tar_size, mut encoder, mut members) = (None, None, None, None);
        if let Some(archive) = archive {
            (tar_digest, tar_size) = (Some(archive.tar_digest), Some(archive.tar_size));
            (encoder, members) = (Some(archive.encoder), Some(Members(archive.members)));
        }
        Self { digest: layer.digest, size: layer.size, kind, tar_digest, tar_size, encoder, members }
    }
}

impl From<LayerDocument> for LayerRecord {
    fn from(layer: LayerDocument) -> Self {
        let LayerDocument { digest, size, kind, tar_digest, tar_size, encoder, members } = layer;
        let kind = match kind {
            KindName::Object => LayerKind::Object,
            KindName::Part => LayerKind::Part,
            KindName::Archive => LayerKind::Archive(ArchiveRecord {
                // `check_members` refuses an archive without members, and so an archive that lacks a field.
                members: match (&tar_digest, tar_size, &encoder, members) {
                    (Some(_), Some(_), Some(_), Some(members)) => members.0,
                    _ => Vec::new(),
                },
                tar_digest: tar_digest.unwrap_or_else(|| digest.clone()),
                tar_size: tar_size.unwrap_or_default(),
                encoder: encoder.unwrap_or_default(),
            }),
        };
        Self { digest, size, kind }
    }
}

/// The members of an archive as pairs of their compressed and inflated lengths.
struct Members(Vec<Member>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|member| (member.length, member.tar_length)))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Vec::new();
        let (mut offset, mut tar_offset) = (0_u64, 0_u64);
        each(deserializer, "a list of pairs of lengths", |(length, tar_length): (u64, u64)| {
            members.push(Member { offset, length, tar_offset, tar_length });
            // `check_members` compares the sums with the sizes and notices a sum that does not fit.
            (offset, tar_offset) = (offset.saturating_add(length), tar_offset.saturating_add(tar_length));
            Ok(())
        })?;
        Ok(Self(members))
    }
}

/// A file and its place.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileRecord<'a> {
    pub(super) path: Cow<'a, str>,
    pub(super) size: u64,
    #[serde(with = "sha256_text")]
    pub(super) sha256: [u8; 32],
    #[serde(default, skip_serializing_if = "checksums::is_empty", with = "checksums")]
    checksums: Digests,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<Cow<'a, Identifier>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<Cow<'a, MediaType>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declared_checksum: Option<Cow<'a, Checksum>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_metadata: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series_id: Option<Cow<'a, Identifier>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    obsoleted_by: Option<Cow<'a, Identifier>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    archived: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    not_public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
}

impl<'a> FileRecord<'a> {
    fn of(file: FileView<'a>, place: Place) -> Self {
        let object = file.object;
        let state = object.and_then(|object| object.state.as_deref());
        let (layer, offset, parts) = match place {
            Place::Archive { layer, offset } => (Some(layer), Some(offset), None),
            Place::Object { layer } => (Some(layer), None, None),
            Place::Parts { first, count } => (None, None, Some(Parts { first, count, consecutive: true })),
        };
        Self {
            path: file.path.into(),
            size: file.size,
            sha256: file.sha256,
            checksums: file.checksums.to_digests(),
            identifier: file.identifier().map(Cow::Borrowed),
            format_id: file.format_id().map(Cow::Borrowed),
            media_type: object.and_then(|object| object.media_type.as_ref()).map(Cow::Borrowed),
            declared_checksum: object.and_then(|object| object.declared_checksum.as_ref()).map(Cow::Borrowed),
            system_metadata: object.and_then(|object| object.system_metadata.as_deref()).map(Cow::Borrowed),
            series_id: state.and_then(|state| state.series_id.as_ref()).map(Cow::Borrowed),
            obsoleted_by: state.and_then(|state| state.obsoleted_by.as_ref()).map(Cow::Borrowed),
            archived: state.is_some_and(|state| state.archived),
            not_public: state.is_some_and(|state| state.not_public),
            layer,
            offset,
            parts,
        }
    }

    fn place(&self) -> Option<Place> {
        match (self.layer, self.offset, &self.parts) {
            (Some(layer), Some(offset), None) => Some(Place::Archive { layer, offset }),
            (Some(layer), None, None) => Some(Place::Object { layer }),
            (None, None, Some(Parts { first, count: count @ 1.., consecutive: true })) => {
                Some(Place::Parts { first: *first, count: *count })
            }
            _ => None,
        }
    }

    /// Returns all digests, SHA-256 among them.
    fn digests(&self) -> Digests {
        let mut digests = self.checksums.clone();
        digests.insert(Algorithm::Sha256, &self.sha256);
        digests
    }

    fn into_object(self) -> Option<ObjectFacts> {
        let state = ObjectState {
            series_id: self.series_id.map(Cow::into_owned),
            obsoleted_by: self.obsoleted_by.map(Cow::into_owned),
            archived: self.archived,
            not_public: self.not_public,
        };
        let object = ObjectFacts {
            identifier: self.identifier.map(Cow::into_owned),
            format_id: self.format_id.map(Into::into),
            media_type: self.media_type.map(Cow::into_owned),
            declared_checksum: self.declared_checksum.map(Cow::into_owned),
            system_metadata: self.system_metadata.map(Into::into),
            state: (state != ObjectState::default()).then(|| Box::new(state)),
        };
        (object != ObjectFacts::default()).then_some(object)
    }
}

/// The files of a document that is written.
struct FilesOf<'a>(&'a PackageIndex);

impl Serialize for FilesOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.entries().map(|(file, place)| FileRecord::of(file, place)))
    }
}

/// Keeps the facts about files that a reader of an index needs.
pub(super) trait KeepFiles: Default {
    /// Keeps a file whose path can be in a package.
    fn keep(&mut self, file: FileRecord<'_>, place: Place);
}

/// The complete facts about the files of an index.
#[derive(Default)]
struct AllFiles {
    inventory: Inventory,
    places: Vec<Place>,
    /// Facts about files, by position.
    objects: Vec<(usize, ObjectFacts)>,
}

impl KeepFiles for AllFiles {
    fn keep(&mut self, file: FileRecord<'_>, place: Place) {
        self.inventory.insert_file(&file.path, file.size, file.digests());
        let position = self.places.len();
        self.places.push(place);
        self.objects.extend(file.into_object().map(|object| (position, object)));
    }
}

/// The files of an index, and the first fault of each kind.
#[derive(Default)]
pub(super) struct FileList<K> {
    pub(super) kept: K,
    /// A path that cannot be in a package, and was not kept.
    unsafe_path: Option<(Box<str>, PathFault)>,
    /// A file whose place does not parse.
    misplaced: Option<Box<str>>,
    /// A file that does not come after the one before it, in the order of a plain directory and in that of a bag.
    unordered: [Option<Box<str>>; 2],
    previous: Box<str>,
}

impl<K: KeepFiles> FileList<K> {
    fn add(&mut self, file: FileRecord<'_>) {
        if let Some(fault) = path_fault(&file.path) {
            self.unsafe_path.get_or_insert_with(|| ((&*file.path).into(), fault));
            return;
        }
        for (is_bag, unordered) in [false, true].into_iter().zip(&mut self.unordered) {
            let (previous, path) = (order_key(&self.previous, is_bag), order_key(&file.path, is_bag));
            if unordered.is_none() && previous >= path {
                *unordered = Some((&*file.path).into());
            }
        }
        self.previous = (&*file.path).into();
        match file.place() {
            Some(place) => self.kept.keep(file, place),
            None => _ = self.misplaced.get_or_insert_with(|| (&*file.path).into()),
        }
    }

    /// Checks that places parse, and that files and directories are strictly in their order.
    fn check(&self, empty_directories: &[Box<str>], is_bag: bool) -> Result<()> {
        if let Some((path, fault)) = &self.unsafe_path {
            return Err(Error::unsafe_path(path, *fault).in_index());
        }
        if let Some(path) = &self.misplaced {
            let detail = "expected either `layer`, `layer` and `offset`, or consecutive `parts`";
            return Err(Error::index(ErrorKind::Place, &**path, detail));
        }
        let [plain, bag] = &self.unordered;
        let unordered_file = if is_bag { bag } else { plain };
        let unordered_directory = empty_directories.windows(2).find_map(|pair| match pair {
            [left, right] if left >= right => Some(right),
            _ => None,
        });
        match unordered_file.as_ref().or(unordered_directory) {
            Some(path) => {
                let detail = "it comes twice or not in its order (tag files, payload, bytewise)";
                Err(Error::index(ErrorKind::Order, &**path, detail))
            }
            None => Ok(()),
        }
    }
}

impl<'de, K: KeepFiles> Deserialize<'de> for FileList<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut list = Self::default();
        each(deserializer, "a list of files", |file: FileRecord<'static>| {
            list.add(file);
            Ok(())
        })?;
        Ok(list)
    }
}

/// Consecutive layers.
struct Parts {
    first: u32,
    count: u32,
    consecutive: bool,
}

impl Serialize for Parts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.first..=u32::MAX).take(self.count as usize))
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut parts = Self { first: 0, count: 0, consecutive: true };
        each(deserializer, "a list of layers", |layer: u32| {
            if parts.count == 0 {
                parts.first = layer;
            }
            parts.consecutive &= parts.first.checked_add(parts.count) == Some(layer);
            parts.count = parts.count.saturating_add(1);
            Ok(())
        })?;
        Ok(parts)
    }
}

/// Takes the elements of a list one by one.
fn each<'de, D, T>(
    deserializer: D,
    expected: &'static str,
    take: impl FnMut(T) -> Result<(), String>,
) -> Result<(), D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Each<T, F>(&'static str, F, PhantomData<T>);
    impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), String>> Visitor<'de> for Each<T, F> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
            while let Some(element) = sequence.next_element()? {
                (self.1)(element).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    deserializer.deserialize_seq(Each(expected, take, PhantomData))
}

/// Reads a list of at most `LIMIT` elements.
fn at_most<'de, const LIMIT: usize, D, T>(deserializer: D) -> Result<Cow<'static, [T]>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Clone,
{
    let mut elements = Vec::new();
    each(deserializer, "a list", |element| {
        if elements.len() == LIMIT {
            return Err(format!("expected at most {LIMIT} entries of a list, found more"));
        }
        elements.push(element);
        Ok(())
    })?;
    Ok(elements.into())
}

/// Decodes lower-case hexadecimal digits that fill a buffer.
fn hex_into(text: &str, bytes: &mut [u8]) -> Result<(), String> {
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let decoded = is_lower && hex::decode_to_slice(text, bytes).is_ok();
    decoded.then_some(()).ok_or_else(|| format!("expected {} lower-case hexadecimal digits", 2 * bytes.len()))
}

/// A SHA-256 as hexadecimal text.
mod sha256_text {
    use super::{Cow, Deserialize, Deserializer, Result, Serializer, hex_into};

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut bytes = [0; 32];
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        hex_into(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(bytes)
    }
}

/// Digests by other algorithms than SHA-256: `{"md5":"…"}`. Unknown algorithms are skipped.
mod checksums {
    use super::{
        Algorithm, Cow, Deserializer, Digests, IgnoredAny, MapAccess, Result, Serializer, Visitor, algorithm,
        fmt, hex_into,
    };
    use serde::de::Error as _;

    pub(super) fn is_empty(digests: &Digests) -> bool {
        others(digests).next().is_none()
    }

    pub(super) fn serialize<S: Serializer>(digests: &Digests, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(others(digests).map(|(algorithm, digest)| (algorithm.name(), hex::encode(digest))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digests, D::Error> {
        deserializer.deserialize_map(ByName)
    }

    fn others(digests: &Digests) -> impl Iterator<Item = (Algorithm, &[u8])> {
        digests.iter().filter(|(algorithm, _)| *algorithm != Algorithm::Sha256)
    }

    struct ByName;

    impl<'de> Visitor<'de> for ByName {
        type Value = Digests;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("checksums by the names of their algorithms")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Digests, A::Error> {
            let mut digests = Digests::new();
            while let Some(name) = map.next_key::<Cow<'_, str>>()? {
                let Some(algorithm) = algorithm(&name) else {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                };
                let mut bytes = vec![0; algorithm.digest_length()];
                hex_into(&map.next_value::<Cow<'_, str>>()?, &mut bytes).map_err(A::Error::custom)?;
                if digests.get(algorithm).is_some() {
                    return Err(A::Error::custom(format_args!("checksum `{name}` comes twice")));
                }
                digests.insert(algorithm, &bytes);
            }
            Ok(digests)
        }
    }
}

/// Names of algorithms. Unknown names are skipped.
pub(super) mod algorithm_names {
    use super::{Algorithm, AlgorithmSet, Cow, Deserializer, Result, Serializer, algorithm, each};

    pub(in super::super) fn serialize<S: Serializer>(
        algorithms: &AlgorithmSet,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(algorithms.iter().map(Algorithm::name))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<AlgorithmSet, D::Error> {
        let mut algorithms = AlgorithmSet::EMPTY;
        each(deserializer, "names of algorithms", |name: Cow<'_, str>| {
            algorithm(&name).into_iter().for_each(|known| algorithms.insert(known));
            Ok(())
        })?;
        Ok(algorithms)
    }
}

/// Finds an algorithm by exactly its name.
fn algorithm(name: &str) -> Option<Algorithm> {
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
}

/// Reads a value from its text.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    Cow::<'_, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// Counts the bytes that pass, and ends a document whose texts or lists would take too much memory.
struct Guard<R> {
    inner: R,
    count: u64,
    lists: usize,
    /// The bytes of the current text, `None` outside texts.
    text_bytes: Option<usize>,
    after_backslash: bool,
    fault: Option<String>,
}

impl<R> Guard<R> {
    fn new(inner: R) -> Self {
        Self { inner, count: 0, lists: 0, text_bytes: None, after_backslash: false, fault: None }
    }

    fn see(&mut self, byte: u8) {
        let Some(length) = &mut self.text_bytes else {
            self.text_bytes = (byte == b'"').then_some(0);
            self.lists += usize::from(byte == b'[');
            if self.lists > MAX_LISTS {
                self.fault = Some(format!("expected at most {MAX_LISTS} lists, found more"));
            }
            return;
        };
        *length += 1;
        if *length > MAX_TEXT_BYTES {
            self.fault =
                Some(format!("expected texts of at most {MAX_TEXT_BYTES} bytes, found a longer one"));
        }
        if byte == b'"' && !self.after_backslash {
            self.text_bytes = None;
        }
        self.after_backslash = byte == b'\\' && !self.after_backslash;
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count = self.count.saturating_add(count as u64);
        buffer.iter().take(count).for_each(|byte| self.see(*byte));
        self.fault.as_ref().map_or(Ok(count), |fault| Err(io::Error::other(fault.clone())))
    }
}

/// The digest of the index, and its bytes if they fit into the manifest.
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
