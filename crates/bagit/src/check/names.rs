//! The names of all files and directories: unsafe, clashing, not portable, or left by an operating system.

use safe_files::{leaves, normalised, parent, portability_fault, same_when_folded};

use crate::fault::{Fault, FaultCode};
use crate::inventory::Inventory;

/// Judges every name of an inventory, and the names of `missing` files that clash with one of them.
pub(crate) fn name_faults(inventory: &Inventory, missing: &Inventory, add: &mut dyn FnMut(Fault)) {
    for (path, _) in inventory.files() {
        single_name(path).for_each(&mut *add);
    }
    let directories: Vec<&str> = inventory.directories().collect();
    clashing_names(inventory, &directories, missing, add);
    let payload = directories.into_iter().filter(|path| path.starts_with("data/"));
    for directory in payload.filter(|path| !inventory.has_anything_under(path)) {
        let message = "a bag cannot represent an empty directory, so it may get lost";
        add(Fault::new(FaultCode::EmptyDirectory, Some(directory), message));
    }
}

fn single_name(path: &str) -> impl Iterator<Item = Fault> {
    let escape = leaves(path).map(|reason| {
        let message = format!("the path could leave the bag: {reason}");
        Fault::new(FaultCode::PathEscapes, Some(path), message)
    });
    let not_portable = portability_fault(path).map(|reason| {
        let message = format!("the path does not work on every system: {reason}");
        Fault::new(FaultCode::NameNotPortable, Some(path), message)
    });
    let work = safe_files::has_work_name(path).then(|| {
        let message =
            "only an interrupted work on a bag may have a directory of this name, so it is not content";
        Fault::new(FaultCode::WorkDirectory, Some(path), message)
    });
    let in_payload = path.starts_with("data/");
    let system = (in_payload && is_system_file(path))
        .then(|| Fault::new(FaultCode::SystemFile, Some(path), "an operating system left the file here"));
    let nested = path.strip_suffix("/bagit.txt").filter(|_| in_payload).map(|directory| {
        let message = "the payload contains another bag, which is not checked";
        Fault::new(FaultCode::NestedBag, Some(directory), message)
    });
    [escape, work, not_portable, system, nested].into_iter().flatten()
}

/// Reports names that a file system may take for one, because it ignores case or normalises.
fn clashing_names(
    inventory: &Inventory,
    directories: &[&str],
    missing: &Inventory,
    add: &mut dyn FnMut(Fault),
) {
    let listed = || missing.files().map(|(path, _)| path);
    let all = || inventory.files().map(|(path, _)| path).chain(directories.iter().copied()).chain(listed());
    let suspects = same_when_folded(all);
    for pair in suspects.windows(2) {
        let [(first_fold, first), (second_fold, second)] = pair else { continue };
        // Of directories that clash, only the directories themselves are reported, and nothing below them.
        if first_fold != second_fold || first == second || parent(first) != parent(second) {
            continue;
        }
        let (code, what) = if normalised(first) == normalised(second) {
            (FaultCode::NamesDifferInNormalisation, "Unicode normalisation")
        } else {
            (FaultCode::NamesDifferInCase, "case")
        };
        let message = format!("the name differs from {first:?} only in {what}");
        add(Fault::new(code, Some(second), message));
    }
}

/// Says whether the file is one that an operating system leaves behind.
fn is_system_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name == ".DS_Store" || name.eq_ignore_ascii_case("thumbs.db") || name.eq_ignore_ascii_case("desktop.ini")
}
