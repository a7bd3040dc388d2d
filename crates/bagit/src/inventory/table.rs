//! All files of a bag in the order of their paths, in little memory: blocks of some hundred files.

use std::fmt;

use super::block::{BLOCK_FILES, Block, FileEntry, LONGEST_PATH};

/// So many files may lie behind what comes in order, or before it: in a bag, tag files.
const OTHER_FILES: usize = 8;

/// Holds files in the bytewise order of their paths.
#[derive(Clone, Default)]
pub(super) struct FileTable {
    /// None of them is empty.
    blocks: Vec<Block>,
    /// For each block, how many files are before it.
    starts: Vec<usize>,
}

impl FileTable {
    pub(super) fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, Block::len);
        self.starts.last().map_or(0, |start| start + last)
    }

    pub(super) fn get(&self, position: usize) -> Option<(&str, FileEntry<'_>)> {
        let (block, index) = self.place(position)?;
        self.blocks.get(block)?.get(index)
    }

    /// Finds a path, or where it would be.
    pub(super) fn position(&self, path: &str) -> Result<usize, usize> {
        let (block, index) = self.search(path);
        let start = self.starts.get(block).copied().unwrap_or(0);
        index.map(|index| start + index).map_err(|index| start + index)
    }

    pub(super) fn iter_from(&self, position: usize) -> impl Iterator<Item = (&str, FileEntry<'_>)> {
        let (block, index) = self.place(position).unwrap_or((self.blocks.len(), 0));
        let mut blocks = self.blocks.iter().skip(block);
        let first = blocks.next().map(|block| block.iter_from(index));
        first.into_iter().flatten().chain(blocks.flat_map(|block| block.iter_from(0)))
    }

    /// Adds a file, and says whether it took the place of another one. A path of over 1 MiB is ignored.
    pub(super) fn insert(&mut self, path: &str, entry: FileEntry<'_>) -> bool {
        if path.len() > LONGEST_PATH {
            return false;
        }
        let (block, index) = self.search(path);
        match index {
            Ok(index) => {
                if let Some(block) = self.blocks.get_mut(block) {
                    block.set(index, entry);
                }
                true
            }
            Err(index) => {
                let (block, index) = self.with_room(block, index);
                if let Some(block) = self.blocks.get_mut(block) {
                    block.insert(index, path, entry);
                }
                self.starts.iter_mut().skip(block + 1).for_each(|start| *start += 1);
                false
            }
        }
    }

    /// Changes what is known of the file at a place.
    pub(super) fn set(&mut self, position: usize, entry: FileEntry<'_>) {
        let Some((block, index)) = self.place(position) else { return };
        if let Some(block) = self.blocks.get_mut(block) {
            block.set(index, entry);
        }
    }

    pub(super) fn mark(&self, position: usize) -> Option<u32> {
        let (block, index) = self.place(position)?;
        self.blocks.get(block)?.mark(index)
    }

    pub(super) fn set_mark(&mut self, path: &str, mark: u32) {
        let (block, index) = self.search(path);
        if let (Some(block), Ok(index)) = (self.blocks.get_mut(block), index) {
            block.set_mark(index, mark);
        }
    }

    /// Finds the block that has a path or would have it, and the place in it.
    fn search(&self, path: &str) -> (usize, Result<usize, usize>) {
        let begins_before = |block: &Block| block.get(0).is_some_and(|(first, _)| first <= path);
        let block = self.blocks.partition_point(begins_before).saturating_sub(1);
        (block, self.blocks.get(block).map_or(Err(0), |block| block.position(path)))
    }

    fn place(&self, position: usize) -> Option<(usize, usize)> {
        if position >= self.len() {
            return None;
        }
        let block = self.starts.partition_point(|start| *start <= position).checked_sub(1)?;
        Some((block, position - self.starts.get(block)?))
    }

    /// Makes room in a block for one more file at `index`, and says which block and place that is then.
    fn with_room(&mut self, block: usize, index: usize) -> (usize, usize) {
        let is_behind = self.blocks.get(block).is_some_and(|block| block.len() == index);
        if is_behind && self.blocks.get(block + 1).is_some_and(|next| next.len() < BLOCK_FILES) {
            // It may as well be the first of the next block, which has kept its room for what comes in order.
            return (block + 1, 0);
        }
        let Some(full) = self.blocks.get_mut(block) else {
            self.blocks.push(Block::default());
            self.starts.push(0);
            return (0, 0);
        };
        if full.len() < BLOCK_FILES {
            return (block, index);
        }
        // What comes in order, one way or the other, fills one block after the other in the same memory: what grows leaves holes.
        let (start, middle) = (self.starts.get(block).map_or(0, |start| *start), full.len() / 2);
        let at = if index <= OTHER_FILES || full.len() - index <= OTHER_FILES { index } else { middle };
        if at > middle {
            let before = full.take_before(at);
            self.blocks.insert(block, before);
        } else {
            let after = full.take_after(at);
            if at == middle {
                full.fit();
            }
            self.blocks.insert(block + 1, after);
        }
        self.starts.insert(block + 1, start + at);
        match at > middle {
            true => (block + 1, index - at),
            false if index <= at => (block, index),
            false => (block + 1, index - at),
        }
    }
}

