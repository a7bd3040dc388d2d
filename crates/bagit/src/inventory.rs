//! The files and directories of a bag: the only input of the rules besides the tag files.

use std::collections::BTreeSet;
use std::fmt;

use multi_digest::{Digests, DigestsView};
use safe_files::{ancestors, is_below};

use crate::fault::{Fault, FaultCode};
use crate::report::Faults;

/// The kind of an entry of a bag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A file whose bytes were read.
    #[default]
    File,
    /// A file whose bytes could not be read. An observation gives the reason.
    Unreadable,
    /// A link, device, FIFO or socket. An observation says which.
    NotAFile,
}

/// Describes one file of a bag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// The size in bytes.
    pub size: u64,
    /// The digests of the bytes.
    pub digests: DigestsView<'a>,
    /// Whether the bytes could be read.
    pub kind: EntryKind,
}

/// Lists the files and directories of one bag by bag-relative path, with `/` between the components.
///
/// The front ends of this crate fill it. A program that moves a bag's bytes in another way fills it too, and gives it to
/// [`crate::check()`]. Paths are taken as they are, and the check reports the unsafe ones.
///
/// It holds millions of files: each takes about 30 bytes besides the bytes of its path and digests. All paths together, and all digests
/// together, have at most 4 GiB, and one path at most 64 KiB. An entry beyond these bounds becomes an error in the observations.
///
/// ```
/// use bagit::{Digests, Inventory};
///
/// let mut inventory = Inventory::new();
/// inventory.insert_file("data/plots/b.csv", 12, Digests::new());
/// inventory.insert_file("bagit.txt", 55, Digests::new());
/// assert!(inventory.files().map(|(path, _)| path).eq(["bagit.txt", "data/plots/b.csv"]));
/// assert!(inventory.directories().eq(["data", "data/plots"]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    files: SortedArena,
    /// The added directories. Those above a file or another directory need not be among them.
    directories: BTreeSet<Box<str>>,
    observations: Faults,
}

impl Inventory {
    /// Returns an empty inventory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file that was read, and the directories above it. Returns whether it replaced another entry.
    pub fn insert_file(&mut self, path: &str, size: u64, digests: Digests) -> bool {
        self.insert(path, FileEntry { size, digests: digests.view(), kind: EntryKind::File })
    }

    /// Adds a file that could not be read. The caller adds an observation with the reason.
    pub fn insert_unreadable(&mut self, path: &str, size: u64) -> bool {
        self.insert(path, FileEntry { size, digests: DigestsView::default(), kind: EntryKind::Unreadable })
    }

    /// Adds something that is not a file. The caller adds an observation that says what it is.
    pub fn insert_not_a_file(&mut self, path: &str) -> bool {
        self.insert(path, FileEntry { size: 0, digests: DigestsView::default(), kind: EntryKind::NotAFile })
    }

    /// Adds an entry, such as one of another inventory. Returns whether it replaced another entry.
    pub fn insert(&mut self, path: &str, entry: FileEntry<'_>) -> bool {
        match self.files.insert(path, entry) {
            Ok(replaced) => replaced,
            Err(OutOfBounds) => {
                let message = "the path is too long, or all paths together are, so the file is not checked";
                self.observe(Fault::new(FaultCode::UnreadableFile, Some(path), message));
                false
            }
        }
    }

    /// Adds a directory, and those above it.
    pub fn insert_directory(&mut self, path: &str) {
        if !path.is_empty() && !self.directories.contains(path) {
            self.directories.insert(path.into());
        }
    }

    /// Adds a fault that was found while the inventory was taken. The check adds it to its report.
    pub fn observe(&mut self, fault: Fault) {
        self.observations.push(fault);
    }

    /// Adds the observations of another inventory.
    pub(crate) fn observe_all(&mut self, faults: &Faults) {
        self.observations.append(faults, |fault| fault);
    }

