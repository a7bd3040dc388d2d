//! The text of an `index.json`, what it says, and changes to it that keep everything else as it is.

mod edit;
mod entry;
mod fields;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use oci_model::{Descriptor, Digest, ManifestRef, MediaType, Tag};

pub(crate) use edit::{Added, Additions};
pub(crate) use entry::{Entry, Listed, Name, SubjectHint};

/// The largest index that is read or written, in bytes: room for some 150,000 manifests.
pub(crate) const INDEX_LIMIT: u64 = 64 * 1024 * 1024;

/// The index of a layout that has nothing in it, as `oras` writes it.
pub(crate) const EMPTY_INDEX: &str =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}";

/// A parsed index with its text.
///
/// Entries that are no descriptors are kept and otherwise passed over. Of several entries with one tag the last counts
/// (the specification leaves it open; image-spec annotations.md).
#[derive(Debug)]
pub(crate) struct Index {
    text: String,
    list: ListPlace,
    entries: Vec<Entry>,
    by_tag: HashMap<Tag, usize>,
    by_digest: HashMap<Digest, usize>,
}

/// Where the text has the list of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ListPlace {
    /// The value of the field, with brackets.
    Value(Range<usize>),
    /// There is no such field: it can be put here, in front of the closing brace.
    Before { brace: usize, first_field: bool },
}

impl Index {
    /// Returns the index of an empty layout.
    pub(crate) fn empty() -> Self {
        Self::parse(EMPTY_INDEX.to_owned()).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Returns the text as it was read.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the entries that are descriptors.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (usize, &Listed)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(position, entry)| Some((position, entry.listed.as_ref()?)))
    }

    /// Returns the place of the first entry that is no descriptor, counted from 1.
    pub(crate) fn first_unreadable(&self) -> Option<usize> {
        self.entries.iter().position(|entry| entry.listed.is_none()).map(|position| position + 1)
    }

    /// Returns the entry that a reference names.
    pub(crate) fn find(&self, at: &ManifestRef) -> Option<&Listed> {
        let position = match at {
            ManifestRef::Tag(tag) => self.by_tag.get(tag),
            ManifestRef::Digest(digest) => self.by_digest.get(digest),
        };
        self.entries.get(*position?)?.listed.as_ref()
    }

    /// Returns all tags, in the order of their entries.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        let counts = |position: usize, tag: &Tag| self.by_tag.get(tag) == Some(&position);
        self.listed()
            .filter_map(|(position, listed)| match &listed.name {
                Name::Tag(tag) if counts(position, tag) => Some(tag.clone()),
                _ => None,
            })
            .collect()
    }

    /// Returns the descriptor of the entry that a reference names, without the annotations that belong to the entry.
    pub(crate) fn descriptor(&self, at: &ManifestRef) -> Option<Descriptor> {
        let listed = self.find(at)?;
        Some(entry::descriptor(self.entry_text(listed), listed))
    }

    fn entry_text(&self, listed: &Listed) -> &str {
        self.text.get(listed.text.clone()).unwrap_or_default()
    }
}

/// A descriptor with nothing but what every descriptor has.
pub(crate) fn plain_descriptor(media_type: &MediaType, digest: &Digest, size: u64) -> Descriptor {
    Descriptor::new(media_type.clone(), digest.clone(), size)
}
