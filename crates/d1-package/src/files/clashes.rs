//! Names that some file systems take for one.

use safe_files::{ancestors, is_below, same_when_folded};

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
        let mut nodes = same_when_folded(|| self.nodes());
        nodes.dedup();
        let mut clashes = Vec::new();
        for group in nodes.chunk_by(|left, right| left.0 == right.0) {
            let Some(((_, first), others)) = group.split_first() else { continue };
            let clash = |other: &str| NameClash { first: (*first).into(), second: other.into() };
            clashes.extend(others.iter().map(|(_, other)| clash(other)));
        }
        clashes.sort_by(|left, right| left.first.cmp(&right.first));
        clashes
    }

    /// Returns the paths and the directories that lead to them; a directory may come again.
    fn nodes(&self) -> impl Iterator<Item = &str> {
        let mut previous = "";
        self.paths().flat_map(move |path| {
            // All that is below a directory comes in a row, so most repeats are seen at once.
            let before = std::mem::replace(&mut previous, path);
            ancestors(path).chain([path]).filter(move |node| !is_below(before, node))
        })
    }
}
