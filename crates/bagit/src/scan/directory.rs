//! The front end for directories.

use std::convert::Infallible;
use std::fs::{self, FileType};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{FileToHash, HashOutcome, Limits, Scan, ScanOptions, hash_files};
use crate::algorithm::AlgorithmSet;
use crate::check::{CheckOptions, check};
use crate::declaration;
use crate::digests::Digests;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::parallel::FILES_AT_ONCE;
use crate::progress::{Progress, ProgressEvent};
use crate::report::Report;
use crate::tag_files::TagFiles;

/// Says whether a directory claims to be a bag: it has a file `bagit.txt`.
#[must_use]
pub fn is_bag(directory: &Path) -> bool {
    directory.join(declaration::FILE_NAME).is_file()
}

/// Takes the inventory of a bag in a directory, with the digests that its manifests need.
///
/// Files are hashed in parallel. What is wrong with single files (links, devices, files that cannot be read or change
/// meanwhile) becomes part of the inventory's observations and so of the report.
///
/// # Errors
/// [`Error::Io`] if the directory itself cannot be read, [`Error::Limit`] if it holds more than the limits allow.
pub fn scan_directory(root: &Path, options: &ScanOptions, progress: &dyn Progress) -> Result<Scan> {
    let root = fs::canonicalize(root).map_err(Error::io("open", root))?;
    let inventory = walk(&root, &options.limits, Links::Report)?;
    let mut scan = Scan { inventory, ..Scan::default() };
    read_tag_files(&root, &mut scan, options);
    let Scan { inventory, tag_files, .. } = &mut scan;
    let (payload, tags) = options.algorithms(tag_files);
    let in_memory = |path: &str| tag_files.get(path).is_some();
    hash_all(
        &root,
        inventory,
        in_memory,
        |path| if is_payload(path) { payload } else { tags },
        options,
        progress,
    );
    Ok(scan)
}

/// Lists and hashes all files below any directory, whether it is a bag or not; faults become observations.
///
/// # Errors
/// As [`scan_directory`].
pub fn hash_directory(
    root: &Path,
    algorithms: AlgorithmSet,
    options: &ScanOptions,
    progress: &dyn Progress,
) -> Result<Inventory> {
    let root = fs::canonicalize(root).map_err(Error::io("open", root))?;
    let mut inventory = walk(&root, &options.limits, Links::Report)?;
    hash_all(&root, &mut inventory, |_| false, |_| algorithms, options, progress);
    Ok(inventory)
}

fn is_payload(path: &str) -> bool {
    path.starts_with("data/")
}

/// Validates a bag in a directory: [`scan_directory`], then [`check`].
///
/// # Errors
/// As [`scan_directory`].
pub fn validate_directory(
    root: &Path,
    options: &ScanOptions,
    check_options: &CheckOptions,
    progress: &dyn Progress,
) -> Result<Report> {
    let scan = scan_directory(root, options, progress)?;
    Ok(check(&scan.inventory, &scan.tag_files, check_options))
}

/// Chooses what a walk does about symbolic links.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Each is an observation.
    Report,
    /// Each is what it leads to; only dangling ones and loops are observations.
    Follow,
}

/// Lists all files and directories below a root, a canonical path, without reading any file.
pub(crate) fn walk(root: &Path, limits: &Limits, links: Links) -> Result<Inventory> {
    let mut walk =
        Walk { root, links, inventory: Inventory::new(), pending: Vec::new(), left: limits.entries };
    walk.directory("").map_err(Error::io("read the directory", root))?;
    while let Some(directory) = walk.pending.pop() {
        if let Err(error) = walk.directory(&directory) {
            let message = format!("the directory cannot be read: {error}");
            walk.inventory.observe(Fault::new(FaultCode::UnreadableFile, Some(&directory), message));
        }
    }
    if walk.left == 0 {
        return Err(Error::Limit { what: "the number of files".to_owned(), limit: limits.entries });
    }
    Ok(walk.inventory)
}

