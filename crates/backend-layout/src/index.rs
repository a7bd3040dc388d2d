//! The text of an `index.json`, what it says, and changes to it that keep everything else as it is.

mod edit;
mod entry;
mod fields;
mod finder;
mod parse;
mod reader;
mod span;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use oci_model::{Descriptor, Digest, ManifestRef, Tag};

pub(crate) use edit::{Added, Additions, Edit};
use entry::{Entry, again};
pub(crate) use entry::{Listed, Name, SubjectHint};
use finder::Finder;
use span::Texts;

/// The largest index that is read or written, in bytes: room for some 150,000 manifests.
pub(crate) const INDEX_LIMIT: u64 = 64 * 1024 * 1024;

/// The index of a layout that has nothing in it, as `oras` writes it.
pub(crate) const EMPTY_INDEX: &str =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}";

/// A parsed index with its text.
///
/// Entries that are no descriptors are kept and otherwise passed over. Of several entries with one tag the last counts
/// (the specification leaves it open; image-spec annotations.md).
///
/// What entries say is not copied out of the text: an index of many manifests takes little more memory than its text does.
#[derive(Debug)]
pub(crate) struct Index {
    texts: Texts,
    list: ListPlace,
    entries: Vec<Entry>,
    by_tag: Finder,
    by_digest: Finder,
    by_subject: Finder,
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
        self.texts.source()
    }

    /// Returns the memory that the text takes, emptied, if nobody else has the index: the text of the next one, a little longer, is
    /// put there. Beside it, it would leave a hole that is too small for the one after that.
    pub(crate) fn memory(self: Arc<Self>) -> Vec<u8> {
        let mut memory = Arc::into_inner(self).map(|index| index.texts.into_source().into_bytes());
        memory.iter_mut().for_each(Vec::clear);
        memory.unwrap_or_default()
    }

    /// Returns the entries that are descriptors, with their positions.
    pub(crate) fn listed(&self) -> impl DoubleEndedIterator<Item = (usize, Listed<'_>)> {
        self.listed_at(0..self.entries.len())
    }

    /// Returns the entries at these positions that are descriptors.
    pub(crate) fn listed_at(
        &self,
        positions: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (usize, Listed<'_>)> {
        positions.filter_map(|position| Some((position, self.entry(position)?)))
    }

    /// Returns the number of entries, whatever they are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the place of the first entry that is no descriptor, counted from 1.
    pub(crate) fn first_unreadable(&self) -> Option<usize> {
        self.entries.iter().position(|entry| !entry.is_readable()).map(|position| position + 1)
    }

    /// Returns the entry that a reference names.
    pub(crate) fn find(&self, at: &ManifestRef) -> Option<Listed<'_>> {
        let (_, listed) = match at {
            ManifestRef::Tag(tag) => self.tagged(tag.as_str()).next_back(),
            ManifestRef::Digest(digest) => self.with_digest(digest.as_str()).next(),
        }?;
        Some(listed)
    }

    /// Returns all tags, in the order of their entries.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        let counts = |position, tag| self.tagged(tag).next_back().is_some_and(|(last, _)| last == position);
        self.listed()
            .filter_map(|(position, listed)| match listed.name {
                Name::Tag(tag) if counts(position, tag) => Some(again(tag)),
                _ => None,
            })
            .collect()
    }

    /// Returns the descriptor of the entry that a reference names, without the annotations that belong to the entry.
    pub(crate) fn descriptor(&self, at: &ManifestRef) -> Option<Descriptor> {
        self.find(at).map(|listed| entry::full_descriptor(&listed))
    }

    /// Returns the entries that state this subject.
    pub(crate) fn referring(&self, subject: &Digest) -> impl Iterator<Item = (usize, Listed<'_>)> {
        self.found(&self.by_subject, subject.as_str())
            .filter(|(_, listed)| listed.subject == SubjectHint::Subject(subject.as_str()))
    }

    /// Returns the entries that have the tag.
    fn tagged(&self, tag: &str) -> impl DoubleEndedIterator<Item = (usize, Listed<'_>)> {
        self.found(&self.by_tag, tag).filter(move |(_, listed)| listed.name == Name::Tag(tag))
    }

    /// Returns the entries that have the digest.
    fn with_digest(&self, digest: &str) -> impl DoubleEndedIterator<Item = (usize, Listed<'_>)> {
        self.found(&self.by_digest, digest).filter(move |(_, listed)| listed.digest == digest)
    }

    /// Returns what a finder finds, and some that only seem to have the text.
    fn found(&self, finder: &Finder, text: &str) -> impl DoubleEndedIterator<Item = (usize, Listed<'_>)> {
        finder.candidates(text).filter_map(|position| Some((position, self.entry(position)?)))
    }

    fn entry(&self, position: usize) -> Option<Listed<'_>> {
        self.entries.get(position)?.listed(&self.texts)
    }
}
