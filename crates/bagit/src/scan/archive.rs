//! What tar and zip have in common: where the bag is in the archive, and what its entries become.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use safe_files::{leaves, without_dots};

use super::{Limits, Scan};
use crate::declaration::{self, Declaration};
use crate::digests::Digests;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::inventory::{Inventory, LONGEST_PATH};
use crate::tag_files::TagFiles;
use crate::version::Version;

/// Content up to this size is never too much, however small the archive.
const ALWAYS_FINE: u64 = 64 * 1024 * 1024;

/// Says what an entry of an archive is.
pub(super) enum Found {
    File {
        size: u64,
        digests: Digests,
    },
    Directory,
    NotAFile(FaultCode, String),
    /// A file that could not be read, of the size that the archive declares.
    Unreadable {
        code: FaultCode,
        message: String,
        size: u64,
    },
}

/// Collects the entries of an archive until it is known which of them are the bag.
#[derive(Default)]
pub(super) struct Entries {
    found: Vec<(String, Found)>,
    /// Bytes of what may turn out to be tag files, by their path in the archive.
    texts: BTreeMap<String, Vec<u8>>,
    faults: Vec<Fault>,
}

impl Entries {
    /// Adds an entry whose path is safe, and refuses the others.
    pub(super) fn add(&mut self, path: String, found: Found) {
        self.found.push((path, found));
    }

    pub(super) fn add_text(&mut self, path: &str, bytes: Vec<u8>) {
        self.texts.insert(path.to_owned(), bytes);
    }

    pub(super) fn fault(&mut self, code: FaultCode, path: Option<&str>, message: impl Into<String>) {
        self.faults.push(Fault::new(code, path, message));
    }

    pub(super) fn len(&self) -> u64 {
        self.found.len() as u64
    }

    /// Takes the bag out of the archive: everything below its base directory.
    pub(super) fn into_scan(mut self) -> Scan {
        let base = base_directory(
            self.found.iter().map(|(path, found)| (path.as_str(), matches!(found, Found::Directory))),
        );
        let mut scan = Scan { base_directory: base.clone(), ..Scan::default() };
        std::mem::take(&mut self.faults).into_iter().for_each(|fault| scan.inventory.observe(fault));
        let prefix = base.map(|base| format!("{base}/")).unwrap_or_default();
        let mut seen = BTreeSet::new();
        for (path, found) in self.found {
            if path == prefix.trim_end_matches('/') && matches!(found, Found::Directory) {
                continue;
            }
            let Some(inside) = path.strip_prefix(&prefix) else {
                let message = format!("the entry is not in the bag's directory, {prefix}");
                scan.inventory.observe(Fault::new(FaultCode::ArchiveSeveralRoots, Some(&path), message));
                continue;
            };
            if !matches!(found, Found::Directory) && !seen.insert(inside.to_owned()) {
                let message = "the archive has two entries of this name";
                scan.inventory.observe(Fault::new(FaultCode::ArchiveDuplicateEntry, Some(inside), message));
                continue;
            }
            insert(&mut scan.inventory, inside, found);
        }
        for (path, bytes) in self.texts {
            if let Some(name) = path.strip_prefix(&prefix).filter(|name| TagFiles::wants(name)) {
                scan.tag_files.insert(name, bytes);
            }
        }
        report_missing_base(&mut scan);
        scan
    }
}

fn insert(inventory: &mut Inventory, path: &str, found: Found) {
    match found {
        Found::File { size, digests } => {
            inventory.insert_file(path, size, digests);
        }
        Found::Directory => inventory.insert_directory(path),
        Found::NotAFile(code, message) => {
            inventory.insert_not_a_file(path);
            inventory.observe(Fault::new(code, Some(path), message));
        }
        Found::Unreadable { code, message, size } => {
            inventory.insert_unreadable(path, size);
            inventory.observe(Fault::new(code, Some(path), message));
        }
    }
}

/// Serialised bags before 1.0 need one base directory (draft 0.97, section 4).
fn report_missing_base(scan: &mut Scan) {
    let declaration = scan.tag_files.get(declaration::FILE_NAME).map(|bytes| Declaration::parse(bytes).0);
    let version = declaration.and_then(|declaration| declaration.version);
    if scan.base_directory.is_none() && version.is_some_and(|version| version < Version::V1_0) {
        let message = "before 1.0 the archive of a bag holds one directory that is the bag";
        scan.inventory.observe(Fault::new(FaultCode::ArchiveNoBaseDirectory, None, message));
    }
}

/// Finds the directory that is the bag: none if `bagit.txt` is at the root, else the one that holds one, else the only one.
pub(super) fn base_directory<'a>(entries: impl Iterator<Item = (&'a str, bool)>) -> Option<String> {
    let mut tops: BTreeSet<&str> = BTreeSet::new();
    let mut with_declaration = None;
    let mut files_at_root = false;
    for (path, is_directory) in entries {
        match path.split_once('/') {
            None if path == declaration::FILE_NAME => return None,
            None => files_at_root |= !is_directory,
            Some((top, declaration::FILE_NAME)) => with_declaration = with_declaration.or(Some(top)),
            Some(_) => {}
        }
        tops.insert(path.split('/').next().unwrap_or(path));
    }
    let only = if tops.len() == 1 && !files_at_root { tops.first().copied() } else { None };
    with_declaration.or(only).map(str::to_owned)
}

