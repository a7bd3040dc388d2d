//! The common part of tar and zip: the place of the bag in the archive, and the meaning of its entries.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use multi_digest::Digests;
use safe_files::{leaves, without_dots};

use super::options::{Limits, Scan};
use crate::declaration::{self, Declaration};
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode, Severity};
use crate::inventory::{Inventory, LONGEST_PATH};
use crate::manifest::{ManifestKind, ManifestName, split_line};
use crate::report::Faults;
use crate::tag_files::TagFiles;
use crate::text::{TextEncoding, decode_path, lines};
use crate::version::Version;

/// Content up to this size is always accepted, however small the archive is.
const ALWAYS_FINE: u64 = 64 * 1024 * 1024;

/// The directory in which archivers of macOS put their own files.
const MACOS_DIRECTORY: &str = "__MACOSX";

/// The first bytes of an AppleDouble file, in which macOS keeps attributes of another file (RFC 1740).
pub(super) const APPLE_DOUBLE_MAGIC: [u8; 4] = [0, 5, 22, 7];

/// One entry of an archive.
pub(super) enum Found {
    File {
        size: u64,
        digests: Digests,
    },
    /// A file of the macOS archiver, with the attributes of another file.
    AppleDouble {
        size: u64,
        digests: Digests,
    },
    /// Another name of the entry at this path of the archive.
    #[cfg_attr(not(feature = "tar"), expect(dead_code, reason = "zip files have no hard links"))]
    HardLink(String),
    Directory,
    NotAFile(FaultCode, String),
    /// A file that could not be read, with the size that the archive declares.
    Unreadable {
        code: FaultCode,
        message: String,
        size: u64,
    },
}

/// Collects the entries of an archive until the place of the bag is known.
#[derive(Default)]
pub(super) struct Entries {
    found: Vec<(String, Found)>,
    /// The bytes of files that may be tag files, by their path in the archive.
    texts: BTreeMap<String, Vec<u8>>,
    faults: Faults,
}

impl Entries {
    /// Adds an entry with a safe path.
    pub(super) fn add(&mut self, path: String, found: Found) {
        self.found.push((path, found));
    }

    pub(super) fn add_text(&mut self, path: &str, bytes: Vec<u8>) {
        self.texts.insert(path.to_owned(), bytes);
    }

    pub(super) fn fault(&mut self, code: FaultCode, path: Option<&str>, message: impl Into<String>) {
        self.faults.push(Fault::new(code, path, message));
    }

    #[cfg(feature = "tar")]
    pub(super) fn len(&self) -> u64 {
        self.found.len() as u64
    }

    /// Returns the bag in the archive: everything below its base directory.
    pub(super) fn into_scan(mut self) -> Scan {
        self.found.retain(|(path, _)| !is_of_macos_archiver(path));
        self.resolve_hard_links();
        let is_directory = |found: &Found| matches!(found, Found::Directory);
        let base =
            base_directory(self.found.iter().map(|(path, found)| (path.as_str(), is_directory(found))));
        let mut scan = Scan { base_directory: base.clone(), ..Scan::default() };
        scan.inventory.observe_all(&self.faults);
        let prefix = base.map(|base| format!("{base}/")).unwrap_or_default();
        for (path, bytes) in std::mem::take(&mut self.texts) {
            if let Some(name) = path.strip_prefix(&prefix).filter(|name| TagFiles::wants(name)) {
                scan.tag_files.insert(name, bytes);
            }
        }
        let listed = self.listed_apple_doubles(&scan.tag_files);
        let mut seen = BTreeSet::new();
        for (path, found) in self.found {
            if path == prefix.trim_end_matches('/') && is_directory(&found) {
                continue;
            }
            let Some(inside) = path.strip_prefix(&prefix) else {
                if matches!(found, Found::AppleDouble { .. }) || is_beside_of_macos(&path) {
                    continue;
                }
                let message = format!("the entry is not in the directory of the bag, {prefix}");
                scan.inventory.observe(Fault::new(FaultCode::ArchiveSeveralRoots, Some(&path), message));
                continue;
            };
            if matches!(found, Found::AppleDouble { .. }) && !listed.contains(inside) {
                let message = "no manifest lists this file of the macOS archiver, so it was ignored";
                scan.inventory.observe(Fault::new(FaultCode::ArchiveAppleDouble, Some(inside), message));
                continue;
            }
            if !is_directory(&found) && !seen.insert(inside.to_owned()) {
                let message = "the archive has two entries of this name";
                scan.inventory.observe(Fault::new(FaultCode::ArchiveDuplicateEntry, Some(inside), message));
                continue;
            }
            insert(&mut scan.inventory, inside, found);
        }
        add_empty_payload(&mut scan);
        report_missing_base(&mut scan);
        report_backslashes(&mut scan);
        scan
    }