impl PartialEq for FileTable {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter_from(0).eq(other.iter_from(0))
    }
}

impl Eq for FileTable {}

impl fmt::Debug for FileTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter_from(0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::proptest;

    use super::{Block, FileTable};
    use crate::inventory::{EntryKind, FileEntry};
    use crate::{Algorithm, AlgorithmSet, Digests};

    fn check(table: &FileTable, expected: &BTreeMap<String, (u64, Digests)>) {
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

    #[test]
    fn files_that_come_in_any_order_are_found_in_their_order() {
        let algorithms = AlgorithmSet::all();
        for step in [1_u64, 7919, 4999, 9999] {
            let (mut table, mut expected) = (FileTable::default(), BTreeMap::new());
            for number in 0..10_000 {
                let path = format!("data/{:05}", number * step % 10_000);
                let digests = if number % 3 == 0 { digests(algorithms, &path) } else { Digests::new() };
                let entry = FileEntry { size: number, digests: digests.view(), kind: EntryKind::File };
                assert!(!table.insert(&path, entry));
                expected.insert(path, (number, digests));
            }
            check(&table, &expected);
        }
    }

    #[test]
    fn what_comes_in_order_or_backwards_fills_blocks() {
        let mut table = FileTable::default();
        let paths = ["bagit.txt".to_owned(), "manifest-md5.txt".to_owned(), "tagmanifest-md5.txt".to_owned()];
        let payload = (0..10_000).map(|number| format!("data/{number:05}"));
        for path in paths.into_iter().chain(payload.clone()) {
            table.insert(&path, FileEntry::default());
        }
        assert!(table.blocks.len() <= 42, "{} blocks", table.blocks.len());
        let mut table = FileTable::default();
        payload.rev().for_each(|path| _ = table.insert(&path, FileEntry::default()));
        assert!(table.blocks.len() <= 42, "{} blocks", table.blocks.len());
    }

    #[test]
    fn memory_stays_near_what_the_files_need() {
        // As directories come from file systems: sorted or not, their files sorted or not.
        for (step, backwards) in [(1_u32, false), (1, true), (4_999, false), (4_999, true), (1_237, true)] {
            let (mut table, mut needed) = (FileTable::default(), 0);
            for directory in (0..5_000).map(|number| number * step % 5_000) {
                for file in 0..20 {
                    let file = if backwards { 19 - file } else { file };
                    let path = format!("data/stations/{directory:04}/season-1/{file:07}_Temp.csv");
                    table.insert(&path, FileEntry::default());
                    needed += path.len() + 24;
                }
            }
            let digests = Digests::of([Algorithm::Md5, Algorithm::Sha256].into_iter().collect(), b"");
            for position in 0..table.len() {
                let entry = FileEntry { digests: digests.view(), ..FileEntry::default() };
                table.set(position, entry);
                needed += 49;
            }
            let held: usize = table.blocks.iter().map(Block::capacity).sum();
            assert!(held < needed + needed / 6, "{held} bytes for {needed}, {step} {backwards}");
        }
    }

    proptest! {
        #[test]
        fn a_table_does_what_a_map_does(changes in vec((0_u8..3, 0_usize..700, 0_u64..9), 0..900)) {
            let (mut table, mut expected) = (FileTable::default(), BTreeMap::<String, (u64, Digests)>::new());
            for (what, number, size) in changes {
                let path = "x".repeat(number % 5) + &number.to_string();
                let digests = if size % 2 == 0 { Digests::new() } else { digests(AlgorithmSet::all(), &path) };
                let entry = FileEntry { size, digests: digests.view(), kind: EntryKind::File };
                if what == 0 {
                    if let Some((path, held)) = expected.iter_mut().nth(number) {
                        *held = (size, digests.clone());
                        let position = table.position(path).unwrap();
                        table.set(position, entry);
                    }
                } else {
                    let replaced = table.insert(&path, entry);
                    assert_eq!(replaced, expected.insert(path, (size, digests)).is_some());
                }
            }
            check(&table, &expected);
        }
    }
}
