//! What will be in a new bag, known and judged before anything is written.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BagBuilder, Source};
use crate::check::name_faults;
use crate::digests::Digests;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode, Severity};
use crate::inventory::{EntryKind, Inventory};
use crate::path::escape_reason;
use crate::scan::{Limits, Links, walk};
use crate::tag_files::TagFiles;

/// Names one file of a bag and where its bytes come from.
pub(crate) struct PlannedFile {
    /// Its path in the bag.
    pub(crate) path: Box<str>,
    /// Its size as the walk saw it.
    pub(crate) size: u64,
    /// Where the source is: an index into the roots.
    root: usize,
    /// Where the path below the root begins in the path in the bag.
    below: usize,
}

/// Lists the files and directories of a bag to be.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) files: Vec<PlannedFile>,
    /// The same files and the directories, without digests.
    pub(crate) inventory: Inventory,
    roots: Vec<PathBuf>,
    faults: Vec<Fault>,
}

impl Plan {
    /// Lists what a builder was given: the payload and the extra tag files.
    pub(crate) fn new(builder: &BagBuilder) -> Result<Self> {
        let mut plan = Self::default();
        plan.inventory.insert_directory("data");
        for (path, source) in &builder.payload {
            let place = if path.is_empty() { "data".to_owned() } else { format!("data/{path}") };
            plan.add(&place, source, builder)?;
        }
        plan.add_tags(builder)?;
        plan.judge(builder)?;
        Ok(plan)
    }

    /// Lists the extra tag files alone.
    pub(crate) fn of_tags(builder: &BagBuilder) -> Result<Self> {
        let mut plan = Self::default();
        plan.add_tags(builder)?;
        plan.judge(builder)?;
        Ok(plan)
    }

    /// Lists every file below a directory under its own path.
    pub(crate) fn of_directory(root: &Path, limits: &Limits) -> Result<Self> {
        let mut plan = Self::default();
        plan.add_directory("", root, limits, Links::Report)?;
        Ok(plan)
    }

    /// Gives where the bytes of a file come from.
    pub(crate) fn source(&self, file: &PlannedFile) -> PathBuf {
        let root = self.roots.get(file.root).map(PathBuf::as_path).unwrap_or(Path::new(""));
        match file.path.get(file.below..) {
            Some(below) if !below.is_empty() => root.join(below),
            _ => root.to_owned(),
        }
    }

    fn add_tags(&mut self, builder: &BagBuilder) -> Result<()> {
        for (path, source) in &builder.tags {
            if TagFiles::wants(path) || path == "data" || path.starts_with("data/") {
                let message = "the path is not free for a tag file";
                self.faults.push(Fault::new(FaultCode::PathOutsidePayload, Some(path), message));
            }
            self.add(path, source, builder)?;
        }
        Ok(())
    }

    fn add(&mut self, place: &str, source: &Source, builder: &BagBuilder) -> Result<()> {
        if let Some(reason) = escape_reason(place) {
            self.faults.push(Fault::new(
                FaultCode::PathEscapes,
                Some(place),
                format!("the path is unsafe: {reason}"),
            ));
            return Ok(());
        }
        let links = if builder.dereference { Links::Follow } else { Links::Report };
        match source {
            Source::Directory(directory) => self.add_directory(place, directory, &builder.limits, links),
            Source::File(file) => self.add_file(place, file, links),
        }
    }

    fn add_directory(&mut self, place: &str, directory: &Path, limits: &Limits, links: Links) -> Result<()> {
        let root = fs::canonicalize(directory).map_err(Error::io("open", directory))?;
        let found = walk(&root, limits, links)?;
        let prefix = if place.is_empty() { String::new() } else { format!("{place}/") };
        self.inventory.insert_directory(place);
        for below in found.directories() {
            self.inventory.insert_directory(&format!("{prefix}{below}"));
        }
        for fault in found.observations() {
            let path = fault.path.as_ref().map(|path| format!("{prefix}{path}"));
            self.faults.push(Fault { path, ..fault.clone() }.with_severity(Severity::Error));
        }
        self.roots.push(root);
        for (below, entry) in found.files().filter(|(_, entry)| entry.kind == EntryKind::File) {
            self.add_planned(format!("{prefix}{below}").into(), entry.size, prefix.len());
        }
        Ok(())
    }

    fn add_file(&mut self, place: &str, file: &Path, links: Links) -> Result<()> {
        let look = if links == Links::Follow { fs::metadata(file) } else { fs::symlink_metadata(file) };
        let metadata = look.map_err(Error::io("open", file))?;
        if !metadata.is_file() {
            let message = format!("{} is not a regular file", file.display());
            self.faults.push(Fault::new(FaultCode::SpecialFile, Some(place), message));
            return Ok(());
        }
        self.roots.push(file.to_owned());
        self.add_planned(place.into(), metadata.len(), place.len());
        Ok(())
    }

    fn add_planned(&mut self, path: Box<str>, size: u64, below: usize) {
        if self.inventory.insert_file(&path, size, Digests::new()) {
            let message = "two files were given for this path";
            self.faults.push(Fault::new(FaultCode::DuplicateEntryConflict, Some(&path), message));
        }
        let root = self.roots.len().saturating_sub(1);
        self.files.push(PlannedFile { path, size, root, below });
    }

    /// Refuses what cannot go into a bag, all of it at once.
    fn judge(&mut self, builder: &BagBuilder) -> Result<()> {
        let unsafe_anywhere =
            |code| matches!(code, FaultCode::PathEscapes | FaultCode::NamesDifferInNormalisation);
        let unsafe_elsewhere =
            |code| matches!(code, FaultCode::NameNotPortable | FaultCode::NamesDifferInCase);
        let refused =
            |fault: &Fault| unsafe_anywhere(fault.code) || (builder.portable && unsafe_elsewhere(fault.code));
        let named = name_faults(&self.inventory, &[]).into_iter().filter(refused);
        let mut faults = std::mem::take(&mut self.faults);
        faults.extend(named.map(|fault| fault.with_severity(Severity::Error)));
        let clash = |(path, _): &(&str, _)| self.inventory.has_directory(path);
        faults.extend(self.inventory.files().filter(clash).map(|(path, _)| {
            Fault::new(
                FaultCode::PathIsDirectory,
                Some(path),
                "a file and a directory were given for this path",
            )
        }));
        if faults.is_empty() { Ok(()) } else { Err(Error::Unbaggable { faults }) }
    }
}
