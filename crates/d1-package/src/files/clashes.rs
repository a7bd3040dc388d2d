//! Names that some file systems take for one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use bagit::path::{ancestors, folded, is_below};

use super::PackageFiles;

/// Two paths that some file systems take for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameClash {
    /// The one that comes first.
    pub first: Box<str>,
    /// The other.
    pub second: Box<str>,
}

impl PackageFiles {
    /// Returns the paths, directories included, that differ by case or Unicode normalisation alone: some file systems
    /// take them for one.
    #[must_use]
    pub fn name_clashes(&self) -> Vec<NameClash> {
        let hashes = RandomState::new();
        let hash = |node: &str| hashes.hash_one(folded(node));
        // Hashes stand for the folded paths, which would take as much memory as the paths again.
        let mut seen: Vec<u64> = Vec::with_capacity(self.len());
        self.for_each_node(|node| seen.push(hash(node)));
        seen.sort_unstable();
        seen = seen.chunk_by(|left, right| left == right).filter_map(|group| group.get(1).copied()).collect();
        let mut nodes: Vec<(u64, &str)> = Vec::new();
        if !seen.is_empty() {
            self.for_each_node(|node| {
                let hash = hash(node);
                nodes.extend(seen.binary_search(&hash).is_ok().then_some((hash, node)));
            });
        }
        nodes.sort_unstable();
        nodes.dedup();
        let mut clashes = Vec::new();
        for group in nodes.chunk_by(|left, right| left.0 == right.0) {
            let Some(((_, first), others)) = group.split_first() else { continue };
            let same = others.iter().filter(|(_, other)| folded(other) == folded(first));
            clashes
                .extend(same.map(|(_, other)| NameClash { first: (*first).into(), second: (*other).into() }));
        }
        clashes.sort_by(|left, right| left.first.cmp(&right.first));
        clashes
    }

    /// Walks the paths and the directories that lead to them; a directory may come again.
    fn for_each_node<'a>(&'a self, mut take: impl FnMut(&'a str)) {
        let mut previous = "";
        for path in self.paths() {
            // All that is below a directory comes in a row, so most repeats are seen at once.
            ancestors(path).chain([path]).filter(|node| !is_below(previous, node)).for_each(&mut take);
            previous = path;
        }
    }
}
