//! Changes to an index: the text of what stays is not touched.

use std::collections::{HashMap, HashSet};

use oci_model::{Digest, Manifest, RawManifest, Tag};
use registry_backend::{Error, ErrorKind, Result};

use super::entry::{new_entry, renamed};
use super::{INDEX_LIMIT, Index, ListPlace, Listed, Name};

/// What becomes of the entries.
#[derive(Default)]
struct Edit {
    /// `None` removes the entry.
    replaced: HashMap<usize, Option<String>>,
    appended: Option<String>,
}

impl Index {
    /// Returns the text with the manifest listed, and under the tag if one is given; `None` if it is so already.
    ///
    /// What had the tag before stays listed without it.
    pub(crate) fn with_manifest(
        &self,
        tag: Option<&Tag>,
        raw: &RawManifest,
        manifest: &Manifest,
    ) -> Result<Option<String>> {
        let digest = raw.digest();
        let Some(tag) = tag else {
            if self.by_digest.contains_key(digest) {
                return Ok(None);
            }
            let appended =
                Some(new_entry(raw, manifest, None).map_err(|error| fault(digest.as_str(), error))?);
            return self.apply(digest.as_str(), Edit { appended, ..Edit::default() }).map(Some);
        };
        if self.find(&tag.clone().into()).is_some_and(|listed| listed.digest == *digest) {
            return Ok(None);
        }
        let fault = |error| fault(tag.as_str(), error);
        let mut edit = self.without_names(tag, Some(digest)).map_err(fault)?;
        // An entry without a name is given it, so that what else it says is kept.
        match self.listed().find(|(_, listed)| listed.digest == *digest && listed.name == Name::None) {
            Some((position, listed)) => {
                let text = renamed(self.entry_text(listed), Some(tag)).map_err(fault)?;
                edit.replaced.insert(position, Some(text));
            }
            None => edit.appended = Some(new_entry(raw, manifest, Some(tag)).map_err(fault)?),
        }
        self.apply(tag.as_str(), edit).map(Some)
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
        self.apply("index.json", Edit { replaced, appended: None }).map(Some)
    }

    /// Takes a tag off all entries that have it. Entries that would say nothing new without it are removed: those whose
    /// manifest another entry lists, or is `listed_anyway`.
    fn without_names(&self, tag: &Tag, listed_anyway: Option<&Digest>) -> serde_json::Result<Edit> {
        let is_named = |listed: &Listed| matches!(&listed.name, Name::Tag(name) if name == tag);
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
        let mut list = String::with_capacity(self.text.len().saturating_add(1024));
        list.push('[');
        let kept = self.entries.iter().enumerate().filter_map(|(position, entry)| {
            match replaced.remove(&position) {
                Some(replacement) => replacement.map(std::borrow::Cow::Owned),
                None => self.text.get(entry.text.clone()).map(std::borrow::Cow::Borrowed),
            }
        });
        for text in kept.chain(appended.map(std::borrow::Cow::Owned)) {
            if list.len() > 1 {
                list.push(',');
            }
            list.push_str(&text);
        }
        list.push(']');
        let text = self.with_list(&list);
        if text.len() as u64 > INDEX_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge, "update the index for", target)
                .because(format!("it would have {} bytes, and at most {INDEX_LIMIT} are read", text.len())));
        }
        Ok(text)
    }

    fn with_list(&self, list: &str) -> String {
        let (before, field, after) = match &self.list {
            ListPlace::Value(place) => (self.text.get(..place.start), "", self.text.get(place.end..)),
            ListPlace::Before { brace, first_field } => {
                let field = if *first_field { "\"manifests\":" } else { ",\"manifests\":" };
                (self.text.get(..*brace), field, self.text.get(*brace..))
            }
        };
        [before.unwrap_or_default(), field, list, after.unwrap_or_default()].concat()
    }
}

fn fault(target: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, "update the index for", target).caused_by(error)
}
