//! The text of an `index.json`, and lookups in it by tag, digest and subject.
//!
//! An index of many manifests takes little more memory than its text: it keeps the places of the entries and a hash of each key,
//! and parses an entry again when somebody asks for it.

mod edit;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use oci_model::annotations::REF_NAME;
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, Tag};
use registry_backend::TagEntry;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub(crate) use edit::{Added, Additions, Edit};

/// The largest index that is read or written, in bytes: room for some 150,000 manifests.
pub(crate) const INDEX_LIMIT: u64 = 64 * 1024 * 1024;

/// The index of an empty layout, as `oras` writes it.
pub(crate) const EMPTY_INDEX: &str =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}";

/// The annotation with which our entries name the digest of the manifest's `subject`, or [`NO_SUBJECT`].
///
/// It lets a reader find referrers without reading every manifest. It repeats what the manifest says, so it stays true wherever the
/// entry is copied. A reader that relies on it still reads the manifest.
const SUBJECT_HINT: &str = "org.dataone.subject";

/// The value of [`SUBJECT_HINT`] for a manifest without a subject.
const NO_SUBJECT: &str = "none";

/// A parsed index with its text.
///
/// Entries that are not descriptors are kept and otherwise ignored. Of several entries with one tag the last counts
/// (image-spec annotations.md leaves it open).
#[derive(Debug)]
pub(crate) struct Index {
    text: String,
    list: ListPlace,
    entries: Vec<Place>,
    /// The positions of the entries that are image indexes, in order.
    indexes: Vec<u32>,
    by_tag: Lookup,
    by_digest: Lookup,
    by_subject: Lookup,
}

/// An entry of the index that is a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    text: &'a str,
    pub(crate) media_type: MediaType,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) name: RefName,
    pub(crate) subject: SubjectHint,
}

/// The `org.opencontainers.image.ref.name` of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefName {
    /// The entry has no name.
    None,
    /// The name is a tag.
    Tag(Tag),
    /// The name is not a tag, for example a full reference. It is kept but not listed among the tags.
    Other(String),
}

/// The subject of a manifest, as its entry states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubjectHint {
    /// The entry does not say: only the manifest does.
    Unknown,
    /// The manifest has no subject.
    None,
    /// The manifest has this subject.
    Subject(Digest),
}

/// The reason why a text is not an index.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// The text is not a JSON object, or a field has the wrong type.
    #[error("not an image index")]
    Syntax(#[from] serde_json::Error),
    /// The schema version is unknown.
    #[error("expected schema version 2, found {0}")]
    Version(u64),
    /// The text is longer than any that is read.
    #[error("expected at most {max} bytes, found {0}", max = u32::MAX)]
    Length(usize),
}

/// The place of the list of manifests in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ListPlace {
    /// The value of the field, with brackets.
    Value(Range<usize>),
    /// The field is missing and can be inserted here, before the closing brace.
    Before { brace: usize, first_field: bool },
}

/// The place of an entry in the text, at half the size of a range.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    length: u32,
}

impl Index {
    /// Returns the index of an empty layout.
    pub(crate) fn empty() -> Self {
        Self::parse(EMPTY_INDEX.to_owned()).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Parses the text of an index.
    pub(crate) fn parse(text: String) -> Result<Self, IndexError> {
        if u32::try_from(text.len()).is_err() {
            return Err(IndexError::Length(text.len()));
        }
        let (list, entries) = parse_list(&text)?;
        let (mut indexes, mut keys) = (Vec::new(), Keys::default());
        for (position, place) in entries.iter().enumerate() {
            let Some(entry) = Entry::parse(place.part_of(&text)) else { continue };
            if entry.media_type.is_index() {
                indexes.extend(u32::try_from(position));
            }
            keys.add(position, &entry);
        }
        let Keys { by_tag, by_digest, by_subject } = keys.sorted();
        Ok(Self { text, list, entries, indexes, by_tag, by_digest, by_subject })
    }

    /// Returns the text as it was read.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the emptied buffer of the text if nobody else uses the index.
    ///
    /// The next index, a little longer, is read into it. A new buffer beside the old one would leave a hole in the heap that is too
    /// small for the one after that.
    pub(crate) fn into_buffer(self: Arc<Self>) -> Vec<u8> {
        let mut buffer = Arc::into_inner(self).map(|index| index.text.into_bytes());
        buffer.iter_mut().for_each(Vec::clear);
        buffer.unwrap_or_default()
    }

    /// Returns the entries that are descriptors, with their positions.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = (usize, Entry<'_>)> {
        self.entries_at(0..self.len())
    }

