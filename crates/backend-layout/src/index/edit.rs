//! Changes to an index: the text of what stays is not touched.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use oci_model::{Digest, Manifest, RawManifest, Tag};
use registry_backend::{Error, ErrorKind, Result};

use super::entry::{new_entry, renamed};
use super::{INDEX_LIMIT, Index, ListPlace, Listed, Name};

/// Manifests that are added in one step.
pub(crate) struct Additions<'a> {
    index: &'a Index,
    edit: Edit,
    tags: HashSet<Tag>,
    /// The digests of which an entry is added, changed or removed.
    digests: HashSet<Digest>,
}

/// What became of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is one of those that are added.
    Yes,
    /// The index says so already.
    Before,
    /// It depends on one that came before: it has to be added to the index that results.
    Later,
}

/// What becomes of the entries.
#[derive(Default)]
struct Edit {
    /// `None` removes the entry.
    replaced: HashMap<usize, Option<String>>,
    appended: Vec<String>,
}

impl<'a> Additions<'a> {
    /// Begins with none.
    pub(crate) fn to(index: &'a Index) -> Self {
        Self { index, edit: Edit::default(), tags: HashSet::new(), digests: HashSet::new() }
    }

    /// Lists a manifest, and under the tag if one is given. What had the tag before stays listed without it.
    pub(crate) fn add(&mut self, tag: Option<&Tag>, raw: &RawManifest, manifest: &Manifest) -> Result<Added> {
        let (index, digest) = (self.index, raw.digest());
        let added = match tag {
            None => index.by_digest.contains_key(digest),
            Some(tag) => index.find(&tag.clone().into()).is_some_and(|listed| listed.digest == *digest),
        };
        let replaced: Vec<&Digest> = tag.map(|tag| index.digests_of(tag)).unwrap_or_default();
        let mut touched = replaced.iter().copied().chain([digest]);
        if tag.is_some_and(|tag| self.tags.contains(tag)) || touched.any(|one| self.digests.contains(one)) {
            return Ok(Added::Later);
        }
        if added {
            return Ok(Added::Before);
        }
        let target = tag.map_or(digest.as_str(), Tag::as_str);
        let edit = index.addition(tag, raw, manifest).map_err(|error| fault(target, error))?;
        self.edit.replaced.extend(edit.replaced);
        self.edit.appended.extend(edit.appended);
        self.digests.extend(replaced.into_iter().chain([digest]).cloned());
        self.tags.extend(tag.cloned());
        Ok(Added::Yes)
    }

    /// Returns the text of the index with all of them.
    pub(crate) fn text(self) -> Result<String> {
        self.index.apply("index.json", self.edit)
    }
}

impl Index {
    /// Returns the digests of all entries that have the tag.
    fn digests_of(&self, tag: &Tag) -> Vec<&Digest> {
        if !self.by_tag.contains_key(tag) {
            return Vec::new();
        }
        self.listed().filter(|(_, listed)| listed.is_tagged(tag)).map(|(_, listed)| &listed.digest).collect()
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
        let mut edit = match self.by_tag.contains_key(tag) {
            true => self.without_names(tag, Some(digest))?,
            false => Edit::default(),
        };
        // An entry without a name is given it, so that what else it says is kept.
        let nameless = |listed: &Listed| listed.digest == *digest && listed.name == Name::None;
        let is_listed = self.by_digest.contains_key(digest);
        match is_listed.then(|| self.listed().find(|(_, listed)| nameless(listed))).flatten() {
            Some((position, listed)) => {
                edit.replaced.insert(position, Some(renamed(self.entry_text(listed), Some(tag))?));
            }
            None => edit.appended.push(new_entry(raw, manifest, Some(tag))?),
        }
        Ok(edit)
    }

    /// Returns the text without the tag; what had it stays listed. `None` if there is no such tag.
    pub(crate) fn without_tag(&self, tag: &Tag) -> Result<Option<String>> {
        if !self.by_tag.contains_key(tag) {
            return Ok(None);
        }
        let edit = self.without_names(tag, None).map_err(|error| fault(tag.as_str(), error))?;
        self.apply(tag.as_str(), edit).map(Some)
    }

    /// Returns the text without the manifests for which `drops` says so; `None` if there are none.
    pub(crate) fn without(&self, drops: impl Fn(&Listed) -> bool) -> Result<Option<String>> {
        let replaced: HashMap<_, _> =
            self.listed().filter(|(_, listed)| drops(listed)).map(|(position, _)| (position, None)).collect();
        if replaced.is_empty() {
            return Ok(None);
        }
        self.apply("index.json", Edit { replaced, ..Edit::default() }).map(Some)
    }

    /// Takes a tag off all entries that have it. Entries that would say nothing new without it are removed: those whose
    /// manifest another entry lists, or is `listed_anyway`.
    fn without_names(&self, tag: &Tag, listed_anyway: Option<&Digest>) -> serde_json::Result<Edit> {
        let is_named = |listed: &Listed| listed.is_tagged(tag);
        let named: Vec<_> = self.listed().filter(|(_, listed)| is_named(listed)).collect();
        let named_digests: HashSet<_> = named.iter().map(|(_, listed)| &listed.digest).collect();
        let mut listed_elsewhere: HashSet<&Digest> = self
            .listed()
            .filter(|(_, listed)| named_digests.contains(&listed.digest) && !is_named(listed))
            .map(|(_, listed)| &listed.digest)
            .chain(listed_anyway)
            .collect();
        let mut edit = Edit::default();
        for (position, listed) in named {
            let text = if listed_elsewhere.insert(&listed.digest) {
                Some(renamed(self.entry_text(listed), None)?)
            } else {
                None
            };
            edit.replaced.insert(position, text);
        }
        Ok(edit)
    }

    fn apply(&self, target: &str, edit: Edit) -> Result<String> {
        let Edit { mut replaced, appended } = edit;
        let added: usize =
            appended.iter().chain(replaced.values().flatten()).map(|text| text.len() + 1).sum();
        let mut text = String::with_capacity(self.text.len().saturating_add(added).saturating_add(64));
        let (before, after) = self.around_list();
        text.push_str(&before);
        let mut separator = '[';
        let kept = self.entries.iter().enumerate().filter_map(|(position, entry)| {
            match replaced.remove(&position) {
                Some(replacement) => replacement.map(Cow::Owned),
                None => self.text.get(entry.text.clone()).map(Cow::Borrowed),
            }
        });
        for entry in kept.chain(appended.into_iter().map(Cow::Owned)) {
            text.push(separator);
            text.push_str(&entry);
            separator = ',';
        }
        text.push_str(if separator == '[' { "[]" } else { "]" });
        text.push_str(after);
        if text.len() as u64 > INDEX_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge, "update the index for", target)
                .because(format!("it would have {} bytes, and at most {INDEX_LIMIT} are read", text.len())));
        }
        Ok(text)
    }

    /// Returns what stands before the list of entries and after it.
    fn around_list(&self) -> (Cow<'_, str>, &str) {
        let part = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        match &self.list {
            ListPlace::Value(place) => {
                (Cow::Borrowed(part(0..place.start)), part(place.end..self.text.len()))
            }
            ListPlace::Before { brace, first_field } => {
                let separator = if *first_field { "" } else { "," };
                let before = format!("{}{separator}\"manifests\":", part(0..*brace));
                (Cow::Owned(before), part(*brace..self.text.len()))
            }
        }
    }
}

fn fault(target: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, "update the index for", target).caused_by(error)
}
