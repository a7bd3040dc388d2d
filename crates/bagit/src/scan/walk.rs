//! Listing all files and directories below a directory.

use std::fs::{self, FileType};
use std::io;
use std::path::Path;

use multi_digest::Digests;

use super::options::Limits;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::inventory::Inventory;

/// Chooses how a walk treats symbolic links.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Reports each link.
    Report,
    /// Follows each link, and reports dangling links and loops.
    Follow,
}

/// Lists all files and directories below a root, a canonical path, without reading any file.
pub(crate) fn walk(root: &Path, limits: &Limits, links: Links) -> Result<Inventory> {
    let mut walk = Walk {
        root,
        links,
        inventory: Inventory::new(),
        pending: Vec::new(),
        left: limits.entries,
        too_many: false,
    };
    walk.directory("").map_err(Error::io("read the directory", root))?;
    while let Some(directory) = walk.pending.pop() {
        if let Err(error) = walk.directory(&directory) {
            let message = format!("the directory cannot be read: {error}");
            walk.inventory.observe(Fault::new(FaultCode::UnreadableFile, Some(&directory), message));
        }
    }
    if walk.too_many {
        return Err(Error::Limit { what: "the number of files".to_owned(), limit: limits.entries });
    }
    Ok(walk.inventory)
}

struct Walk<'a> {
    root: &'a Path,
    links: Links,
    inventory: Inventory,
    pending: Vec<String>,
    /// The number of entries that the limit still allows.
    left: u64,
    too_many: bool,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &str) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(directory))? {
            let entry = entry?;
            let Some(left) = self.left.checked_sub(1) else {
                self.too_many = true;
                self.pending.clear();
                break;
            };
            self.left = left;
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
                // The hashing reports a file that has vanished.
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
                let message =
                    "the path is a symbolic link to a file in the bag, and the content of that file was used";
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
        "a FIFO"
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