/// Reads the name of an archive entry: its path without `./` before and `/` behind, or the fault that it is.
pub(super) fn entry_path(name: &[u8]) -> Result<String, Fault> {
    let Ok(name) = std::str::from_utf8(name) else {
        let shown = String::from_utf8_lossy(name);
        return Err(Fault::new(FaultCode::NameNotUtf8, Some(&shown), "the name is not UTF-8"));
    };
    if name.len() > LONGEST_PATH {
        let shown: String = name.chars().take(100).collect();
        let message = "an archive entry has a path of over 1 MiB, which is none on any system";
        return Err(Fault::new(FaultCode::PathEscapes, Some(&format!("{shown}…")), message));
    }
    let path = name.trim_end_matches('/');
    let path = path.strip_prefix("./").unwrap_or(if path == "." { "" } else { path });
    if path.is_empty() && name.starts_with('.') {
        return Ok(String::new());
    }
    match leaves(path) {
        Some(reason) => {
            let message = format!("an archive entry has a path that could leave the bag: {reason}");
            Err(Fault::new(FaultCode::PathEscapes, Some(name), message))
        }
        None => Ok(without_dots(path).into_owned()),
    }
}

/// Says whether the entry at this path of an archive may turn out to be a tag file that the rules read.
pub(super) fn may_be_tag_file(path: &str) -> bool {
    let name = path.split_once('/').map_or(path, |(_, name)| name);
    TagFiles::wants(name)
}

/// Says whether the entry at this path of an archive may turn out to be payload.
pub(super) fn may_be_payload(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next() == Some("data") || parts.next() == Some("data")
}

/// Watches how much an archive expands to, across the readers that take part.
#[derive(Clone, Debug)]
pub(super) struct Expansion {
    limits: Limits,
    packed: Rc<Cell<u64>>,
    unpacked: Rc<Cell<u64>>,
}

impl Expansion {
    pub(super) fn new(limits: Limits, packed: u64) -> Self {
        Self { limits, packed: Rc::new(Cell::new(packed)), unpacked: Rc::default() }
    }

    pub(super) fn take_in(&self, bytes: u64) {
        self.packed.set(self.packed.get().saturating_add(bytes));
    }

    pub(super) fn give_out(&self, bytes: u64) {
        self.unpacked.set(self.unpacked.get().saturating_add(bytes));
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.unpacked.get() > ALWAYS_FINE.max(self.packed.get().saturating_mul(self.limits.expansion))
    }

    pub(super) fn check(&self) -> Result<()> {
        let what = || "the size of the content, as a multiple of the archive's,".to_owned();
        if self.is_too_much() {
            Err(Error::Limit { what: what(), limit: self.limits.expansion })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{base_directory, entry_path, may_be_payload, may_be_tag_file};

    #[test]
    fn the_base_directory_is_where_the_declaration_is() {
        let cases: [(&[&str], Option<&str>); 7] = [
            (&["bagit.txt", "data/x", "metadata/bagit.txt"], None),
            (&["bag/bagit.txt", "bag/data/x"], Some("bag")),
            (&["bag/data/x", "bag/manifest-md5.txt"], Some("bag")),
            (&["other/x", "bag/bagit.txt"], Some("bag")),
            (&["x", "bag/bagit.txt"], Some("bag")),
            (&["a/x", "b/y"], None),
            (&[], None),
        ];
        for (paths, expected) in cases {
            let entries = paths.iter().map(|path| (*path, false));
            assert_eq!(base_directory(entries).as_deref(), expected, "{paths:?}");
        }
    }

    #[test]
    fn entry_names_become_safe_paths_or_faults() {
        let good =
            [("./bag/data/", "bag/data"), ("bag//x", "bag/x"), ("./", ""), (".", ""), ("bag/.x", "bag/.x")];
        for (name, expected) in good {
            assert_eq!(entry_path(name.as_bytes()).unwrap(), expected, "{name}");
        }
        for name in ["/etc/passwd", "../x", "bag/../../x", "", "/", "~/x", "C:\\x"] {
            assert_eq!(entry_path(name.as_bytes()).unwrap_err().code.as_str(), "path-escapes", "{name}");
        }
        assert_eq!(entry_path(b"caf\xE9").unwrap_err().code.as_str(), "name-not-utf8");
    }

    #[test]
    fn entries_are_sorted_before_the_base_is_known() {
        assert!(
            may_be_payload("data/x")
                && may_be_payload("bag/data/x")
                && !may_be_payload("bag/metadata/data/x")
        );
        assert!(may_be_tag_file("manifest-md5.txt") && may_be_tag_file("bag/bagit.txt"));
        assert!(!may_be_tag_file("bag/metadata/bagit.txt") && !may_be_tag_file("bag/x.txt"));
    }
}
