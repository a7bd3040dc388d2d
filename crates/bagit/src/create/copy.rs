//! Copying files into a bag, each read once for the copy and all digests.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::{BagBuilder, Created, Plan, PlannedFile, Staging, dated_info, write_tag_files};
use crate::algorithm::AlgorithmSet;
use crate::check::{CheckOptions, check};
use crate::digests::MultiHasher;
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::parallel::map_largest_first;
use crate::progress::{Progress, ProgressEvent};
use crate::scan::{ReadOutcome, Scan, read_unchanged};

/// Makes a new bag by copying.
pub(super) fn create(builder: &BagBuilder, target: &Path, progress: &dyn Progress) -> Result<Created> {
    let plan = Plan::new(builder)?;
    let info = dated_info(builder)?;
    refuse_bag(builder, &plan.inventory, target)?;
    let staging = Staging::beside(target)?;
    let mut inventory = copy_files(&plan, staging.path(), builder.algorithms, builder.threads, progress)?;
    let tag_files = write_tag_files(&mut inventory, info, None, builder.algorithms, staging.path())?;
    let created = proven(Scan { inventory, tag_files, base_directory: None })?;
    staging.publish(target)?;
    Ok(created)
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
    plan: &Plan,
    target: &Path,
    algorithms: AlgorithmSet,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Inventory> {
    for directory in plan.inventory.directories() {
        let path = target.join(directory);
        fs::create_dir_all(&path).map_err(Error::io("make the directory", path))?;
    }
    let bytes = plan.files.iter().map(|file| file.size).fold(0, u64::saturating_add);
    progress.event(ProgressEvent::Planned { files: plan.files.len() as u64, bytes });
    let copy =
        |file: &PlannedFile, buffer: &mut [u8]| copy_file(plan, file, target, algorithms, buffer, progress);
    let copies = map_largest_first(&plan.files, threads, |file| file.size, copy);
    let mut inventory = Inventory::new();
    plan.inventory.directories().for_each(|directory| inventory.insert_directory(directory));
    for (file, copy) in plan.files.iter().zip(copies) {
        let (size, digests) = copy?;
        inventory.insert_file(&file.path, size, digests);
    }
    Ok(inventory)
}

fn copy_file(
    plan: &Plan,
    file: &PlannedFile,
    target: &Path,
    algorithms: AlgorithmSet,
    buffer: &mut [u8],
    progress: &dyn Progress,
) -> Result<(u64, crate::Digests)> {
    let source = plan.source(file);
    let copy = target.join(&*file.path);
    progress.event(ProgressEvent::Started { path: &file.path });
    let mut written = File::create(&copy).map_err(Error::io("write", &copy))?;
    let mut hasher = MultiHasher::new(algorithms);
    let mut write_failure = None;
    let outcome = read_unchanged(&source, buffer, |bytes| {
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
    let metadata = match outcome.map_err(Error::io("read", &source))? {
        ReadOutcome::Unchanged(metadata) => metadata,
        ReadOutcome::Changed | ReadOutcome::Vanished => return Err(Error::Changed(source)),
    };
    // The time of the data is part of it for people; file systems without times lose nothing else.
    if let Ok(time) = metadata.modified() {
        let _ = written.set_modified(time);
    }
    progress.event(ProgressEvent::Finished { path: &file.path });
    Ok((metadata.len(), hasher.finish()))
}
