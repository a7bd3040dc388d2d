//! Unpacking the bag of a zip file into a new directory.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::Limits;
use super::zip::{MemberKind, ZipScan};
use crate::algorithm::AlgorithmSet;
use crate::digests::MultiHasher;
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::progress::{Progress, ProgressEvent};

/// Writes the files of the bag for which `wanted` holds into `target`, an empty directory, and hashes them on the way.
///
/// The archive was scanned before and has no fault: a file that cannot be read now is an error.
pub(crate) fn unpack_zip(
    reader: impl Read + Seek,
    limits: &Limits,
    target: &Path,
    algorithms: AlgorithmSet,
    wanted: impl Fn(&str) -> bool,
    progress: &dyn Progress,
) -> Result<Inventory> {
    let mut zip = ZipScan::open(reader, limits)?;
    let mut inventory = Inventory::new();
    let members = std::mem::take(&mut zip.members);
    let bytes = members.iter().map(|member| member.size).fold(0, u64::saturating_add);
    progress.event(ProgressEvent::Planned { files: members.len() as u64, bytes });
    for member in members {
        let Some(path) = member.path.strip_prefix(&zip.prefix).map(str::to_owned) else { continue };
        let full = target.join(&path);
        if matches!(member.kind, MemberKind::Directory) {
            inventory.insert_directory(&path);
            fs::create_dir_all(&full).map_err(Error::io("make the directory", full))?;
            continue;
        }
        if !wanted(&path) {
            continue;
        }
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent).map_err(Error::io("make the directory", parent))?;
        }
        let mut file = File::create_new(&full).map_err(Error::io("write", &full))?;
        let mut hasher = MultiHasher::new(algorithms);
        let mut written = Ok(());
        let read = zip.read(&member, progress, |bytes| {
            hasher.update(bytes);
            if written.is_ok() {
                written = file.write_all(bytes);
            }
        })?;
        written.map_err(Error::io("write", &full))?;
        let size = read.map_err(|message| Error::Archive { format: "zip", message, source: None })?;
        inventory.insert_file(&path, size, hasher.finish());
    }
    Ok(inventory)
}