    /// Returns the entry at a path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<FileEntry<'_>> {
        self.get(self.position(path)?).map(|(_, entry)| entry)
    }

    /// Returns the position of a path in the bytewise order of all files, from 0.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<usize> {
        self.files.position(path).ok()
    }

    /// Returns the number of files whose paths come before this one in bytewise order.
    #[must_use]
    pub fn count_before(&self, path: &str) -> usize {
        self.files.position(path).unwrap_or_else(|position| position)
    }

    /// Returns the file at a position in the bytewise order of all files.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<(&str, FileEntry<'_>)> {
        self.files.get(position)
    }

    /// Returns the number that [`Inventory::set_mark`] set for the file at a position, or 0.
    pub(crate) fn mark(&self, position: usize) -> u32 {
        self.files.record(position).map(|record| record.mark).unwrap_or_default()
    }

    /// Keeps a number of the caller's with a file.
    pub(crate) fn set_mark(&mut self, position: usize, mark: u32) {
        if let Some(record) = self.files.record_mut(position) {
            record.mark = mark;
        }
    }

    /// Changes size, digests and kind of the file at a position. An unknown position is ignored.
    pub(crate) fn set(&mut self, position: usize, entry: FileEntry<'_>) {
        if self.files.set(position, entry).is_err() {
            let message = "the digests of all files are too long, so the file is not checked";
            let path = self.files.get(position).map(|(path, _)| path.to_owned());
            self.observe(Fault::new(FaultCode::UnreadableFile, path.as_deref(), message));
        }
    }

    /// Iterates over all files in bytewise order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        self.files.iter_from(0)
    }

    /// Iterates over the files from a position on, in bytewise order of their paths.
    pub fn files_from(&self, position: usize) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        self.files.iter_from(position)
    }

    /// Iterates over the files under `data/` in bytewise order of their paths.
    pub fn payload(&self) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        self.under("data/")
    }

    /// Iterates over the files whose path begins with `prefix`, in bytewise order.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, FileEntry<'a>)> {
        self.files_from(self.count_before(prefix)).take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// Says whether the path is a directory.
    #[must_use]
    pub fn has_directory(&self, path: &str) -> bool {
        !path.is_empty() && (self.directories.contains(path) || self.has_anything_under(path))
    }

    /// Iterates over all directories in bytewise order of their paths.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        let (mut all, mut previous) = (Vec::new(), "");
        for path in self.files().map(|(path, _)| path).chain(self.added_directories()) {
            // The files of a directory come nearly in a row, so this skips most repeats.
            all.extend(ancestors(path).filter(|directory| !is_below(previous, directory)));
            previous = path;
        }
        all.extend(self.added_directories());
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// Iterates over the directories that were added, without those that only a file implies, in bytewise order.
    pub fn added_directories(&self) -> impl Iterator<Item = &str> {
        self.directories.iter().map(|path| &**path)
    }

    /// Says whether a file or directory lies below the directory.
    #[must_use]
    pub fn has_anything_under(&self, directory: &str) -> bool {
        let inside = format!("{directory}/");
        let from = (std::ops::Bound::Included(inside.as_str()), std::ops::Bound::Unbounded);
        let next_directory = self.directories.range::<str, _>(from).next();
        self.under(&inside).next().is_some() || next_directory.is_some_and(|path| path.starts_with(&inside))
    }

    /// Returns the faults that were found while the inventory was taken.
    #[must_use]
    pub fn observations(&self) -> &Faults {
        &self.observations
    }

    /// Returns the number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Says whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.len() == 0
    }
}

/// The longest path that an inventory holds, in bytes.
#[cfg(any(feature = "tar", feature = "zip", test))]
pub(crate) const LONGEST_PATH: usize = u16::MAX as usize;

/// Holds files sorted by path: two arenas for the bytes of paths and digests, and fixed-size records that refer to them.
///
/// The records are in blocks of a few hundred, so that an insertion moves a few kilobytes and not all records. The arenas only grow at their
/// end.
#[derive(Clone, Default)]
struct SortedArena {
    paths: String,
    digests: Vec<u8>,
    /// No block is empty.
    blocks: Vec<Vec<Record>>,
    /// For each block, the number of records before it.
    starts: Vec<usize>,
}

/// Refers to the path and digests of one file. It has 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Record {
    size: u64,
    path_start: u32,
    digests_start: u32,
    mark: u32,
    path_length: u16,
    digests_length: u8,
    kind: EntryKind,
}

/// Reports an entry for which an arena has no room.
#[derive(Debug, PartialEq, Eq)]
struct OutOfBounds;

const RECORDS_PER_BLOCK: usize = 256;

/// So many files may sort behind or before the files that come in order. In a bag, these are the tag files.
const OTHER_FILES: usize = 8;

