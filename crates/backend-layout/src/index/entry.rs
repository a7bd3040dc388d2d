//! One entry of an index: what it names, and its text with another name.

use std::ops::Range;

use oci_model::annotations::REF_NAME;
use oci_model::{Descriptor, Digest, Manifest, MediaType, RawManifest, Tag};
use serde::Deserialize;
use serde_json::Value;

use super::fields::Fields;
use super::plain_descriptor;

/// The annotation that our entries carry so that referrers are found without reading every manifest: the digest of the
/// manifest's `subject`, or `none`. It says of the manifest what its bytes say, so it stays true wherever the entry is
/// copied; whoever relies on it still reads the manifest.
pub(crate) const SUBJECT_HINT: &str = "org.dataone.subject";

/// What the hint says of a manifest without a subject.
const NO_SUBJECT: &str = "none";

/// The most bytes of a manifest's annotations that are copied into its entry; larger ones are left to the manifest.
const COPIED_ANNOTATION_BYTES: usize = 8 * 1024;

/// An entry of the list, readable or not.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where the index's text has it.
    pub(super) text: Range<usize>,
    /// What it says, if it is a descriptor.
    pub(crate) listed: Option<Listed>,
}

/// What an entry says of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(super) text: Range<usize>,
    pub(crate) media_type: MediaType,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) name: Name,
    pub(crate) subject: SubjectHint,
}

impl Listed {
    /// Tells whether the tag is its name.
    pub(super) fn is_tagged(&self, tag: &Tag) -> bool {
        matches!(&self.name, Name::Tag(name) if name == tag)
    }
}

/// The `org.opencontainers.image.ref.name` of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// It has none.
    None,
    /// It is a tag.
    Tag(Tag),
    /// It is something else, such as a full reference: kept, but not among the tags.
    Other,
}

/// What an entry says of its manifest's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubjectHint {
    /// Nothing: only the manifest tells.
    Unknown,
    /// It has none.
    None,
    /// It has this one.
    Subject(Digest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorFields {
    media_type: MediaType,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: Option<EntryAnnotations>,
}

#[derive(Default, Deserialize)]
struct EntryAnnotations {
    #[serde(rename = "org.opencontainers.image.ref.name", default)]
    name: Option<Value>,
    #[serde(rename = "org.dataone.subject", default)]
    subject: Option<Value>,
}

impl Entry {
    /// Reads an entry that stands at this place of the index's text.
    pub(super) fn read(text: &str, place: Range<usize>) -> Self {
        // A sequence would be read by position.
        let fields = text.starts_with('{').then(|| serde_json::from_str::<DescriptorFields>(text));
        let listed = fields.and_then(Result::ok).map(|fields| {
            let annotations = fields.annotations.unwrap_or_default();
            Listed {
                text: place.clone(),
                media_type: fields.media_type,
                digest: fields.digest,
                size: fields.size,
                name: read_name(annotations.name.as_ref()),
                subject: read_hint(annotations.subject.as_ref()),
            }
        });
        Self { text: place, listed }
    }
}

fn read_name(value: Option<&Value>) -> Name {
    match value.and_then(Value::as_str) {
        None => Name::None,
        Some(text) => text.parse().map_or(Name::Other, Name::Tag),
    }
}

fn read_hint(value: Option<&Value>) -> SubjectHint {
    match value.and_then(Value::as_str) {
        Some(NO_SUBJECT) => SubjectHint::None,
        Some(text) => text.parse().map_or(SubjectHint::Unknown, SubjectHint::Subject),
        None => SubjectHint::Unknown,
    }
}

/// Returns the descriptor in the text of an entry, without the annotations that belong to the entry.
pub(super) fn descriptor(text: &str, listed: &Listed) -> Descriptor {
    let mut descriptor = serde_json::from_str(text)
        .unwrap_or_else(|_| plain_descriptor(&listed.media_type, &listed.digest, listed.size));
    descriptor.annotations.remove(REF_NAME);
    descriptor.annotations.remove(SUBJECT_HINT);
    descriptor
}

/// Returns the text of an entry for a manifest that is new to the index: with artifact type and annotations, as `oras`
/// writes it, so that a listing needs no manifest.
pub(super) fn new_entry(
    raw: &RawManifest,
    manifest: &Manifest,
    tag: Option<&Tag>,
) -> serde_json::Result<String> {
    let mut descriptor = raw.descriptor();
    descriptor.artifact_type = manifest.effective_artifact_type().cloned();
    let annotations = manifest.annotations();
    let bytes: usize = annotations.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum();
    if bytes <= COPIED_ANNOTATION_BYTES {
        descriptor.annotations = annotations.clone();
        // A manifest's annotation of this name is no tag.
        descriptor.annotations.remove(REF_NAME);
    }
    let hint = manifest.subject().map_or(NO_SUBJECT, |subject| subject.digest.as_str());
    descriptor.annotations.insert(SUBJECT_HINT.to_owned(), hint.to_owned());
    if let Some(tag) = tag {
        descriptor.annotations.insert(REF_NAME.to_owned(), tag.as_str().to_owned());
    }
    serde_json::to_string(&descriptor)
}

/// Returns the text of an entry with another tag, or none; everything else is as it was.
pub(super) fn renamed(text: &str, tag: Option<&Tag>) -> serde_json::Result<String> {
    let mut fields = Fields::read(text)?;
    let annotations_text =
        fields.get("annotations").filter(|text| text.starts_with('{')).unwrap_or("{}").to_owned();
    let mut annotations = Fields::read(&annotations_text)?;
    annotations.remove(REF_NAME);
    if let Some(tag) = tag {
        annotations.set(REF_NAME, Value::from(tag.as_str()).to_string());
    }
    if annotations.is_empty() {
        fields.remove("annotations");
    } else {
        fields.set("annotations", annotations.write());
    }
    Ok(fields.write())
}
