//! Changes to an index: the text of what stays is not touched.

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

/// What becomes of the entries of an index. Its text is there once: what it becomes is made when it is written.
#[derive(Debug, Default)]
pub(crate) struct Edit {
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
            None => index.lists(digest.as_str()),
            Some(tag) => index.find(&tag.clone().into()).is_some_and(|listed| listed.is(digest)),
        };
        let mut touched: Vec<Digest> = tag
            .into_iter()
            .flat_map(|tag| index.tagged(tag.as_str()))
            .map(|(_, listed)| listed.digest())
            .collect();
        touched.push(digest.clone());
        let depends = touched.iter().any(|digest| self.digests.contains(digest));
        if depends || tag.is_some_and(|tag| self.tags.contains(tag)) {
            return Ok(Added::Later);
        }
        if added {
            return Ok(Added::Before);
        }
        let target = tag.map_or(digest.as_str(), Tag::as_str);
        let edit = index.addition(tag, raw, manifest).map_err(|error| fault(target, error))?;
        self.edit.replaced.extend(edit.replaced);
        self.edit.appended.extend(edit.appended);
        self.digests.extend(touched);
        self.tags.extend(tag.cloned());
        Ok(Added::Yes)
    }

    /// Returns all of them as one change.
    pub(crate) fn edit(self) -> Result<Edit> {
        self.index.checked("index.json", self.edit)
    }
}

impl Index {
    /// Returns the change that takes a tag off; what had it stays listed. `None` if there is no such tag.
    pub(crate) fn without_tag(&self, tag: &Tag) -> Result<Option<Edit>> {
        if self.tagged(tag.as_str()).next().is_none() {
            return Ok(None);
        }
        let edit = self.without_names(tag, None).map_err(|error| fault(tag.as_str(), error))?;
        self.checked(tag.as_str(), edit).map(Some)
    }

    /// Returns the change that removes the manifests for which `drops` says so; `None` if there are none.
    pub(crate) fn without(&self, drops: impl Fn(&Listed<'_>) -> bool) -> Result<Option<Edit>> {
        let replaced: HashMap<_, _> =
            self.listed().filter(|(_, listed)| drops(listed)).map(|(position, _)| (position, None)).collect();
        if replaced.is_empty() {
            return Ok(None);
        }
        self.checked("index.json", Edit { replaced, ..Edit::default() }).map(Some)
    }

    /// Returns the text as a change makes it, piece by piece.
    pub(crate) fn pieces<'a>(&'a self, edit: &'a Edit) -> impl Iterator<Item = &'a str> {
        let part = |range: Range<usize>| self.text().get(range).unwrap_or_default();
        let (before, name, after) = match &self.list {
            ListPlace::Value(place) => (part(0..place.start), "", part(place.end..self.text().len())),
            ListPlace::Before { brace, first_field } => {
                let name = if *first_field { "\"manifests\":" } else { ",\"manifests\":" };
                (part(0..*brace), name, part(*brace..self.text().len()))
            }
        };
        let kept = self.entries.iter().enumerate().filter_map(|(position, entry)| {
            match edit.replaced.get(&position) {
                Some(replacement) => replacement.as_deref(),
                None => Some(entry.text(&self.texts)),
            }
        });
        let mut separator = "";
        let entries = kept
            .chain(edit.appended.iter().map(String::as_str))
            .flat_map(move |entry| [std::mem::replace(&mut separator, ","), entry]);
        [before, name, "["].into_iter().chain(entries).chain(["]", after])
    }

    fn lists(&self, digest: &str) -> bool {
        self.with_digest(digest).next().is_some()
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
        let mut edit = self.without_names(tag, Some(digest))?;
        // An entry without a name is given it, so that what else it says is kept.
        match self.with_digest(digest.as_str()).find(|(_, listed)| listed.name == Name::None) {
            Some((position, listed)) => {
                edit.replaced.insert(position, Some(renamed(listed.text, Some(tag))?));
            }
            None => edit.appended.push(new_entry(raw, manifest, Some(tag))?),
        }
        Ok(edit)
    }

    /// Takes a tag off all entries that have it. Entries that would say nothing new without it are removed: those whose
    /// manifest another entry lists, or is `listed_anyway`.
    fn without_names(&self, tag: &Tag, listed_anyway: Option<&Digest>) -> serde_json::Result<Edit> {
        let is_named = |listed: &Listed<'_>| listed.name == Name::Tag(tag.as_str());
        let mut edit = Edit::default();
        let mut listed_elsewhere: HashMap<&str, bool> = HashMap::new();
        for (position, listed) in self.tagged(tag.as_str()) {
            let elsewhere = listed_elsewhere.entry(listed.digest).or_insert_with(|| {
                listed_anyway.is_some_and(|digest| digest.as_str() == listed.digest)
                    || self.with_digest(listed.digest).any(|(_, other)| !is_named(&other))
            });
            // The first of several is the one that stays.
            let text =
                if std::mem::replace(elsewhere, true) { None } else { Some(renamed(listed.text, None)?) };
            edit.replaced.insert(position, text);
        }
        Ok(edit)
    }

    /// Returns the change if what it makes is not too large.
    fn checked(&self, target: &str, edit: Edit) -> Result<Edit> {
        let bytes: usize = self.pieces(&edit).map(str::len).sum();
        if bytes as u64 > INDEX_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge, "update the index for", target)
                .because(format!("it would have {bytes} bytes, and at most {INDEX_LIMIT} are read")));
        }
        Ok(edit)
    }
}

fn fault(target: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, "update the index for", target).caused_by(error)
}
