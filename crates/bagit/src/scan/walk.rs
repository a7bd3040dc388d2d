//! Listing all files and directories below a directory.

use std::fs;
use std::io;
use std::path::Path;

use multi_digest::Digests;
use safe_files::{Directory, Entry, NodeKind};

use super::options::Limits;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::inventory::Inventory;
use crate::read_files::Root;

/// Lists all files and directories below a root, without reading any file.
///
/// The path of the root is canonical. A root that is an open directory is never left, and each link is reported. Otherwise links are
/// followed, and dangling links and loops are reported.
pub(crate) fn walk(root: &Root, limits: &Limits) -> Result<Inventory> {
    let path = root.full("");
    let mut walk = Walk {
        root,
        path: &path,
        inventory: Inventory::new(),
        pending: Vec::new(),
        left: limits.entries,
        too_many: false,
    };
    walk.directory("").map_err(Error::io("read the directory", &path))?;
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

/// Iterates over the entries of a directory below a root.
fn entries(root: &Root, directory: &str) -> io::Result<Box<dyn Iterator<Item = io::Result<Entry>>>> {
    match root {
        Root::Below(root) | Root::WithoutLinks(root) if directory.is_empty() => Ok(Box::new(root.entries()?)),
        Root::Below(root) | Root::WithoutLinks(root) => {
            Ok(Box::new(root.open_directory(directory)?.entries()?))
        }
        Root::Anywhere(root) => Ok(Box::new(Directory::open(&root.join(directory))?.entries()?)),
    }
}

struct Walk<'a> {
    root: &'a Root,
    path: &'a Path,
    inventory: Inventory,
    pending: Vec<String>,
    /// The number of entries that the limit still allows.
    left: u64,
    too_many: bool,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &str) -> io::Result<()> {
        for entry in entries(self.root, directory)? {
            let Entry { name, kind, size, .. } = entry?;
            let Some(left) = self.left.checked_sub(1) else {
                self.too_many = true;
                self.pending.clear();
                break;
            };
            self.left = left;
            let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
            let Some(name) = name.to_str() else {
                let path = format!("{prefix}{}", name.to_string_lossy());
                let message = "the name is not UTF-8, so no manifest can list it";
                self.inventory.observe(Fault::new(FaultCode::NameNotUtf8, Some(&path), message));
                continue;
            };
            let path = format!("{prefix}{name}");
            match kind {
                NodeKind::Directory => {
                    self.inventory.insert_directory(&path);
                    self.pending.push(path);
                }
                NodeKind::Link => self.link(&path, &self.path.join(&path)),
                // The hashing reports a file that has vanished.
                NodeKind::File => _ = self.inventory.insert_file(&path, size, Digests::new()),
                _ => self.not_a_file(FaultCode::SpecialFile, &path, "a device, FIFO or socket"),
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
        if matches!(self.root, Root::Anywhere(_)) {
            return self.follow(path, full, &target);
        }
        if !target.starts_with(self.path) {
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
