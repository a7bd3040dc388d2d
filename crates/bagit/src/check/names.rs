//! The names of all files and directories: which escape, clash, are not portable, or do not belong.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Checker;
use crate::fault::FaultCode;
use crate::path::{escape_reason, folded, is_system_file, normalised, portability_reason};

impl Checker<'_> {
    pub(super) fn names(&mut self) {
        let inventory = self.inventory;
        for (path, _) in inventory.files() {
            if let Some(reason) = escape_reason(path) {
                let message = format!("the path could leave the bag: {reason}");
                self.fault(FaultCode::PathEscapes, Some(path), message);
            }
            if let Some(reason) = portability_reason(path) {
                let message = format!("the path does not work everywhere: {reason}");
                self.fault(FaultCode::NameNotPortable, Some(path), message);
            }
            if path.starts_with("data/") && is_system_file(path) {
                self.fault(FaultCode::SystemFile, Some(path), "the file belongs to an operating system");
            }
            if let Some(directory) = path.strip_suffix("/bagit.txt").filter(|path| path.starts_with("data")) {
                self.fault(
                    FaultCode::NestedBag,
                    Some(directory),
                    "the payload holds another bag, which is not checked",
                );
            }
        }
        self.clashing_names();
        self.empty_directories();
    }

    fn empty_directories(&mut self) {
        let inventory = self.inventory;
        let payload = inventory.directories().filter(|path| path.starts_with("data/"));
        for directory in payload.filter(|path| !inventory.has_anything_under(path)) {
            let message = "a bag cannot represent an empty directory; it may get lost";
            self.fault(FaultCode::EmptyDirectory, Some(directory), message);
        }
    }

    /// Reports names that are one on a file system that folds case or normalises.
    fn clashing_names(&mut self) {
        let inventory = self.inventory;
        let missing = std::mem::take(&mut self.missing);
        let listed = || missing.iter().map(String::as_str);
        let all = || inventory.files().map(|(path, _)| path).chain(inventory.directories()).chain(listed());
        // Hashes instead of the folded names keep a million files cheap; equal hashes are looked at again.
        let mut hashes: Vec<u64> = all().map(fold_hash).collect();
        hashes.sort_unstable();
        let repeated: BTreeSet<u64> = hashes
            .windows(2)
            .filter_map(|pair| (pair.first() == pair.last()).then(|| pair.first().copied())?)
            .collect();
        if repeated.is_empty() {
            return;
        }
        let mut suspects: Vec<(String, &str)> = all()
            .filter(|path| repeated.contains(&fold_hash(path)))
            .map(|path| (folded(path), path))
            .collect();
        suspects.sort_unstable();
        for pair in suspects.windows(2) {
            let [(first_fold, first), (second_fold, second)] = pair else { continue };
            // Below directories that clash, only the directories are reported.
            let above =
                |path: &str| path.rsplit_once('/').map_or(String::new(), |(above, _)| above.to_owned());
            if first_fold != second_fold || above(first) != above(second) {
                continue;
            }
            let (code, what) = if normalised(first) == normalised(second) {
                (FaultCode::NamesDifferInNormalisation, "Unicode normalisation")
            } else {
                (FaultCode::NamesDifferInCase, "case")
            };
            self.fault(code, Some(second), format!("the name differs from {first:?} only in {what}"));
        }
    }
}

fn fold_hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    folded(path).hash(&mut hasher);
    hasher.finish()
}
