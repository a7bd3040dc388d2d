//! Sets of files of a package: those that are expected, and those that came.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bagit::{Algorithm, Digests, Inventory};
use d1_package::{Entry, PackageView};
use oci_model::Digest;

use crate::error::{ContentFault, Error, Result};
use crate::event::total;
use crate::receive::Wanted;

/// Files of a package by their position. It takes one byte per file of the package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileSet {
    marks: Vec<bool>,
    count: usize,
}

impl FileSet {
    /// Adds a file.
    pub(crate) fn insert(&mut self, position: usize) {
        if position >= self.marks.len() {
            self.marks.resize(position + 1, false);
        }
        if let Some(mark) = self.marks.get_mut(position).filter(|mark| !**mark) {
            *mark = true;
            self.count += 1;
        }
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, position: usize) {
        if let Some(mark) = self.marks.get_mut(position).filter(|mark| **mark) {
            *mark = false;
            self.count -= 1;
        }
    }

    pub(crate) fn has(&self, position: usize) -> bool {
        self.marks.get(position).is_some_and(|mark| *mark)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns the positions in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(position, _)| position)
    }
}

impl Extend<usize> for FileSet {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, positions: I) {
        positions.into_iter().for_each(|position| self.insert(position));
    }
}

impl FromIterator<usize> for FileSet {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut set = Self::default();
        set.extend(positions);
        set
    }
}

/// A wanted file, and its known properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Position in the package.
    pub(crate) position: usize,
    /// Path below the package's directory.
    pub(crate) path: String,
    /// Size in bytes.
    pub(crate) size: u64,
    /// SHA-256, if it is known.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Whether its bytes are needed in memory too.
    pub(crate) kept: bool,
}

impl Expected {
    /// Takes the properties from an entry of the package.
    pub(crate) fn of(position: usize, entry: &Entry<'_>, kept: bool) -> Self {
        Self { position, path: entry.path.to_owned(), size: entry.size, sha256: entry.sha256, kept }
    }

    /// Compares a received file with the known properties. The error says what differs.
    pub(crate) fn check(&self, size: u64, digests: &Digests) -> Result<(), String> {
        if size != self.size {
            return Err(self.wrong_size(size));
        }
        let Some(wanted) = self.sha256 else { return Ok(()) };
        let found: Option<[u8; 32]> = digests.get(Algorithm::Sha256).and_then(|found| found.try_into().ok());
        if found == Some(wanted) {
            return Ok(());
        }
        let found = found.map_or_else(|| "none".to_owned(), |found| Digest::from_sha256(found).to_string());
        Err(format!("expected the digest {}, found {found}", Digest::from_sha256(wanted)))
    }

    /// Describes a wrong size.
    pub(crate) fn wrong_size(&self, found: u64) -> String {
        format!("expected {} bytes, found {found}", self.size)
    }

    /// Returns the fault of this file.
    pub(crate) fn fault(&self, message: impl Into<String>) -> ContentFault {
        ContentFault { path: self.path.clone(), message: message.into() }
    }
}

/// How many bytes of tag files are kept in memory at most.
const MOST_KEPT_BYTES: u64 = 1 << 30;

/// Refuses packages whose tag files need too much memory.
///
/// # Errors
///
/// [`Error::Content`] naming the largest of the files.
pub(crate) fn check_kept_size(view: &PackageView, wanted: &Wanted) -> Result<()> {
    let kept: Vec<Entry<'_>> = wanted.kept.iter().filter_map(|position| view.entry_at(*position)).collect();
    let size = total(kept.iter().map(|entry| entry.size));
    if size <= MOST_KEPT_BYTES {
        return Ok(());
    }
    let largest = kept.iter().max_by_key(|entry| (entry.size, entry.path)).map_or("", |entry| entry.path);
    Err(Error::content(
        largest,
        format!("it and the other tag files have {size} bytes; at most {MOST_KEPT_BYTES} are kept in memory"),
    ))
}

/// The received files of a package. A file whose digests all match the index needs one byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct CameFiles {
    as_stated: FileSet,
    /// All other files by path, with size and digests.
    others: BTreeMap<String, (u64, Digests)>,
}

impl CameFiles {
    /// Adds a file that the package lists.
    pub(crate) fn note(&mut self, position: usize, entry: &Entry<'_>, digests: &Digests) {
        if digests.iter().all(|(algorithm, digest)| entry.digest(algorithm) == Some(digest)) {
            self.as_stated.insert(position);
        } else {
            self.note_other(entry.path, entry.size, digests.clone());
        }
    }

    /// Adds a file that the package does not list.
    pub(crate) fn note_other(&mut self, path: &str, size: u64, digests: Digests) {
        self.others.insert(path.to_owned(), (size, digests));
    }

    /// Adds further digests of a received file.
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

    /// Returns the number and size of received files that the package does not list.
    pub(crate) fn unlisted(&self, view: &PackageView) -> (u64, u64) {
        let unlisted = self.others.iter().filter(|(path, _)| view.position(path).is_none());
        unlisted.fold((0, 0), |(count, bytes), (_, (size, _))| (count + 1, size.saturating_add(bytes)))
    }

    /// Adds the files of another set.
    pub(crate) fn add(&mut self, more: Self) {
        self.as_stated.extend(more.as_stated.iter());
        self.others.extend(more.others);
    }

    /// Returns the inventory of a bag. Received files have their computed digests, others those of the index.
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

/// Locks the set for one of several jobs.
pub(crate) fn lock(came: &Mutex<CameFiles>) -> MutexGuard<'_, CameFiles> {
    // No update is left half done, even by a panic.
    came.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::FileSet;

    #[test]
    fn a_set_holds_what_was_put_in_and_not_taken_out() {
        let mut set: FileSet = [3, 0, 3, 7].into_iter().collect();
        assert_eq!((set.len(), set.iter().collect::<Vec<_>>()), (3, vec![0, 3, 7]));
        for position in [3, 3, 5, 100] {
            set.remove(position);
        }
        assert_eq!((set.len(), set.has(3), set.has(7), set.has(8)), (2, false, true, false));
    }
}