    /// Replaces each hard link by the file that it names, or by a fault.
    fn resolve_hard_links(&mut self) {
        if !self.found.iter().any(|(_, found)| matches!(found, Found::HardLink(_))) {
            return;
        }
        let mut files: HashMap<String, (u64, Digests)> = HashMap::new();
        for (path, found) in &mut self.found {
            if let Found::HardLink(target) = found {
                if let Some(text) = self.texts.get(target.as_str()).cloned()
                    && may_be_tag_file(path)
                {
                    self.texts.insert(path.clone(), text);
                }
                *found = match files.get(target) {
                    Some((size, digests)) => Found::File { size: *size, digests: digests.clone() },
                    None => {
                        let message =
                            format!("the entry is a hard link to {target:?}, which no earlier entry has");
                        Found::NotAFile(FaultCode::ArchiveLink, message)
                    }
                };
            }
            if let Found::File { size, digests } = found {
                files.insert(path.clone(), (*size, digests.clone()));
            }
        }
    }

    /// Returns the paths of AppleDouble files that a manifest lists: these are payload, not files of an archiver.
    fn listed_apple_doubles(&self, tag_files: &TagFiles) -> HashSet<String> {
        let mut listed = HashSet::new();
        if !self.found.iter().any(|(_, found)| matches!(found, Found::AppleDouble { .. })) {
            return listed;
        }
        let declaration = tag_files.get(declaration::FILE_NAME).map(|bytes| Declaration::parse(bytes).0);
        let declaration = declaration.unwrap_or_default();
        let version = declaration.version.unwrap_or(Version::V1_0);
        let encoding = declaration.encoding.as_deref().and_then(TextEncoding::for_label);
        for (_, bytes) in tag_files.held().filter(|(name, _)| TagFiles::may_stay_on_disk(name)) {
            let Some(decoded) = encoding.unwrap_or(TextEncoding::Utf8).decode(bytes) else { continue };
            let paths =
                lines(&decoded.text).filter_map(|(_, line)| split_line(line).ok()).map(|raw| raw.path);
            let is_odd = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with("._"));
            listed.extend(
                paths.filter(|path| is_odd(path)).map(|path| decode_path(&path, version).into_owned()),
            );
        }
        listed
    }
}

pub(super) fn is_of_macos_archiver(path: &str) -> bool {
    path == MACOS_DIRECTORY || safe_files::is_below(path, MACOS_DIRECTORY)
}

/// Says whether an entry beside the directory of the bag is a file of macOS: attributes of another file, or the state of a window.
fn is_beside_of_macos(path: &str) -> bool {
    path == ".DS_Store" || (path.starts_with("._") && !path.contains('/'))
}

fn insert(inventory: &mut Inventory, path: &str, found: Found) {
    match found {
        Found::File { size, digests } | Found::AppleDouble { size, digests } => {
            inventory.insert_file(path, size, digests);
        }
        Found::Directory => inventory.insert_directory(path),
        Found::NotAFile(code, message) => {
            inventory.insert_not_a_file(path);
            inventory.observe(Fault::new(code, Some(path), message));
        }
        Found::HardLink(target) => {
            inventory.insert_not_a_file(path);
            let message = format!("the entry is a hard link to {target:?}");
            inventory.observe(Fault::new(FaultCode::ArchiveLink, Some(path), message));
        }
        Found::Unreadable { code, message, size } => {
            inventory.insert_unreadable(path, size);
            inventory.observe(Fault::new(code, Some(path), message));
        }
    }
}