impl SortedArena {
    fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, Vec::len);
        self.starts.last().map_or(0, |start| start + last)
    }

    fn get(&self, position: usize) -> Option<(&str, FileEntry<'_>)> {
        self.record(position).map(|record| self.file(record))
    }

    fn record(&self, position: usize) -> Option<&Record> {
        let (block, index) = self.block_of(position)?;
        self.blocks.get(block)?.get(index)
    }

    fn record_mut(&mut self, position: usize) -> Option<&mut Record> {
        let (block, index) = self.block_of(position)?;
        self.blocks.get_mut(block)?.get_mut(index)
    }

    fn file(&self, record: &Record) -> (&str, FileEntry<'_>) {
        let start = record.digests_start as usize;
        let bytes = self.digests.get(start..start + usize::from(record.digests_length));
        let digests = bytes.and_then(DigestsView::from_bytes).unwrap_or_default();
        (self.path(record), FileEntry { size: record.size, digests, kind: record.kind })
    }

    fn path(&self, record: &Record) -> &str {
        let start = record.path_start as usize;
        self.paths.get(start..start + usize::from(record.path_length)).unwrap_or_default()
    }

    /// Finds a path, or the position where it would be.
    fn position(&self, path: &str) -> Result<usize, usize> {
        let (block, index) = self.search(path);
        let start = self.starts.get(block).copied().unwrap_or(0);
        index.map(|index| start + index).map_err(|index| start + index)
    }

    fn iter_from(&self, position: usize) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        let (block, index) = self.block_of(position).unwrap_or((self.blocks.len(), 0));
        let records = self.blocks.iter().skip(block).flatten().skip(index);
        records.map(|record| self.file(record))
    }

    /// Adds a file, and says whether it replaced another one.
    fn insert(&mut self, path: &str, entry: FileEntry<'_>) -> Result<bool, OutOfBounds> {
        let (block, index) = self.search(path);
        if let Ok(index) = index {
            let start = self.starts.get(block).copied().unwrap_or(0);
            return self.set(start + index, entry).map(|()| true);
        }
        let path_length = u16::try_from(path.len()).map_err(|_| OutOfBounds)?;
        let path_start = u32::try_from(self.paths.len()).map_err(|_| OutOfBounds)?;
        let (digests_start, digests_length) = self.add_digests(entry.digests)?;
        reserve_little(path.len(), self.paths.capacity(), self.paths.len(), |room| {
            self.paths.reserve_exact(room)
        });
        self.paths.push_str(path);
        let Err(index) = index else { return Ok(true) };
        let (size, kind) = (entry.size, entry.kind);
        let record = Record { size, path_start, digests_start, mark: 0, path_length, digests_length, kind };
        self.insert_record(block, index, record);
        Ok(false)
    }

    /// Changes size, digests and kind of the file at a position.
    fn set(&mut self, position: usize, entry: FileEntry<'_>) -> Result<(), OutOfBounds> {
        let Some(held) = self.record(position).copied() else { return Ok(()) };
        let bytes = entry.digests.as_bytes();
        let start = held.digests_start as usize;
        let place = self.digests.get_mut(start..start + usize::from(held.digests_length));
        // New digests of the same length take the place of the old ones.
        let (digests_start, digests_length) = match place.filter(|place| place.len() == bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                (held.digests_start, held.digests_length)
            }
            None => self.add_digests(entry.digests)?,
        };
        if let Some(record) = self.record_mut(position) {
            *record = Record { size: entry.size, digests_start, digests_length, kind: entry.kind, ..held };
        }
        Ok(())
    }

    fn add_digests(&mut self, digests: DigestsView<'_>) -> Result<(u32, u8), OutOfBounds> {
        let bytes = digests.as_bytes();
        let start = u32::try_from(self.digests.len()).map_err(|_| OutOfBounds)?;
        let length = u8::try_from(bytes.len()).map_err(|_| OutOfBounds)?;
        reserve_little(bytes.len(), self.digests.capacity(), self.digests.len(), |room| {
            self.digests.reserve_exact(room);
        });
        self.digests.extend_from_slice(bytes);
        Ok((start, length))
    }

    /// Finds the block that holds a path or would hold it, and the index in it.
    fn search(&self, path: &str) -> (usize, Result<usize, usize>) {
        let begins_before = |block: &Vec<Record>| block.first().is_some_and(|first| self.path(first) <= path);
        let block = self.blocks.partition_point(begins_before).saturating_sub(1);
        let find = |block: &Vec<Record>| block.binary_search_by(|record| self.path(record).cmp(path));
        (block, self.blocks.get(block).map_or(Err(0), find))
    }

    fn block_of(&self, position: usize) -> Option<(usize, usize)> {
        if position >= self.len() {
            return None;
        }
        let block = self.starts.partition_point(|start| *start <= position).checked_sub(1)?;
        Some((block, position - self.starts.get(block)?))
    }

    fn insert_record(&mut self, block: usize, index: usize, record: Record) {
        let (block, index) = self.with_room(block, index);
        if let Some(records) = self.blocks.get_mut(block) {
            if records.len() == records.capacity() {
                let room = RECORDS_PER_BLOCK.saturating_sub(records.len());
                records.reserve_exact(room.min(records.len() / 4 + 8));
            }
            records.insert(index, record);
        }
        self.starts.iter_mut().skip(block + 1).for_each(|start| *start += 1);
    }

    /// Makes room for one more record at an index of a block, and returns the block and index that it has then.
    fn with_room(&mut self, block: usize, index: usize) -> (usize, usize) {
        let Some(full) = self.blocks.get_mut(block) else {
            self.blocks.push(Vec::with_capacity(RECORDS_PER_BLOCK));
            self.starts.push(0);
            return (0, 0);
        };
        if full.len() < RECORDS_PER_BLOCK {
            return (block, index);
        }
        let is_behind = full.len() == index;
        if is_behind && self.blocks.get(block + 1).is_some_and(|next| next.len() < RECORDS_PER_BLOCK) {
            return (block + 1, 0);
        }
        let Some(full) = self.blocks.get_mut(block) else { return (block, index) };
        // Files that come in order, forwards or backwards, fill one block after the other. Others split a block in halves.
        let near_an_end = index <= OTHER_FILES || full.len() - index <= OTHER_FILES;
        let at = if near_an_end { index } else { full.len() / 2 };
        let mut after = full.split_off(at);
        full.shrink_to_fit();
        after.shrink_to_fit();
        let start = self.starts.get(block).copied().unwrap_or(0);
        if full.is_empty() {
            full.reserve_exact(RECORDS_PER_BLOCK);
            self.blocks.insert(block + 1, after);
            self.starts.insert(block + 1, start);
            return (block, 0);
        }
        if after.is_empty() {
            after.reserve_exact(RECORDS_PER_BLOCK);
        }
        self.blocks.insert(block + 1, after);
        self.starts.insert(block + 1, start + at);
        if index < at || (index == at && at < RECORDS_PER_BLOCK / 2) {
            (block, index)
        } else {
            (block + 1, index - at)
        }
    }
}