    /// Returns the entries at these positions that are descriptors.
    pub(crate) fn entries_at(
        &self,
        positions: impl DoubleEndedIterator<Item = usize>,
    ) -> impl DoubleEndedIterator<Item = (usize, Entry<'_>)> {
        positions.filter_map(|position| Some((position, self.entry(position)?)))
    }

    /// Returns the entries that are image indexes, with their positions.
    pub(crate) fn indexes(&self) -> impl DoubleEndedIterator<Item = (usize, Entry<'_>)> {
        self.entries_at(self.indexes.iter().filter_map(|position| usize::try_from(*position).ok()))
    }

    /// Returns the number of entries, descriptors or not.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of the first entry that is not a descriptor, counted from 1.
    pub(crate) fn first_unreadable(&self) -> Option<usize> {
        (0..self.len()).find(|position| self.entry(*position).is_none()).map(|position| position + 1)
    }

    /// Returns the entry that a reference names.
    pub(crate) fn find(&self, at: &ManifestRef) -> Option<Entry<'_>> {
        let (_, entry) = match at {
            ManifestRef::Tag(tag) => self.tagged(tag).next_back(),
            ManifestRef::Digest(digest) => self.with_digest(digest).next(),
        }?;
        Some(entry)
    }

    /// Returns all tags, each once, in the order of the entries that count.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn tags(&self) -> Vec<Tag> {
        self.tag_entries().into_iter().map(|entry| entry.tag).collect()
    }

    /// As [`tags`](Self::tags), with the digests of the manifests.
    pub(crate) fn tag_entries(&self) -> Vec<TagEntry> {
        self.tagged_positions().into_iter().map(|(entry, _)| entry).collect()
    }

    /// Returns the descriptor of the manifest at a position, if the entry states all of the manifest's annotations. An entry that this
    /// crate wrote has all of them or none.
    pub(crate) fn described(&self, position: usize) -> Option<Descriptor> {
        let mut descriptor: Descriptor = serde_json::from_str(self.entry(position)?.text).ok()?;
        descriptor.annotations.remove(REF_NAME);
        let is_own = descriptor.annotations.remove(SUBJECT_HINT).is_some();
        (is_own && !descriptor.annotations.is_empty()).then_some(descriptor)
    }

    /// As [`tag_entries`](Self::tag_entries), with the positions of the entries.
    pub(crate) fn tagged_positions(&self) -> Vec<(TagEntry, usize)> {
        let mut last = HashMap::new();
        for (position, entry) in self.entries() {
            if let RefName::Tag(tag) = &entry.name {
                last.insert(tag.clone(), (position, entry.digest.clone()));
            }
        }
        let mut tags: Vec<_> = last.into_iter().collect();
        tags.sort_unstable_by_key(|(_, (position, _))| *position);
        let entry = |(tag, (position, digest))| (TagEntry::new(tag).with_digest(digest), position);
        tags.into_iter().map(entry).collect()
    }

    /// Returns the names that are not tags, with the digests of their manifests.
    pub(crate) fn other_names(&self) -> Vec<(String, Digest)> {
        let name = |(_, entry): (usize, Entry<'_>)| match entry.name {
            RefName::Other(name) => Some((name, entry.digest)),
            RefName::None | RefName::Tag(_) => None,
        };
        self.entries().filter_map(name).collect()
    }

    /// Returns the descriptor that a reference names, without the annotations that belong to the entry.
    pub(crate) fn descriptor(&self, at: &ManifestRef) -> Option<Descriptor> {
        let entry = self.find(at)?;
        let mut descriptor: Descriptor =
            serde_json::from_str(entry.text).unwrap_or_else(|_| entry.descriptor());
        descriptor.annotations.remove(REF_NAME);
        descriptor.annotations.remove(SUBJECT_HINT);
        Some(descriptor)
    }

    /// Returns the entries that state this subject.
    pub(crate) fn referring(&self, subject: &Digest) -> impl Iterator<Item = (usize, Entry<'_>)> {
        self.found(&self.by_subject, subject.as_str())
            .filter(move |(_, entry)| matches!(&entry.subject, SubjectHint::Subject(of) if of == subject))
    }

    /// Returns the entries that have the tag.
    fn tagged(&self, tag: &Tag) -> impl DoubleEndedIterator<Item = (usize, Entry<'_>)> {
        self.found(&self.by_tag, tag.as_str()).filter(move |(_, entry)| entry.has_tag(tag))
    }

    /// Returns the entries that have the digest.
    fn with_digest(&self, digest: &Digest) -> impl DoubleEndedIterator<Item = (usize, Entry<'_>)> {
        self.found(&self.by_digest, digest.as_str()).filter(move |(_, entry)| entry.digest == *digest)
    }

    /// Returns the entries whose key has the same hash as this one.
    fn found(&self, lookup: &Lookup, key: &str) -> impl DoubleEndedIterator<Item = (usize, Entry<'_>)> {
        self.entries_at(lookup.candidates(key))
    }

    fn entry(&self, position: usize) -> Option<Entry<'_>> {
        Entry::parse(self.entry_text(position))
    }

    fn entry_text(&self, position: usize) -> &str {
        self.entries.get(position).map(|place| place.part_of(&self.text)).unwrap_or_default()
    }
}

