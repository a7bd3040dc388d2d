//! Copying files into a bag, each read once for the copy and all digests.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::{BagBuilder, Created, Plan, Staging, dated_info, write_tag_files};
use crate::algorithm::AlgorithmSet;
use crate::check::{CheckOptions, check};
use crate::digests::MultiHasher;
use crate::error::{Error, Result};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::parallel::{FILES_AT_ONCE, map_largest_first};
use crate::progress::{Progress, ProgressEvent};
use crate::scan::{ReadOutcome, Scan, read_unchanged};

/// Makes a new bag by copying.
pub(super) fn create(builder: &BagBuilder, target: &Path, progress: &dyn Progress) -> Result<Created> {
    let plan = Plan::new(builder)?;
    let info = dated_info(builder)?;
    refuse_bag(builder, &plan.inventory, target)?;
    let staging = Staging::beside(target)?;
    let mut inventory = copy_files(plan, staging.path(), builder.algorithms, builder.threads, progress)?;
    let tag_files = write_tag_files(&mut inventory, info, None, builder.algorithms, staging.path())?;
    let created = proven(Scan { inventory, tag_files, base_directory: None })?;
    staging.publish(target)?;
    Ok(created.moved_to(target))
}

/// Refuses a payload that is a bag, which is nearly always a mistake.
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
        super::Source::Directory(directory) => Some(directory.as_path()),
        super::Source::File(_) => None,
    })
}

/// Checks a new bag by the rules, from the digests of what was written.
pub(crate) fn proven(scan: Scan) -> Result<Created> {
    let report = check(&scan.inventory, &scan.tag_files, &CheckOptions::default());
    if report.valid {
        return Ok(Created { scan, report });
    }
    Err(Error::Unbaggable { faults: report.errors().cloned().collect() })
}

/// Copies all planned files and makes all planned directories below `target`; gives the inventory of the copies.
pub(crate) fn copy_files(
    mut plan: Plan,
    target: &Path,
    algorithms: AlgorithmSet,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Inventory> {
    for directory in plan.inventory.directories() {
        let path = target.join(directory);
        fs::create_dir_all(&path).map_err(Error::io("make the directory", path))?;
    }
    let bytes = plan.inventory.files().map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
    progress.event(ProgressEvent::Planned { files: plan.inventory.len() as u64, bytes });
    let positions: Vec<usize> = (0..plan.inventory.len()).collect();
    for batch in positions.chunks(FILES_AT_ONCE) {
        let size = |position: &usize| plan.inventory.get(*position).map_or(0, |(_, entry)| entry.size);
        let copy = |position: &usize, buffer: &mut [u8]| {
            let path = plan.inventory.get(*position).map_or("", |(path, _)| path);
            copy_file(&plan.source(*position), target, path, algorithms, buffer, progress)
        };
        let copies = map_largest_first(batch, threads, size, copy);
        for (position, copy) in batch.iter().zip(copies) {
            let (size, digests) = copy?;
            let entry = FileEntry { size, digests: digests.view(), kind: EntryKind::File };
            plan.inventory.set(*position, entry);
        }
    }
    Ok(plan.inventory)
}

fn copy_file(
    source: &Path,
    target: &Path,
    path: &str,
    algorithms: AlgorithmSet,
    buffer: &mut [u8],
    progress: &dyn Progress,
) -> Result<(u64, crate::Digests)> {
    let copy = target.join(path);
    progress.event(ProgressEvent::Started { path });
    let mut written = File::create(&copy).map_err(Error::io("write", &copy))?;
    let mut hasher = MultiHasher::new(algorithms);
    let mut write_failure = None;
    let outcome = read_unchanged(source, buffer, |bytes| {
        hasher.update(bytes);
        progress.event(ProgressEvent::Advanced { bytes: bytes.len() as u64 });
        written.write_all(bytes).map_err(|error| {
            let kind = error.kind();
            write_failure = Some(error);
            kind.into()
        })
    });
    if let Some(failure) = write_failure {
        return Err(Error::io("write", copy)(failure));
    }
    let metadata = match outcome.map_err(Error::io("read", source))? {
        ReadOutcome::Unchanged(metadata) => metadata,
        ReadOutcome::Changed | ReadOutcome::Vanished => return Err(Error::Changed(source.to_owned())),
    };
    // The time of the data is part of it for people; file systems without times lose nothing else.
    if let Ok(time) = metadata.modified() {
        let _ = written.set_modified(time);
    }
    progress.event(ProgressEvent::Finished { path });
    Ok((metadata.len(), hasher.finish()))
}