/// Adds the directory `data/` of an empty payload, for which many archivers write no entry.
fn add_empty_payload(scan: &mut Scan) {
    let mut manifests = scan
        .tag_files
        .held()
        .filter(|(name, _)| ManifestName::parse(name).is_some_and(|name| name.kind == ManifestKind::Payload));
    if manifests.any(|(_, bytes)| bytes.trim_ascii().is_empty()) {
        scan.inventory.insert_directory("data");
    }
}

/// Reports names with backslashes as the cause if they hide the declaration.
fn report_backslashes(scan: &mut Scan) {
    if scan.tag_files.has(declaration::FILE_NAME) {
        return;
    }
    let hides =
        |path: &str| path.strip_suffix(declaration::FILE_NAME).is_some_and(|before| before.ends_with('\\'));
    let hidden = scan.inventory.files().find(|(path, _)| hides(path)).map(|(path, _)| path.to_owned());
    if let Some(path) = hidden {
        let message = "the entries have backslashes between names, but a tar archive needs slashes";
        let fault = Fault::new(FaultCode::ArchiveBackslash, Some(&path), message);
        scan.inventory.observe(fault.with_severity(Severity::Error));
    }
}

/// Reports a bag before 1.0 without a base directory (draft 0.97, section 4).
fn report_missing_base(scan: &mut Scan) {
    let declaration = scan.tag_files.get(declaration::FILE_NAME).map(|bytes| Declaration::parse(bytes).0);
    let version = declaration.and_then(|declaration| declaration.version);
    if scan.base_directory.is_none() && version.is_some_and(|version| version < Version::V1_0) {
        let message = "before 1.0 the archive of a bag has one directory at its root, and that is the bag";
        scan.inventory.observe(Fault::new(FaultCode::ArchiveNoBaseDirectory, None, message));
    }
}

/// Finds the directory of the bag: none if `bagit.txt` is at the root, else the first with a `bagit.txt`, else the only one.
pub(super) fn base_directory<'a>(entries: impl Iterator<Item = (&'a str, bool)>) -> Option<String> {
    let mut tops: BTreeSet<&str> = BTreeSet::new();
    let mut with_declaration = None;
    let mut files_at_root = false;
    for (path, is_directory) in
        entries.filter(|(path, _)| !is_of_macos_archiver(path) && !is_beside_of_macos(path))
    {
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

/// Reads the name of an archive entry: its path without a leading `./` and a trailing `/`, or the fault of the name.
pub(super) fn entry_path(name: &[u8]) -> Result<String, Fault> {
    let Ok(name) = std::str::from_utf8(name) else {
        let shown = String::from_utf8_lossy(name);
        return Err(Fault::new(FaultCode::NameNotUtf8, Some(&shown), "the name is not UTF-8"));
    };
    if name.len() > LONGEST_PATH {
        let shown: String = name.chars().take(100).collect();
        let message = "an archive entry has a path of over 64 KiB, which no system allows";
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

/// Says whether the entry at this path of an archive may be a tag file that the rules read.
pub(super) fn may_be_tag_file(path: &str) -> bool {
    let name = path.split_once('/').map_or(path, |(_, name)| name);
    TagFiles::wants(name)
}

/// Says whether the entry at this path of an archive may be payload.
#[cfg(feature = "tar")]
pub(super) fn may_be_payload(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next() == Some("data") || parts.next() == Some("data")
}

/// Says whether the name of an entry and the first bytes of its content are those of an AppleDouble file.
pub(super) fn is_apple_double(path: &str, head: &[u8]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("._") && head.starts_with(&APPLE_DOUBLE_MAGIC)
}

/// Compares the size of an archive with the size of its content. Clones share their counts.
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

    #[cfg(feature = "tar")]
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
        let what = || "the size of the content, as a multiple of the size of the archive,".to_owned();
        if self.is_too_much() {
            Err(Error::Limit { what: what(), limit: self.limits.expansion })
        } else {
            Ok(())
        }
    }
}

#[cfg(all(test, feature = "tar"))]
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
