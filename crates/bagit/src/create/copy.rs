//! Copying files into a new bag, several side by side, each read once for the copy and all digests.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use multi_digest::{AlgorithmSet, Digests};
use safe_files::{Directory, NewDirectory};

use super::builder::{BagBuilder, Created, Source};
use super::plan::Plan;
use super::tag_files::{dated_info, write_tag_files};
use crate::check::{CheckOptions, check};
use crate::error::{Error, Result};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::progress::{Progress, ProgressEvent};
use crate::read_files::{FILES_AT_ONCE, Opened, ReadOutcome, SideBySide, WatchedFile, read_largest_first};
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
        let copying = Copying { plan: &plan, positions: batch, target, algorithms };
        let copies = read_largest_first(batch, threads, size, &copying, progress)?;
        for (position, copy) in batch.iter().zip(copies) {
            let (size, digests) = copy?;
            let entry = FileEntry { size, digests: digests.view(), kind: EntryKind::File };
            plan.inventory.set(*position, entry);
        }
    }
    Ok(plan.inventory)
}

/// Copies the files at these positions of a plan.
struct Copying<'a> {
    plan: &'a Plan,
    positions: &'a [usize],
    target: &'a Directory,
    algorithms: AlgorithmSet,
}

/// A copy that is being written.
struct NewCopy {
    written: File,
    failure: Option<io::Error>,
    source: PathBuf,
}

impl Copying<'_> {
    fn start(&self, index: usize) -> Result<Opened<'_, NewCopy>> {
        let path = self.path(index);
        let copy = || self.target.path().join(path);
        let position = self.positions.get(index).copied().unwrap_or(usize::MAX);
        let (root, below) = self.plan.source(position).map_err(Error::io("open the directory of", path))?;
        let source = root.full(below);
        let written = self.target.create_file(path).map_err(|error| Error::io("write", copy())(error))?;
        match WatchedFile::open(root, below) {
            Ok(Some(file)) => {
                let sink = NewCopy { written, failure: None, source };
                Ok(Opened { file, algorithms: self.algorithms, sink })
            }
            Ok(None) => Err(Error::Changed(source)),
            Err(error) => Err(Error::io("read", source)(error)),
        }
    }
}

impl SideBySide for Copying<'_> {
    type Sink = NewCopy;
    type Outcome = Result<(u64, Digests)>;

    fn path(&self, index: usize) -> &str {
        let position = self.positions.get(index).copied().unwrap_or(usize::MAX);
        self.plan.inventory.get(position).map_or("", |(path, _)| path)
    }

    fn open(&self, index: usize) -> std::result::Result<Opened<'_, NewCopy>, Self::Outcome> {
        self.start(index).map_err(Err)
    }

    fn take(&self, copy: &mut NewCopy, bytes: &[u8]) -> bool {
        copy.failure = copy.written.write_all(bytes).err();
        copy.failure.is_none()
    }

    fn close(
        &self,
        index: usize,
        copy: NewCopy,
        read: io::Result<ReadOutcome>,
        digests: Digests,
    ) -> Self::Outcome {
        let NewCopy { written, failure, source } = copy;
        if let Some(failure) = failure {
            return Err(Error::io("write", self.target.path().join(self.path(index)))(failure));
        }
        let metadata = match read {
            Ok(ReadOutcome::Unchanged(metadata)) => metadata,
            Ok(ReadOutcome::Changed | ReadOutcome::Vanished) => return Err(Error::Changed(source)),
            Err(error) => return Err(Error::io("read", source)(error)),
        };
        // People care about the time of their data. A file system without times loses nothing else.
        if let Ok(time) = metadata.modified() {
            let _ = written.set_modified(time);
        }
        Ok((metadata.len(), digests))
    }
}
