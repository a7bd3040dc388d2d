//! The names of all files and directories: which escape, clash, are not portable, or do not belong.

use safe_files::{leaves, normalised, portability_fault, same_when_folded};

use crate::fault::{Fault, FaultCode};
use crate::inventory::Inventory;
use crate::path::is_system_file;

/// Judges every name of an inventory, and `missing` names that clash with one of them.
pub(crate) fn name_faults(inventory: &Inventory, missing: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, _) in inventory.files() {
        faults.extend(single_name(path));
    }
    let directories: Vec<&str> = inventory.directories().collect();
    clashing_names(inventory, &directories, missing, &mut faults);
    let payload = directories.into_iter().filter(|path| path.starts_with("data/"));
    for directory in payload.filter(|path| !inventory.has_anything_under(path)) {
        let message = "a bag cannot represent an empty directory; it may get lost";
        faults.push(Fault::new(FaultCode::EmptyDirectory, Some(directory), message));
    }
    faults
}

fn single_name(path: &str) -> impl Iterator<Item = Fault> {
    let escape = leaves(path).map(|reason| {
        let message = format!("the path could leave the bag: {reason}");
        Fault::new(FaultCode::PathEscapes, Some(path), message)
    });
    let not_portable = portability_fault(path).map(|reason| {
        let message = format!("the path does not work everywhere: {reason}");
        Fault::new(FaultCode::NameNotPortable, Some(path), message)
    });
    let in_payload = path.starts_with("data/");
    let system = (in_payload && is_system_file(path))
        .then(|| Fault::new(FaultCode::SystemFile, Some(path), "the file belongs to an operating system"));
    let nested = path.strip_suffix("/bagit.txt").filter(|_| in_payload).map(|directory| {
        let message = "the payload holds another bag, which is not checked";
        Fault::new(FaultCode::NestedBag, Some(directory), message)
    });
    [escape, not_portable, system, nested].into_iter().flatten()
}

/// Reports names that are one on a file system that folds case or normalises.
fn clashing_names(inventory: &Inventory, directories: &[&str], missing: &[String], faults: &mut Vec<Fault>) {
    let listed = || missing.iter().map(String::as_str);
    let all = || inventory.files().map(|(path, _)| path).chain(directories.iter().copied()).chain(listed());
    let suspects = same_when_folded(all);
    for pair in suspects.windows(2) {
        let [(first_fold, first), (second_fold, second)] = pair else { continue };
        // Below directories that clash, only the directories are reported.
        if first_fold != second_fold || first == second || above(first) != above(second) {
            continue;
        }
        let (code, what) = if normalised(first) == normalised(second) {
            (FaultCode::NamesDifferInNormalisation, "Unicode normalisation")
        } else {
            (FaultCode::NamesDifferInCase, "case")
        };
        let message = format!("the name differs from {first:?} only in {what}");
        faults.push(Fault::new(code, Some(second), message));
    }
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}