struct Walk<'a> {
    root: &'a Path,
    links: Links,
    inventory: Inventory,
    pending: Vec<String>,
    /// How many more entries the limit allows.
    left: u64,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &str) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(directory))? {
            let entry = entry?;
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                self.pending.clear();
                break;
            }
            let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let path = format!("{prefix}{}", name.to_string_lossy());
                let message = "the name is not UTF-8, so no manifest can list it";
                self.inventory.observe(Fault::new(FaultCode::NameNotUtf8, Some(&path), message));
                continue;
            };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.inventory.insert_directory(&path);
                self.pending.push(path);
            } else if kind.is_symlink() {
                self.link(&path, &entry.path());
            } else if kind.is_file() {
                // A file that is gone already is noticed when its turn to be hashed comes.
                let size = entry.metadata().map_or(0, |metadata| metadata.len());
                self.inventory.insert_file(&path, size, Digests::new());
            } else {
                self.not_a_file(FaultCode::SpecialFile, &path, special_name(kind));
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &str, full: &Path) {
        let target = match fs::canonicalize(full) {
            Ok(target) => target,
            Err(_) => {
                return self.not_a_file(FaultCode::LinkDangling, path, "a symbolic link that leads nowhere");
            }
        };
        if self.links == Links::Follow {
            return self.follow(path, full, &target);
        }
        if !target.starts_with(self.root) {
            return self.not_a_file(
                FaultCode::LinkOutside,
                path,
                "a symbolic link that leads out of the bag",
            );
        }
        match fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => {
                self.not_a_file(FaultCode::LinkToDirectory, path, "a symbolic link to a directory");
            }
            Ok(metadata) if metadata.is_file() => {
                self.inventory.insert_file(path, metadata.len(), Digests::new());
                let message = "the path is a symbolic link to a file within the bag; its content was taken";
                self.inventory.observe(Fault::new(FaultCode::LinkInside, Some(path), message));
            }
            _ => self.not_a_file(
                FaultCode::SpecialFile,
                path,
                "a symbolic link to something that is not a file",
            ),
        }
    }

    fn follow(&mut self, path: &str, full: &Path, target: &Path) {
        let here = full.parent().and_then(|parent| fs::canonicalize(parent).ok());
        match fs::metadata(target) {
            Ok(metadata) if metadata.is_file() => {
                self.inventory.insert_file(path, metadata.len(), Digests::new());
            }
            Ok(metadata) if metadata.is_dir() && here.is_some_and(|here| !here.starts_with(target)) => {
                self.inventory.insert_directory(path);
                self.pending.push(path.to_owned());
            }
            Ok(metadata) if metadata.is_dir() => {
                self.not_a_file(
                    FaultCode::LinkToDirectory,
                    path,
                    "a symbolic link to a directory that it is in",
                );
            }
            _ => self.not_a_file(
                FaultCode::SpecialFile,
                path,
                "a symbolic link to something that is not a file",
            ),
        }
    }

    fn not_a_file(&mut self, code: FaultCode, path: &str, what: &str) {
        self.inventory.insert_not_a_file(path);
        self.inventory.observe(Fault::new(code, Some(path), format!("the path is {what}")));
    }
}

#[cfg(unix)]
fn special_name(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a fifo"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special_name(_kind: FileType) -> &'static str {
    "not a file"
}

/// Reads the tag files that the rules need into memory; their digests follow, from the same bytes. Large manifests stay where
/// they are, and are hashed like all other files.
fn read_tag_files(root: &Path, scan: &mut Scan, options: &ScanOptions) {
    let is_wanted = |path: &str, kind: EntryKind| kind == EntryKind::File && TagFiles::wants(path);
    let wanted: Vec<(String, u64)> = scan
        .inventory
        .files()
        .filter(|(path, entry)| is_wanted(path, entry.kind))
        .map(|(path, entry)| (path.to_owned(), entry.size))
        .collect();
    for (path, size) in wanted {
        if let Err((code, message)) = read_tag_file(root, &path, size, &mut scan.tag_files, &options.limits) {
            scan.inventory.insert_unreadable(&path, size);
            scan.inventory.observe(Fault::new(code, Some(&path), message));
        }
    }
    let (_, algorithms) = options.algorithms(&scan.tag_files);
    for (path, bytes) in scan.tag_files.held() {
        scan.inventory.insert_file(path, bytes.len() as u64, Digests::of(algorithms, bytes));
    }
}

