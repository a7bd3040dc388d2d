//! Names that a file system may take for one.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Returns a path in Unicode normalisation form C. Paths that differ only in normalisation become equal.
#[must_use]
pub fn normalised(path: &str) -> Cow<'_, str> {
    if is_nfc_quick(path.chars()) == IsNormalized::Yes {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(path.nfc().collect())
    }
}

/// Returns a form that is equal for paths that differ only in case or Unicode normalisation.
///
/// A file system that ignores case or normalises, such as those of macOS and Windows, may take such paths for one.
///
/// ```
/// assert_eq!(safe_files::folded("data/A\u{308}.CSV"), safe_files::folded("DATA/ä.csv"));
/// ```
#[must_use]
pub fn folded(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    // Upper case first: it joins letters that share one upper case, such as σ and ς, s and ſ.
    path.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// Returns the names that fold to the same as another name, each with its folded form, sorted by both.
///
/// A few names that fold like no other may be among them. Names may repeat. `names` is called two times. Only hashes of all folded
/// names are held in memory, so a million names need 8 MB.
pub fn same_when_folded<'a, I: Iterator<Item = &'a str>>(names: impl Fn() -> I) -> Vec<(String, &'a str)> {
    let random = RandomState::new();
    let hash = |name: &str| random.hash_one(folded(name));
    let mut hashes: Vec<u64> = names().map(hash).collect();
    hashes.sort_unstable();
    let groups = hashes.chunk_by(|left, right| left == right);
    let repeated: Vec<u64> = groups.filter_map(|group| group.get(1).copied()).collect();
    if repeated.is_empty() {
        return Vec::new();
    }
    let suspects = names().filter(|name| repeated.binary_search(&hash(name)).is_ok());
    let mut suspects: Vec<(String, &str)> = suspects.map(|name| (folded(name), name)).collect();
    suspects.sort_unstable();
    suspects
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use unicode_normalization::UnicodeNormalization;

    use super::{folded, normalised, same_when_folded};

    #[test]
    fn folding_joins_case_and_normalisation() {
        assert_eq!(normalised("Nu\u{301}n\u{303}ez"), "N\u{fa}\u{f1}ez");
        assert_eq!(folded("NU\u{301}X"), folded("n\u{fa}x"));
        assert_eq!(folded("ΟΔΟΣ"), folded("οδος"));
        assert_eq!(folded("ſ"), folded("S"));
        assert_ne!(folded("a"), folded("b"));
    }

    #[test]
    fn names_that_fold_alike_are_found() {
        let names = ["b", "A", "c", "a", "N\u{fa}", "nu\u{301}"];
        let found: Vec<&str> =
            same_when_folded(|| names.iter().copied()).into_iter().map(|(_, name)| name).collect();
        assert_eq!(found, ["A", "a", "N\u{fa}", "nu\u{301}"]);
        assert!(same_when_folded(|| ["a", "b"].into_iter()).is_empty());
    }

    proptest! {
        #[test]
        fn normalisation_never_changes_the_folded_form(path in any::<String>()) {
            let decomposed: String = path.nfd().collect();
            assert_eq!(folded(&path), folded(&decomposed));
            assert_eq!(normalised(&path), normalised(&decomposed));
        }
    }
}
