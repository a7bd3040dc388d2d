//! Changes to an index that leave the text of everything else as it is.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use oci_model::annotations::REF_NAME;
use oci_model::{Digest, Manifest, RawManifest, Tag};
use registry_backend::{Error, ErrorKind, Result};
use serde_json::value::{RawValue, to_raw_value};

use super::{Entry, INDEX_LIMIT, Index, ListPlace, NO_SUBJECT, RawObject, RefName, SUBJECT_HINT};

/// The most bytes of a manifest's annotations that are copied into its entry; larger ones stay in the manifest alone.
const COPIED_ANNOTATION_BYTES: usize = 8 * 1024;

/// Manifests that are added in one step.
pub(crate) struct Additions<'a> {
    index: &'a Index,
    edit: Edit,
    tags: HashSet<Tag>,
    /// The digests whose entries are added, changed or removed.
    digests: HashSet<Digest>,
}

/// The result of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// The manifest is part of this step.
    Yes,
    /// The index lists it already.
    Before,
    /// It depends on an earlier addition, so it has to be added to the index that results from this step.
    Later,
}

/// A change to an index. It holds only the new text: the whole text is made piece by piece when it is written.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    /// New texts of entries by position; `None` removes the entry.
    replaced: HashMap<usize, Option<String>>,
    appended: Vec<String>,
}

impl<'a> Additions<'a> {
    /// Starts a step without any additions.
    pub(crate) fn to(index: &'a Index) -> Self {
        Self { index, edit: Edit::default(), tags: HashSet::new(), digests: HashSet::new() }
    }

    /// Lists a manifest, under the tag if one is given. The manifest that had the tag before stays listed without it.
    pub(crate) fn add(&mut self, tag: Option<&Tag>, raw: &RawManifest, manifest: &Manifest) -> Result<Added> {
        let (index, digest) = (self.index, raw.digest());
        let is_listed = match tag {
            None => index.with_digest(digest).next().is_some(),
            Some(tag) => index.find(&tag.clone().into()).is_some_and(|entry| entry.digest == *digest),
        };
        let tagged = tag.into_iter().flat_map(|tag| index.tagged(tag));
        let mut touched: Vec<Digest> = tagged.map(|(_, entry)| entry.digest).collect();
        touched.push(digest.clone());
        let depends = touched.iter().any(|digest| self.digests.contains(digest));
        if depends || tag.is_some_and(|tag| self.tags.contains(tag)) {
            return Ok(Added::Later);
        }
        if is_listed {
            return Ok(Added::Before);
        }
        let target = tag.map_or(digest.as_str(), Tag::as_str);
        let edit = index.addition(tag, raw, manifest).map_err(|error| invalid(target, error))?;
        self.edit.replaced.extend(edit.replaced);
        self.edit.appended.extend(edit.appended);
        self.digests.extend(touched);
        self.tags.extend(tag.cloned());
        Ok(Added::Yes)
    }

    /// Returns all additions as one change.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) if the index would exceed [`INDEX_LIMIT`].
    pub(crate) fn edit(self) -> Result<Edit> {
        self.index.checked("index.json", self.edit)
    }
}

impl Index {
    /// Returns the change that removes a tag; the manifest stays listed. `None` if there is no such tag.
    pub(crate) fn without_tag(&self, tag: &Tag) -> Result<Option<Edit>> {
        if self.tagged(tag).next().is_none() {
            return Ok(None);
        }
        let edit = self.untag(tag, None).map_err(|error| invalid(tag.as_str(), error))?;
        self.checked(tag.as_str(), edit).map(Some)
    }

    /// Returns the change that removes these manifests; `None` if the index lists none of them.
    pub(crate) fn without<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<Option<Edit>> {
        let positions = digests.into_iter().flat_map(|digest| self.with_digest(digest));
        let replaced: HashMap<_, _> = positions.map(|(position, _)| (position, None)).collect();
        if replaced.is_empty() {
            return Ok(None);
        }
        self.checked("index.json", Edit { replaced, ..Edit::default() }).map(Some)
    }

    /// Returns the changed text, piece by piece.
    pub(crate) fn pieces<'a>(&'a self, edit: &'a Edit) -> impl Iterator<Item = &'a str> {
        let part = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        let (before, name, after) = match &self.list {
            ListPlace::Value(place) => (part(0..place.start), "", part(place.end..self.text.len())),
            ListPlace::Before { brace, first_field } => {
                let name = if *first_field { "\"manifests\":" } else { ",\"manifests\":" };
                (part(0..*brace), name, part(*brace..self.text.len()))
            }
        };
        let kept = (0..self.len()).filter_map(|position| match edit.replaced.get(&position) {
            Some(replacement) => replacement.as_deref(),
            None => Some(self.entry_text(position)),
        });
        let mut separator = "";
        let entries = kept
            .chain(edit.appended.iter().map(String::as_str))
            .flat_map(move |entry| [std::mem::replace(&mut separator, ","), entry]);
        [before, name, "["].into_iter().chain(entries).chain(["]", after])
    }