/// Grows an arena by an eighth at a time. Doubling would leave half of the memory unused.
fn reserve_little(wanted: usize, capacity: usize, length: usize, reserve: impl FnOnce(usize)) {
    const LEAST: usize = 4096;
    if capacity - length < wanted {
        reserve(wanted.max(length / 8).max(LEAST));
    }
}

impl PartialEq for SortedArena {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter_from(0).eq(other.iter_from(0))
    }
}

impl Eq for SortedArena {}

impl fmt::Debug for SortedArena {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter_from(0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use multi_digest::{Algorithm, AlgorithmSet, Digests};
    use proptest::collection::vec;
    use proptest::prelude::proptest;

    use super::{EntryKind, FileEntry, Inventory, LONGEST_PATH, Record, SortedArena};
    use crate::fault::FaultCode;

    fn check(table: &SortedArena, expected: &BTreeMap<String, (u64, Digests)>) {
        assert_eq!(table.len(), expected.len());
        let all = || table.iter_from(0).map(|(path, entry)| (path, entry.size, entry.digests.to_digests()));
        assert!(all().eq(expected.iter().map(|(path, (size, digests))| (&**path, *size, digests.clone()))));
        for (position, (path, size, _)) in all().enumerate() {
            assert_eq!(table.position(path), Ok(position));
            assert_eq!(table.get(position).map(|(path, entry)| (path, entry.size)), Some((path, size)));
        }
        assert!(table.get(expected.len()).is_none());
        for from in [0, 1, expected.len() / 2, expected.len(), expected.len() + 1] {
            assert_eq!(table.iter_from(from).count(), expected.len().saturating_sub(from));
        }
    }

    fn digests(of: AlgorithmSet, bytes: &str) -> Digests {
        Digests::of(of, bytes.as_bytes())
    }

    fn insert(table: &mut SortedArena, path: &str, entry: FileEntry<'_>) -> bool {
        table.insert(path, entry).expect("there is room")
    }

    #[test]
    fn files_that_come_in_any_order_are_found_in_their_order() {
        let algorithms = AlgorithmSet::all();
        for step in [1_u64, 7919, 4999, 9999] {
            let (mut table, mut expected) = (SortedArena::default(), BTreeMap::new());
            for number in 0..10_000 {
                let path = format!("data/{:05}", number * step % 10_000);
                let digests = if number % 3 == 0 { digests(algorithms, &path) } else { Digests::new() };
                let entry = FileEntry { size: number, digests: digests.view(), kind: EntryKind::File };
                assert!(!insert(&mut table, &path, entry));
                expected.insert(path, (number, digests));
            }
            check(&table, &expected);
        }
    }

    #[test]
    fn what_comes_in_order_or_backwards_fills_blocks() {
        let mut table = SortedArena::default();
        let paths = ["bagit.txt".to_owned(), "manifest-md5.txt".to_owned(), "tagmanifest-md5.txt".to_owned()];
        let payload = (0..10_000).map(|number| format!("data/{number:05}"));
        for path in paths.into_iter().chain(payload.clone()) {
            insert(&mut table, &path, FileEntry::default());
        }
        assert!(table.blocks.len() <= 42, "{} blocks", table.blocks.len());
        let mut table = SortedArena::default();
        payload.rev().for_each(|path| _ = insert(&mut table, &path, FileEntry::default()));
        assert!(table.blocks.len() <= 42, "{} blocks", table.blocks.len());
    }

    #[test]
    fn memory_stays_near_what_the_files_need() {
        // As directories come from file systems: sorted or not, their files sorted or not.
        for (step, backwards) in [(1_u32, false), (1, true), (4_999, false), (4_999, true), (1_237, true)] {
            let (mut table, mut needed) = (SortedArena::default(), 0);
            for directory in (0..5_000).map(|number| number * step % 5_000) {
                for file in 0..20 {
                    let file = if backwards { 19 - file } else { file };
                    let path = format!("data/stations/{directory:04}/season-1/{file:07}_Temp.csv");
                    insert(&mut table, &path, FileEntry::default());
                    needed += path.len() + 24;
                }
            }
            let digests = Digests::of([Algorithm::Md5, Algorithm::Sha256].into_iter().collect(), b"");
            for position in 0..table.len() {
                let entry = FileEntry { digests: digests.view(), ..FileEntry::default() };
                table.set(position, entry).expect("there is room");
                needed += 49;
            }
            let records: usize = table.blocks.iter().map(|block| 24 * block.capacity()).sum();
            let held = table.paths.capacity() + table.digests.capacity() + records;
            assert!(held < needed + needed / 6, "{held} bytes for {needed}, {step} {backwards}");
        }
        assert_eq!(size_of::<Record>(), 24);
    }

    #[test]
    fn a_path_that_is_too_long_is_reported() {
        let mut inventory = Inventory::new();
        assert!(!inventory.insert_file(&"x".repeat(LONGEST_PATH), 1, Digests::new()));
        assert_eq!((inventory.len(), inventory.observations().count()), (1, 0));
        assert!(!inventory.insert_file(&"x".repeat(LONGEST_PATH + 1), 1, Digests::new()));
        let codes: Vec<_> = inventory.observations().kept().iter().map(|fault| fault.code).collect();
        assert_eq!((inventory.len(), codes), (1, vec![FaultCode::UnreadableFile]));
    }

    #[test]
    fn directories_above_a_file_are_known() {
        let mut inventory = Inventory::new();
        inventory.insert_file("data/a/b/c.csv", 1, Digests::new());
        inventory.insert_directory("data/a/empty");
        let directories: Vec<&str> = inventory.directories().collect();
        assert_eq!(directories, ["data", "data/a", "data/a/b", "data/a/empty"]);
        inventory.insert_directory("data/a b");
        assert!(inventory.has_anything_under("data/a") && !inventory.has_anything_under("data/a/empty"));
        assert_eq!(inventory.payload().count(), 1);
        assert_eq!(inventory.under("data/a/e").count(), 0);
    }

    proptest! {
        #[test]
        fn a_table_does_what_a_map_does(changes in vec((0_u8..3, 0_usize..700, 0_u64..9), 0..900)) {
            let (mut table, mut expected) = (SortedArena::default(), BTreeMap::<String, (u64, Digests)>::new());
            for (what, number, size) in changes {
                let path = "x".repeat(number % 5) + &number.to_string();
                let digests = if size % 2 == 0 { Digests::new() } else { digests(AlgorithmSet::all(), &path) };
                let entry = FileEntry { size, digests: digests.view(), kind: EntryKind::File };
                if what == 0 {
                    if let Some((path, held)) = expected.iter_mut().nth(number) {
                        *held = (size, digests.clone());
                        let position = table.position(path).unwrap();
                        table.set(position, entry).unwrap();
                    }
                } else {
                    let replaced = insert(&mut table, &path, entry);
                    assert_eq!(replaced, expected.insert(path, (size, digests)).is_some());
                }
            }
            check(&table, &expected);
        }
    }
}