fn read_tag_file(
    root: &Path,
    path: &str,
    size: u64,
    tag_files: &mut TagFiles,
    limits: &Limits,
) -> std::result::Result<(), (FaultCode, String)> {
    let failed = |error| (FaultCode::UnreadableFile, format!("the file cannot be read: {error}"));
    let too_large = || {
        let message = format!("the file is over the limit of {} bytes", limits.tag_file_bytes);
        (FaultCode::TagFileTooLarge, message)
    };
    let place = root.join(path);
    if size > limits.held_manifest_bytes && TagFiles::may_stay_on_disk(path) {
        if size > limits.tag_file_bytes {
            return Err(too_large());
        }
        return tag_files.insert_file(path, &place).map_err(failed);
    }
    let bytes = read_bounded(&place, limits.tag_file_bytes).map_err(failed)?;
    tag_files.insert(path, bytes.ok_or_else(too_large)?);
    Ok(())
}

fn read_bounded(path: &PathBuf, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Hashes all files whose bytes are not in memory already.
fn hash_all(
    root: &Path,
    inventory: &mut Inventory,
    in_memory: impl Fn(&str) -> bool,
    algorithms: impl Fn(&str) -> AlgorithmSet,
    options: &ScanOptions,
    progress: &dyn Progress,
) {
    let is_on_disk = |path: &str, entry: FileEntry<'_>| entry.kind == EntryKind::File && !in_memory(path);
    let chosen = inventory.files().enumerate().filter(|(_, (path, entry))| is_on_disk(path, *entry));
    let positions: Vec<usize> = chosen.map(|(position, _)| position).collect();
    let prefix = Prefix { of_paths: "", root, threads: options.threads };
    // Whatever happens to a file is part of the inventory.
    let never_fails = |inventory: &mut Inventory, position, outcome| {
        note(inventory, position, outcome);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = hash_positions(inventory, &positions, &prefix, algorithms, progress, never_fails);
}

/// Says where the files of an inventory are.
pub(crate) struct Prefix<'a> {
    /// What the paths begin with in the inventory and not below the root.
    pub(crate) of_paths: &'a str,
    pub(crate) root: &'a Path,
    pub(crate) threads: usize,
}

/// Hashes files of an inventory, some at a time, and gives what came of each to `note`.
///
/// # Errors
/// The first error of `note`.
pub(crate) fn hash_positions<E>(
    inventory: &mut Inventory,
    positions: &[usize],
    prefix: &Prefix<'_>,
    algorithms: impl Fn(&str) -> AlgorithmSet,
    progress: &dyn Progress,
    mut note: impl FnMut(&mut Inventory, usize, HashOutcome) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let found = positions.iter().filter_map(|position| inventory.get(*position));
    let bytes = found.map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
    progress.event(ProgressEvent::Planned { files: positions.len() as u64, bytes });
    for batch in positions.chunks(FILES_AT_ONCE) {
        let found = batch.iter().filter_map(|position| inventory.get(*position));
        let file = |(path, entry): (_, FileEntry<'_>)| FileToHash {
            path: str::strip_prefix(path, prefix.of_paths).unwrap_or(path),
            size: entry.size,
            algorithms: algorithms(path),
        };
        let files: Vec<FileToHash<'_>> = found.map(file).collect();
        let outcomes = hash_files(prefix.root, &files, prefix.threads, progress);
        for (position, outcome) in batch.iter().zip(outcomes) {
            note(inventory, *position, outcome)?;
        }
    }
    Ok(())
}

/// Puts what came of hashing a file into the inventory.
fn note(inventory: &mut Inventory, position: usize, outcome: HashOutcome) {
    let (code, message) = match outcome {
        HashOutcome::Hashed { size, digests } => {
            let entry = FileEntry { size, digests: digests.view(), kind: EntryKind::File };
            return inventory.set(position, entry);
        }
        HashOutcome::Unreadable(error) => {
            (FaultCode::UnreadableFile, format!("the file cannot be read: {error}"))
        }
        HashOutcome::Changed => (FaultCode::FileChanged, "the file changed while it was read".to_owned()),
        HashOutcome::Vanished => (FaultCode::FileVanished, "the file was gone before it was read".to_owned()),
    };
    let Some((path, entry)) = inventory.get(position) else { return };
    let fault = Fault::new(code, Some(path), message);
    let unreadable = FileEntry { size: entry.size, kind: EntryKind::Unreadable, ..FileEntry::default() };
    inventory.set(position, unreadable);
    inventory.observe(fault);
}
