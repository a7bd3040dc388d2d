//! One entry of an index: what it names, and its text with another name.

use std::fmt::Display;
use std::str::FromStr;

use oci_model::annotations::REF_NAME;
use oci_model::{Descriptor, Digest, Manifest, MediaType, RawManifest, Tag};
use serde_json::Value;

use super::fields::Fields;
use super::span::{Span, Texts};

/// The annotation that our entries carry so that referrers are found without reading every manifest: the digest of the
/// manifest's `subject`, or `none`. It says of the manifest what its bytes say, so it stays true wherever the entry is
/// copied; whoever relies on it still reads the manifest.
pub(crate) const SUBJECT_HINT: &str = "org.dataone.subject";

/// What the hint says of a manifest without a subject.
pub(super) const NO_SUBJECT: &str = "none";

/// The most bytes of a manifest's annotations that are copied into its entry; larger ones are left to the manifest.
const COPIED_ANNOTATION_BYTES: usize = 8 * 1024;

/// An entry of the list, readable or not.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where the index's text has it.
    pub(super) place: Span,
    /// What it says, if it is a descriptor.
    pub(super) said: Option<Said>,
}

/// Where an entry says what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) kind: Kind,
    pub(super) media_type: Span,
    pub(super) digest: Span,
    pub(super) size: u64,
    pub(super) name: Name<Span>,
    pub(super) subject: SubjectHint<Span>,
}

/// What an entry says of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed<'a> {
    pub(super) text: &'a str,
    kind: Kind,
    media_type: &'a str,
    pub(super) digest: &'a str,
    pub(super) size: u64,
    pub(crate) name: Name<&'a str>,
    pub(crate) subject: SubjectHint<&'a str>,
}

/// What kind of manifest a media type is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Index,
    Image,
    Other,
}

/// The `org.opencontainers.image.ref.name` of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name<T> {
    /// It has none.
    None,
    /// It is a tag.
    Tag(T),
    /// It is something else, such as a full reference: kept, but not among the tags.
    Other,
}

/// What an entry says of its manifest's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubjectHint<T> {
    /// Nothing: only the manifest tells.
    Unknown,
    /// It has none.
    None,
    /// It has this one.
    Subject(T),
}

impl Listed<'_> {
    /// Tells whether this is the digest of the manifest.
    pub(crate) fn is(&self, digest: &Digest) -> bool {
        self.digest == digest.as_str()
    }

    /// Tells whether the manifest is an index.
    pub(crate) fn is_index(&self) -> bool {
        self.kind == Kind::Index
    }

    /// Tells whether its references to other manifests are known.
    pub(crate) fn may_refer(&self) -> bool {
        self.kind != Kind::Other
    }

    /// Returns the digest of the manifest.
    pub(crate) fn digest(&self) -> Digest {
        again(self.digest)
    }

    /// Returns the media type of the manifest.
    pub(crate) fn media_type(&self) -> MediaType {
        again(self.media_type)
    }

    /// Returns the descriptor as far as finding the manifest needs it.
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type(), self.digest(), self.size)
    }
}

impl Kind {
    /// Returns the kind of the media type.
    pub(super) fn of(media_type: &MediaType) -> Self {
        if media_type.is_index() {
            Self::Index
        } else if media_type.is_manifest() {
            Self::Image
        } else {
            Self::Other
        }
    }
}

impl Entry {
    /// Tells whether it is a descriptor.
    pub(super) fn is_readable(&self) -> bool {
        self.said.is_some()
    }

    /// Returns the text of the entry.
    pub(super) fn text<'a>(&self, texts: &'a Texts) -> &'a str {
        texts.get(self.place)
    }

    /// Returns what it says, if it is a descriptor.
    pub(super) fn listed<'a>(&self, texts: &'a Texts) -> Option<Listed<'a>> {
        let said = self.said?;
        Some(Listed {
            text: self.text(texts),
            kind: said.kind,
            media_type: texts.get(said.media_type),
            digest: texts.get(said.digest),
            size: said.size,
            name: match said.name {
                Name::None => Name::None,
                Name::Tag(tag) => Name::Tag(texts.get(tag)),
                Name::Other => Name::Other,
            },
            subject: match said.subject {
                SubjectHint::Unknown => SubjectHint::Unknown,
                SubjectHint::None => SubjectHint::None,
                SubjectHint::Subject(subject) => SubjectHint::Subject(texts.get(subject)),
            },
        })
    }
}

/// Reads again what was found to be right when the index was read.
pub(super) fn again<T: FromStr<Err: Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

/// Returns the descriptor in the text of an entry, without the annotations that belong to the entry.
pub(super) fn full_descriptor(listed: &Listed<'_>) -> Descriptor {
    let mut descriptor: Descriptor =
        serde_json::from_str(listed.text).unwrap_or_else(|_| listed.descriptor());
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