    fn addition(
        &self,
        tag: Option<&Tag>,
        raw: &RawManifest,
        manifest: &Manifest,
    ) -> serde_json::Result<Edit> {
        let digest = raw.digest();
        let Some(tag) = tag else {
            return Ok(Edit { appended: vec![new_entry(raw, manifest, None)?], ..Edit::default() });
        };
        let mut edit = self.untag(tag, Some(digest))?;
        // An entry without a name gets the tag, so that its other fields are kept.
        match self.with_digest(digest).find(|(_, entry)| entry.name == RefName::None) {
            Some((position, entry)) => {
                edit.replaced.insert(position, Some(renamed(&entry, Some(tag))?));
            }
            None => edit.appended.push(new_entry(raw, manifest, Some(tag))?),
        }
        Ok(edit)
    }

    /// Removes a tag from all entries that have it. An entry that would say nothing new without its tag is removed: its manifest has
    /// another entry, or is `listed_anyway`.
    fn untag(&self, tag: &Tag, listed_anyway: Option<&Digest>) -> serde_json::Result<Edit> {
        let mut edit = Edit::default();
        let mut listed_elsewhere: HashMap<Digest, bool> = HashMap::new();
        for (position, entry) in self.tagged(tag) {
            let elsewhere = listed_elsewhere.entry(entry.digest.clone()).or_insert_with(|| {
                listed_anyway == Some(&entry.digest)
                    || self.with_digest(&entry.digest).any(|(_, other)| !other.has_tag(tag))
            });
            // The first of several stays.
            let is_listed = std::mem::replace(elsewhere, true);
            edit.replaced.insert(position, if is_listed { None } else { Some(renamed(&entry, None)?) });
        }
        Ok(edit)
    }

    /// Returns the change unless the changed text is too large.
    fn checked(&self, target: &str, edit: Edit) -> Result<Edit> {
        let bytes: usize = self.pieces(&edit).map(str::len).sum();
        if bytes as u64 > INDEX_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge, "update the index for", target).because(format!(
                "expected an `index.json` of at most {INDEX_LIMIT} bytes, found {bytes}: \
                 use another layout, or prune untagged manifests"
            )));
        }
        Ok(edit)
    }
}

/// Returns the text of a new entry, with artifact type and annotations as `oras` writes them, so that a listing needs no manifest.
fn new_entry(raw: &RawManifest, manifest: &Manifest, tag: Option<&Tag>) -> serde_json::Result<String> {
    let mut descriptor = raw.descriptor();
    descriptor.artifact_type = manifest.effective_artifact_type().cloned();
    let annotations = manifest.annotations();
    let bytes: usize = annotations.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum();
    if bytes <= COPIED_ANNOTATION_BYTES {
        descriptor.annotations = annotations.clone();
        // A manifest's own annotation of this name is not a tag.
        descriptor.annotations.remove(REF_NAME);
    }
    let hint = manifest.subject().map_or(NO_SUBJECT, |subject| subject.digest.as_str());
    descriptor.annotations.insert(SUBJECT_HINT.to_owned(), hint.to_owned());
    if let Some(tag) = tag {
        descriptor.annotations.insert(REF_NAME.to_owned(), tag.as_str().to_owned());
    }
    serde_json::to_string(&descriptor)
}

/// Returns the text of an entry with another tag, or none; all other fields stay as they are.
fn renamed(entry: &Entry<'_>, tag: Option<&Tag>) -> serde_json::Result<String> {
    let mut fields: RawObject = serde_json::from_str(entry.text)?;
    let annotations = fields.get("annotations").map(|value| value.get());
    let mut annotations: RawObject = match annotations.filter(|text| text.starts_with('{')) {
        Some(text) => serde_json::from_str(text)?,
        None => RawObject::default(),
    };
    annotations.shift_remove(REF_NAME);
    if let Some(tag) = tag {
        annotations.insert(REF_NAME.to_owned(), to_raw_value(tag.as_str())?);
    }
    if annotations.is_empty() {
        fields.shift_remove("annotations");
    } else {
        let text = serde_json::to_string(&annotations)?;
        fields.insert("annotations".to_owned(), RawValue::from_string(text)?);
    }
    serde_json::to_string(&fields)
}

fn invalid(target: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, "update the index for", target).caused_by(error)
}