impl Entry<'_> {
    /// Returns the descriptor as far as it is needed to find the manifest.
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest.clone(), self.size)
    }

    /// Tells whether this crate knows how manifests of this type refer to others.
    pub(crate) fn may_refer(&self) -> bool {
        self.media_type.is_index() || self.media_type.is_manifest()
    }

    fn has_tag(&self, tag: &Tag) -> bool {
        matches!(&self.name, RefName::Tag(own) if own == tag)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryFields<'a> {
    media_type: MediaType,
    digest: Digest,
    size: u64,
    #[serde(borrow, default)]
    annotations: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct KnownAnnotations<'a> {
    #[serde(rename = "org.opencontainers.image.ref.name", borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(rename = "org.dataone.subject", borrow, default)]
    subject: Option<&'a RawValue>,
}

impl<'a> Entry<'a> {
    /// Parses the text of an entry, if it is a descriptor.
    fn parse(text: &'a str) -> Option<Self> {
        // Serde also reads a struct from a list, by position.
        let text = Some(text).filter(|text| text.starts_with('{'))?;
        let EntryFields { media_type, digest, size, annotations } = serde_json::from_str(text).ok()?;
        let annotations: KnownAnnotations<'_> = match annotations.map(RawValue::get) {
            Some(annotations) if annotations.starts_with('{') => serde_json::from_str(annotations).ok()?,
            // Some programs write an empty list for no annotations.
            Some(annotations) if !annotations.starts_with('[') => return None,
            _ => KnownAnnotations::default(),
        };
        let text_of = |value: Option<&RawValue>| serde_json::from_str::<String>(value?.get()).ok();
        let name = match text_of(annotations.name) {
            None => RefName::None,
            Some(name) => match name.parse() {
                Ok(tag) => RefName::Tag(tag),
                Err(_) => RefName::Other(name),
            },
        };
        let subject = match text_of(annotations.subject) {
            Some(subject) if subject == NO_SUBJECT => SubjectHint::None,
            Some(subject) => subject.parse().map_or(SubjectHint::Unknown, SubjectHint::Subject),
            None => SubjectHint::Unknown,
        };
        Some(Self { text, media_type, digest, size, name, subject })
    }
}

