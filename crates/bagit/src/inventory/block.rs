//! Some hundred files in a row, with the bytes of their paths and digests one after the other.

use std::cmp::Ordering;
use std::ops::Range;

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

/// The files that one block holds at most: what is inserted moves half of them, so that a block is a few times 10 KiB.
pub(super) const BLOCK_FILES: usize = 256;

/// The longest path that is held, in bytes: then all paths of a block have less than 4 GiB.
pub(crate) const LONGEST_PATH: usize = 1 << 20;

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
    size: u64,
    path_end: u32,
    digests_end: u32,
    mark: u32,
    kind: EntryKind,
}

impl Block {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.paths.capacity() + self.digests.capacity() + 24 * self.records.capacity()
    }

    pub(super) fn get(&self, index: usize) -> Option<(&str, FileEntry<'_>)> {
        let record = self.records.get(index)?;
        let (path_start, digests_start) = self.starts(index);
        let path = self.paths.get(path_start..record.path_end as usize)?;
        let digests = DigestsView::from_bytes(self.digests.get(digests_start..record.digests_end as usize)?)?;
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

    /// Puts a file before the one at `index`; there has to be room for it.
    pub(super) fn insert(&mut self, index: usize, path: &str, entry: FileEntry<'_>) {
        let (path_start, digests_start) = self.starts(index);
        let room = room_for(path.len(), self.len() + 1, self.paths.len());
        if self.paths.capacity() - self.paths.len() < path.len() {
            self.paths.reserve_exact(room);
        }
        self.paths.insert_str(path_start, path);
        let (path_end, digests_end) = (narrow(path_start), narrow(digests_start));
        let record = Record { size: entry.size, path_end, digests_end, mark: 0, kind: entry.kind };
        self.records.insert(index, record);
        for later in self.records.iter_mut().skip(index) {
            later.path_end += narrow(path.len());
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

    /// Gives the number that is kept with the file at `index`; 0 unless one was set.
    pub(super) fn mark(&self, index: usize) -> Option<u32> {
        self.records.get(index).map(|record| record.mark)
    }

    pub(super) fn set_mark(&mut self, index: usize, mark: u32) {
        if let Some(record) = self.records.get_mut(index) {
            record.mark = mark;
        }
    }

    fn set_digests(&mut self, index: usize, digests: DigestsView<'_>) {
        let Some(end) = self.records.get(index).map(|record| record.digests_end as usize) else { return };
        let (_, start) = self.starts(index);
        let (bytes, before) = (digests.as_bytes(), end - start);
        if bytes.len() > before + (self.digests.capacity() - self.digests.len()) {
            self.digests.reserve_exact(room_for(bytes.len(), self.len(), self.digests.len()));
        }
        self.digests.splice(start..end, bytes.iter().copied());
        for record in self.records.iter_mut().skip(index) {
            record.digests_end = record.digests_end - narrow(before) + narrow(bytes.len());
        }
    }

    /// Takes the files before `index` out into a block that is no larger than they need; the others keep the room that all
    /// of them grew in.
    pub(super) fn take_before(&mut self, index: usize) -> Self {
        let before = self.part(0..index);
        let (path_start, digests_start) = self.starts(index);
        self.paths.drain(..path_start);
        self.digests.drain(..digests_start);
        self.records.drain(..before.len());
        self.begin_at(path_start, digests_start);
        before
    }

    /// Takes the files from `index` on out, as [`Block::take_before`] does with those before it.
    pub(super) fn take_after(&mut self, index: usize) -> Self {
        let after = self.part(index..self.len());
        let (path_start, digests_start) = self.starts(index);
        self.paths.truncate(path_start);
        self.digests.truncate(digests_start);
        self.records.truncate(index);
        after
    }

    /// Gives back memory that is not used: all of it at once, since what is cut off leaves holes.
    pub(super) fn fit(&mut self) {
        *self = self.clone();
    }

    /// Gives a copy of some files in a row, which is no larger than they need.
    fn part(&self, range: Range<usize>) -> Self {
        let mut part =
            Self { records: self.records.get(range.clone()).unwrap_or_default().to_vec(), ..Self::default() };
        let (path_start, digests_start) = self.starts(range.start);
        let end = part.records.last().map(|record| (record.path_end as usize, record.digests_end as usize));
        let (path_end, digests_end) = end.unwrap_or((path_start, digests_start));
        part.paths = self.paths.get(path_start..path_end).unwrap_or_default().to_owned();
        part.digests = self.digests.get(digests_start..digests_end).unwrap_or_default().to_vec();
        part.begin_at(path_start, digests_start);
        part
    }

    /// Counts from these places on, before which all bytes are gone.
    fn begin_at(&mut self, path_start: usize, digests_start: usize) {
        for record in &mut self.records {
            record.path_end -= narrow(path_start);
            record.digests_end -= narrow(digests_start);
        }
    }

    /// Says where the path and the digests of the file at `index` begin.
    fn starts(&self, index: usize) -> (usize, usize) {
        let before = index.checked_sub(1).and_then(|before| self.records.get(before));
        before.map_or((0, 0), |record| (record.path_end as usize, record.digests_end as usize))
    }
}

/// By what part of their length the bytes of a block grow at a time: doubling would leave half of them unused.
const GROWTH: usize = 8;

/// The most bytes that are reserved for a block that has begun, before it is known what comes.
const MOST_AHEAD: usize = 32 * 1024;

/// Says how many bytes to reserve where `held` bytes have no room for `count` more: at first, as many as the block takes if
/// all its files are alike, since memory that grows bit by bit leaves holes.
fn room_for(count: usize, files: usize, held: usize) -> usize {
    let alike = if files > 1 { files } else { BLOCK_FILES };
    let ahead = if held == 0 { count.saturating_mul(alike).min(MOST_AHEAD) } else { held / GROWTH };
    count.max(ahead)
}

/// Makes a place or a length in a block half as large: all of them are far below 4 GiB, by [`LONGEST_PATH`].
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
