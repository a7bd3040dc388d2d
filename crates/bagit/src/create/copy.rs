//! Copying files into a new bag, each read once for the copy and all digests.

use std::io::{self, Write};
use std::path::Path;

use multi_digest::{AlgorithmSet, Digests, MultiHasher};
use safe_files::{Directory, NewDirectory};

use super::builder::{BagBuilder, Created, Source};
use super::plan::Plan;
use super::tag_files::{dated_info, write_tag_files};
use crate::check::{CheckOptions, check};
use crate::error::{Error, Result};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::progress::{Progress, ProgressEvent, check_cancelled};
use crate::read_files::{FILES_AT_ONCE, ReadOutcome, Root, map_largest_first, read_unchanged};
use crate::scan::Scan;

impl BagBuilder {
    /// Copies everything into a new bag. Each file is read once. The target appears when the bag is complete and on the disk.
    ///
    /// No link leads out of a payload directory, even if another process replaces a directory meanwhile.
    ///
    /// # Errors
    /// [`Error::TargetNotEmpty`], [`Error::Unbaggable`] with every file that is a link, a device, or has an impossible name,
    /// [`Error::AlreadyBag`] if the payload is a bag, [`Error::Changed`] if a file changes meanwhile, [`Error::Io`],
    /// [`Error::Cancelled`]. In each case nothing stays at the target.
    pub fn create(&self, target: &Path, progress: &dyn Progress) -> Result<Created> {
        let plan = Plan::new(self)?;
        let info = dated_info(self)?;
        refuse_bag(self, &plan.inventory, target)?;
        let new = new_directory(target)?;
        let mut inventory = copy_files(plan, new.directory(), self.algorithms, self.threads, progress)?;
        let tag_files = write_tag_files(&mut inventory, info, None, self.algorithms, new.directory())?;
        let created = proven(Scan { inventory, tag_files, base_directory: None })?;
        publish(new, target)?;
        Ok(created.moved_to(target))
    }
}

/// Refuses a payload that is a bag. Bagging a bag is nearly always a mistake.
pub(super) fn refuse_bag(builder: &BagBuilder, inventory: &Inventory, place: &Path) -> Result<()> {
    let is_bag = inventory.file("data/bagit.txt").is_some() && !builder.allow_bag;
    if is_bag {
        Err(Error::AlreadyBag(source_of_payload(builder).unwrap_or(place).to_owned()))
    } else {
        Ok(())
    }
}

fn source_of_payload(builder: &BagBuilder) -> Option<&Path> {
    builder.payload.iter().find_map(|(_, source)| match source {
        Source::Directory(directory) => Some(directory.as_path()),
        Source::File(_) => None,
    })
}

/// Checks a new bag by the digests of the written files.
pub(crate) fn proven(scan: Scan) -> Result<Created> {
    let report = check(&scan.inventory, &scan.tag_files, &CheckOptions::default());
    if report.valid {
        return Ok(Created { scan, report });
    }
    Err(Error::Unbaggable { faults: report.errors().cloned().collect() })
}

/// Begins a new directory at a free target.
pub(crate) fn new_directory(target: &Path) -> Result<NewDirectory> {
    NewDirectory::beside(target).map_err(|error| occupied(error, "create the directory", target))
}

/// Writes a complete bag to the disk, and gives it its name.
pub(crate) fn publish(new: NewDirectory, target: &Path) -> Result<()> {
    new.publish().map_err(|error| occupied(error, "rename the finished bag to", target))
}

fn occupied(error: io::Error, action: &'static str, target: &Path) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            Error::TargetNotEmpty(target.to_owned())
        }
        _ => Error::io(action, target)(error),
    }
}

/// Copies all planned files and creates all planned directories below `target`. Returns the inventory of the copies.
pub(crate) fn copy_files(
    mut plan: Plan,
    target: &Directory,
    algorithms: AlgorithmSet,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Inventory> {
    for directory in plan.inventory.directories() {
        let path = || target.path().join(directory);
        target
            .create_directories(directory)
            .map_err(|error| Error::io("create the directory", path())(error))?;
    }
    let bytes = plan.inventory.files().map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
    progress.event(ProgressEvent::Planned { files: plan.inventory.len() as u64, bytes });
    let positions: Vec<usize> = (0..plan.inventory.len()).collect();
    for batch in positions.chunks(FILES_AT_ONCE) {
        let size = |position: &usize| plan.inventory.get(*position).map_or(0, |(_, entry)| entry.size);
        let copy = |position: &usize, buffer: &mut [u8]| {
            let path = plan.inventory.get(*position).map_or("", |(path, _)| path);
            let copied = plan.with_source(*position, |root, source| {
                copy_file(root, source, target, path, algorithms, buffer, progress)
            });
            copied.map_err(Error::io("open the directory of", path))?
        };
        let copies = map_largest_first(batch, threads, size, progress, copy)?;
        for (position, copy) in batch.iter().zip(copies) {
            let (size, digests) = copy?;
            let entry = FileEntry { size, digests: digests.view(), kind: EntryKind::File };
            plan.inventory.set(*position, entry);
        }
    }
    Ok(plan.inventory)
}

fn copy_file(
    root: &Root,
    source: &Path,
    target: &Directory,
    path: &str,
    algorithms: AlgorithmSet,
    buffer: &mut [u8],
    progress: &dyn Progress,
) -> Result<(u64, Digests)> {
    let copy = || target.path().join(path);
    progress.event(ProgressEvent::Started { path });
    let mut written = target.create_file(path).map_err(|error| Error::io("write", copy())(error))?;
    let mut hasher = MultiHasher::new(algorithms);
    let mut write_failure = None;
    let outcome = read_unchanged(root, source, buffer, |bytes| {
        hasher.update(bytes);
        progress.event(ProgressEvent::Advanced { bytes: bytes.len() as u64 });
        if progress.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        written.write_all(bytes).map_err(|error| {
            let kind = error.kind();
            write_failure = Some(error);
            kind.into()
        })
    });
    if let Some(failure) = write_failure {
        return Err(Error::io("write", copy())(failure));
    }
    check_cancelled(progress)?;
    let metadata = match outcome.map_err(|error| Error::io("read", root.full(source))(error))? {
        ReadOutcome::Unchanged(metadata) => metadata,
        ReadOutcome::Changed | ReadOutcome::Vanished => return Err(Error::Changed(root.full(source))),
    };
    // People care about the time of their data. A file system without times loses nothing else.
    if let Ok(time) = metadata.modified() {
        let _ = written.set_modified(time);
    }
    progress.event(ProgressEvent::Finished { path });
    Ok((metadata.len(), hasher.finish()))
}
