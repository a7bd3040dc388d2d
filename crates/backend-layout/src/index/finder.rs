//! Finding entries by what they say.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Positions of entries in the order of the hashes of a text that they have: eight bytes for each, where a map would keep a copy of
/// the text.
#[derive(Debug, Default)]
pub(super) struct Finder {
    hasher: RandomState,
    keys: Vec<(u32, u32)>,
}

impl Finder {
    /// Returns a finder for positions with their texts.
    pub(super) fn new<'a>(texts: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let hasher = RandomState::new();
        let key = |(position, text)| Some((hash(&hasher, text), u32::try_from(position).ok()?));
        let mut keys: Vec<_> = texts.filter_map(key).collect();
        keys.shrink_to_fit();
        keys.sort_unstable();
        Self { hasher, keys }
    }

    /// Returns the positions of all that have the text, in order, and perhaps of a few that do not.
    pub(super) fn candidates(&self, text: &str) -> impl DoubleEndedIterator<Item = usize> {
        let hash = hash(&self.hasher, text);
        let first = self.keys.partition_point(|(key, _)| *key < hash);
        let rest = self.keys.get(first..).unwrap_or_default();
        let count = rest.partition_point(|(key, _)| *key == hash);
        let found = rest.get(..count).unwrap_or_default();
        found.iter().filter_map(|(_, position)| usize::try_from(*position).ok())
    }
}

/// Half of a hash is enough: a false candidate costs a comparison.
fn hash(hasher: &RandomState, text: &str) -> u32 {
    let [a, b, c, d, ..] = hasher.hash_one(text).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_have_a_text_are_found_in_order() {
        let finder = Finder::new(["a", "b", "a", "c", "a"].into_iter().enumerate());
        assert_eq!(finder.candidates("a").filter(|position| *position != 1).collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(Finder::default().candidates("a").count(), 0);
    }
}
