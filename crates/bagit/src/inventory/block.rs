//! Some hundred files in a row, with the bytes of their paths and digests one after the other.

use std::cmp::Ordering;

use super::EntryKind;
use crate::digests::DigestsView;

/// Describes one file of a bag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// Its size in bytes.
    pub size: u64,
    /// The digests of its bytes.
    pub digests: DigestsView<'a>,
    /// Whether its bytes could be read.
    pub kind: EntryKind,
}

/// Holds files in the order of their paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    paths: String,
    digests: Vec<u8>,
    records: Vec<Record>,
}

/// Says of one file what has a fixed size, and where the rest ends.
#[derive(Clone, Copy, Debug)]
struct Record {
    path_end: usize,
    digests_end: usize,
    size: u64,
    kind: EntryKind,
}

impl Block {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<(&str, FileEntry<'_>)> {
        let record = self.records.get(index)?;
        let (path_start, digests_start) = self.starts(index);
        let path = self.paths.get(path_start..record.path_end)?;
        let digests = DigestsView::of_bytes(self.digests.get(digests_start..record.digests_end)?);
        Some((path, FileEntry { size: record.size, digests, kind: record.kind }))
    }

    pub(super) fn iter_from(&self, index: usize) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        (index..self.len()).map_while(|index| self.get(index))
    }

    /// Finds a path, or where it would be.
    pub(super) fn position(&self, path: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).map(|(held, _)| held).cmp(&Some(path)) {
                Ordering::Equal => return Ok(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Puts a file before the one at `index`.
    pub(super) fn insert(&mut self, index: usize, path: &str, entry: FileEntry<'_>) {
        let (path_start, digests_start) = self.starts(index);
        make_room(&mut self.paths, path.len());
        self.paths.insert_str(path_start, path);
        let record =
            Record { path_end: path_start, digests_end: digests_start, size: entry.size, kind: entry.kind };
        self.records.insert(index, record);
        for later in self.records.iter_mut().skip(index) {
            later.path_end += path.len();
        }
        self.set_digests(index, entry.digests);
    }

    /// Changes what is known of the file at `index`.
    pub(super) fn set(&mut self, index: usize, entry: FileEntry<'_>) {
        if let Some(record) = self.records.get_mut(index) {
            (record.size, record.kind) = (entry.size, entry.kind);
            self.set_digests(index, entry.digests);
        }
    }

    fn set_digests(&mut self, index: usize, digests: DigestsView<'_>) {
        let Some(end) = self.records.get(index).map(|record| record.digests_end) else { return };
        let (_, start) = self.starts(index);
        let (bytes, before) = (digests.bytes(), end - start);
        let spare = self.digests.capacity() - self.digests.len();
        if bytes.len() > before + spare {
            self.digests.reserve_exact(bytes.len().max(self.digests.len() / GROWTH));
        }
        self.digests.splice(start..end, bytes.iter().copied());
        for record in self.records.iter_mut().skip(index) {
            record.digests_end = record.digests_end - before + bytes.len();
        }
    }

    /// Takes the files from `index` on out, and gives them.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let (path_start, digests_start) = self.starts(index);
        let mut later = Self {
            paths: self.paths.split_off(path_start),
            digests: self.digests.split_off(digests_start),
            records: self.records.split_off(index),
        };
        for record in &mut later.records {
            record.path_end -= path_start;
            record.digests_end -= digests_start;
        }
        self.fit();
        later.fit();
        later
    }

    /// Gives back memory that is not used.
    pub(super) fn fit(&mut self) {
        self.paths.shrink_to_fit();
        self.digests.shrink_to_fit();
        self.records.shrink_to_fit();
    }

    /// Says where the path and the digests of the file at `index` begin.
    fn starts(&self, index: usize) -> (usize, usize) {
        let before = index.checked_sub(1).and_then(|before| self.records.get(before));
        before.map_or((0, 0), |record| (record.path_end, record.digests_end))
    }
}

/// By what part of their length the bytes of a block grow at a time: doubling would leave half of them unused.
const GROWTH: usize = 8;

fn make_room(paths: &mut String, count: usize) {
    if paths.capacity() - paths.len() < count {
        paths.reserve_exact(count.max(paths.len() / GROWTH));
    }
}
