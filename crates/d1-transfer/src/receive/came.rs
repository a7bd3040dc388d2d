//! Which files came, and with which digests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bagit::{Digests, Inventory};
use d1_package::{Entry, PackageView};

use super::FileSet;
use crate::progress::total;

/// The files of a package that came: of those of which all digests are those that the package states, only that they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct CameFiles {
    as_stated: FileSet,
    /// All others by path: size and digests.
    others: BTreeMap<String, (u64, Digests)>,
}

impl CameFiles {
    /// Notes a file that the package lists.
    pub(crate) fn note(&mut self, position: usize, entry: &Entry<'_>, digests: &Digests) {
        if digests.iter().all(|(algorithm, digest)| entry.digest(algorithm) == Some(digest)) {
            self.as_stated.insert(position);
        } else {
            self.note_other(entry.path, entry.size, digests.clone());
        }
    }

    /// Notes a file that the package does not list.
    pub(crate) fn note_other(&mut self, path: &str, size: u64, digests: Digests) {
        self.others.insert(path.to_owned(), (size, digests));
    }

    /// Notes further digests of a file that came.
    pub(crate) fn note_further(&mut self, position: usize, entry: &Entry<'_>, further: &Digests) {
        let Some(mut digests) = self.digests(position, entry) else { return };
        further.iter().for_each(|(algorithm, digest)| _ = digests.insert(algorithm, digest));
        self.note_other(entry.path, entry.size, digests);
    }

    /// Tells whether a file of the package came.
    pub(crate) fn has(&self, position: usize, path: &str) -> bool {
        self.as_stated.has(position) || self.others.contains_key(path)
    }

    /// Returns the digests of a file of the package, if it came.
    pub(crate) fn digests(&self, position: usize, entry: &Entry<'_>) -> Option<Digests> {
        let other = self.others.get(entry.path).map(|(_, digests)| digests.clone());
        other.or_else(|| self.as_stated.has(position).then(|| entry.digests()))
    }

    /// Returns the number of files.
    pub(crate) fn count(&self) -> u64 {
        let both = self.others.len() + self.as_stated.len();
        both as u64
    }

    /// Returns the size of all files in bytes.
    pub(crate) fn bytes(&self, view: &PackageView) -> u64 {
        let as_stated = self.as_stated.iter().filter_map(|position| view.entry_at(position));
        total(as_stated.map(|entry| entry.size).chain(self.others.values().map(|(size, _)| *size)))
    }

    /// Adds what came besides.
    pub(crate) fn add(&mut self, more: Self) {
        self.as_stated.extend(more.as_stated.iter());
        self.others.extend(more.others);
    }

    /// Returns a bag's files with the digests with which they came, and those that the index states of what did not.
    pub(crate) fn inventory<'a>(&self, stated: &'a Inventory) -> Cow<'a, Inventory> {
        if self.others.is_empty() && stated.has_directory("data") {
            return Cow::Borrowed(stated);
        }
        let mut inventory = stated.clone();
        inventory.insert_directory("data");
        for (path, (size, digests)) in &self.others {
            inventory.insert_file(path, *size, digests.clone());
        }
        Cow::Owned(inventory)
    }
}

/// Gives access to what several jobs note.
pub(crate) fn lock(came: &Mutex<CameFiles>) -> MutexGuard<'_, CameFiles> {
    // Nothing that is noted is left half done, whoever panics.
    came.lock().unwrap_or_else(PoisonError::into_inner)
}
