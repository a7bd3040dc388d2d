//! Who replaces whom, put in order; statements that lead nowhere or round in a circle included.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use d1_package::annotations::{D1_OBSOLETES, D1_SERIES_ID};
use jiff::SignedDuration;
use oci_model::annotations::{CREATED, DESCRIPTION};
use oci_model::{Digest, Manifest, Tag};

use super::{StoredVersion, Version};
use crate::find::made;

/// What one artifact says of itself as a version.
#[derive(Clone, Debug)]
pub(super) struct Link {
    obsoletes: Option<String>,
    stored: StoredVersion,
}

/// All artifacts with an identifier.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_identifier: HashMap<String, Link>,
}

impl Link {
    pub(super) fn of(digest: &Digest, tag: Option<&Tag>, manifest: &Manifest) -> Self {
        let text = |key: &str| manifest.annotations().get(key).cloned();
        let stored = StoredVersion {
            digest: digest.clone(),
            tag: tag.cloned(),
            created: text(CREATED),
            series_id: text(D1_SERIES_ID),
            title: text(DESCRIPTION),
            copies: Vec::new(),
            shared_blobs: 0,
            new_blobs: 0,
            new_bytes: 0,
        };
        Self { obsoletes: text(D1_OBSOLETES), stored }
    }
}

impl Links {
    /// Adds an artifact. Of several with one identifier the first counts, but one that replaces something comes before one
    /// that says nothing, as an object that is stored by itself does.
    pub(super) fn add(&mut self, identifier: &str, link: Link) {
        match self.by_identifier.entry(identifier.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(link);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                if known.stored.digest == link.stored.digest {
                    known.stored.tag = known.stored.tag.take().or(link.stored.tag);
                    return;
                }
                let mut other = link;
                if known.obsoletes.is_none() && other.obsoletes.is_some() {
                    std::mem::swap(known, &mut other);
                }
                known.stored.copies.append(&mut other.stored.copies);
                known.stored.copies.push(other.stored.digest);
            }
        }
    }

    fn obsoletes(&self, identifier: &str) -> Option<&str> {
        self.by_identifier.get(identifier)?.obsoletes.as_deref()
    }

    /// Returns the versions that lead to this one or from it, each after the one that it replaces, as far as that is
    /// possible.
    pub(super) fn connected_with(&self, asked: &str) -> Vec<Version> {
        let first = self.first_before(asked);
        let mut successors: HashMap<&str, Vec<&str>> = HashMap::new();
        for (identifier, link) in &self.by_identifier {
            if let Some(older) = link.obsoletes.as_deref() {
                successors.entry(older).or_default().push(identifier);
            }
        }
        let (mut seen, mut versions) = (HashSet::from([first]), Vec::new());
        let mut next = VecDeque::from([first]);
        while let Some(identifier) = next.pop_front() {
            versions.push(self.version(identifier, asked, &versions));
            let mut newer = successors.remove(identifier).unwrap_or_default();
            newer.retain(|newer| seen.insert(newer));
            newer.sort_by_key(|newer| (self.made(newer), *newer));
            next.extend(newer);
        }
        versions
    }

    fn made(&self, identifier: &str) -> Option<SignedDuration> {
        made(self.by_identifier.get(identifier)?.stored.created.as_deref())
    }

    /// Follows a version back to the first one, or to where a circle closes.
    fn first_before<'a>(&'a self, asked: &'a str) -> &'a str {
        let (mut at, mut seen) = (asked, HashSet::from([asked]));
        while let Some(older) = self.obsoletes(at) {
            if !seen.insert(older) {
                break;
            }
            at = older;
        }
        at
    }

    fn version(&self, identifier: &str, asked: &str, before: &[Version]) -> Version {
        let obsoletes = self.obsoletes(identifier);
        // Whatever is reached but as the first one was reached from what it replaces.
        let circular = obsoletes.is_some() && before.is_empty();
        Version {
            identifier: identifier.to_owned(),
            asked: identifier == asked,
            obsoletes: obsoletes.map(str::to_owned),
            circular,
            stored: self.by_identifier.get(identifier).map(|link| link.stored.clone()),
        }
    }
}