#[derive(Deserialize)]
struct TopLevel<'a> {
    #[serde(rename = "schemaVersion", default)]
    schema_version: Option<u64>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    manifests: Option<&'a RawValue>,
}

/// Keeps `null`, which has a place in the text like any other value.
fn even_null<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The fields of a JSON object in the order of the text; the text of their values stays as it is.
type RawObject = indexmap::IndexMap<String, Box<RawValue>>;

/// White space of JSON (RFC 8259 section 2).
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn parse_list(text: &str) -> Result<(ListPlace, Vec<Place>), IndexError> {
    if !text.trim_start_matches(JSON_SPACE).starts_with('{') {
        // Fails with the right error: serde would read a struct from a list.
        serde_json::from_str::<RawObject>(text)?;
    }
    let top: TopLevel<'_> = serde_json::from_str(text)?;
    if let Some(version) = top.schema_version.filter(|version| *version != 2) {
        return Err(IndexError::Version(version));
    }
    let Some(list) = top.manifests else {
        let object: &RawValue = serde_json::from_str(text)?;
        let brace = range_of(text, object.get()).end.saturating_sub(1);
        let first_field = serde_json::from_str::<RawObject>(text)?.is_empty();
        return Ok((ListPlace::Before { brace, first_field }, Vec::new()));
    };
    let entries: Option<Vec<&RawValue>> = serde_json::from_str(list.get())?;
    let places = entries.unwrap_or_default().into_iter().map(|entry| Place::of(text, entry.get()));
    Ok((ListPlace::Value(range_of(text, list.get())), places.collect()))
}

/// Returns the place of a part within the text that it is a slice of.
fn range_of(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start.saturating_add(part.len())
}

impl Place {
    fn of(text: &str, part: &str) -> Self {
        let range = range_of(text, part);
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { start: short(range.start), length: short(range.len()) }
    }

    fn part_of(self, text: &str) -> &str {
        let long = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let start = long(self.start);
        text.get(start..start.saturating_add(long(self.length))).unwrap_or_default()
    }
}

/// Positions of entries, sorted by the hash of a key: eight bytes each, where a map would copy the key.
#[derive(Debug, Default)]
struct Lookup {
    hasher: RandomState,
    positions: Vec<(u32, u32)>,
}

impl Lookup {
    fn add(&mut self, key: &str, position: usize) {
        let hash = self.hash(key);
        self.positions.extend(u32::try_from(position).ok().map(|position| (hash, position)));
    }

    /// Returns the positions of all entries with the key, in order, and perhaps a few others: half of a hash can collide.
    fn candidates(&self, key: &str) -> impl DoubleEndedIterator<Item = usize> {
        let hash = self.hash(key);
        let start = self.positions.partition_point(|(other, _)| *other < hash);
        let rest = self.positions.get(start..).unwrap_or_default();
        let found = rest.get(..rest.partition_point(|(other, _)| *other == hash)).unwrap_or_default();
        found.iter().filter_map(|(_, position)| usize::try_from(*position).ok())
    }

    fn hash(&self, key: &str) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one(key).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

#[derive(Default)]
struct Keys {
    by_tag: Lookup,
    by_digest: Lookup,
    by_subject: Lookup,
}

impl Keys {
    fn add(&mut self, position: usize, entry: &Entry<'_>) {
        self.by_digest.add(entry.digest.as_str(), position);
        if let RefName::Tag(tag) = &entry.name {
            self.by_tag.add(tag.as_str(), position);
        }
        if let SubjectHint::Subject(subject) = &entry.subject {
            self.by_subject.add(subject.as_str(), position);
        }
    }

    fn sorted(mut self) -> Self {
        for lookup in [&mut self.by_tag, &mut self.by_digest, &mut self.by_subject] {
            lookup.positions.shrink_to_fit();
            lookup.positions.sort_unstable();
        }
        self
    }
}
