//! What will be in a new bag, known and judged before anything is written.

use std::fs;
use std::path::{Path, PathBuf};

use safe_files::leaves;

use super::{BagBuilder, Source};
use crate::check::name_faults;
use crate::digests::Digests;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode, Severity};
use crate::inventory::{EntryKind, Inventory};
use crate::scan::{Limits, Links, walk};
use crate::tag_files::TagFiles;

/// Says where the bytes of some files of a bag come from.
struct PlannedSource {
    root: PathBuf,
    /// Where the path below the root begins in the path in the bag.
    below: usize,
}

/// Lists the files and directories of a bag to be.
#[derive(Default)]
pub(crate) struct Plan {
    /// The files, without digests, each marked by the number of its source; and the directories.
    pub(crate) inventory: Inventory,
    sources: Vec<PlannedSource>,
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

    /// Gives where the bytes of the file at a place of the inventory come from.
    pub(crate) fn source(&self, position: usize) -> PathBuf {
        let path = self.inventory.get(position).map_or("", |(path, _)| path);
        let Some(source) = self.sources.get(self.inventory.mark(position) as usize) else {
            return PathBuf::new();
        };
        match path.get(source.below..) {
            Some(below) if !below.is_empty() => source.root.join(below),
            _ => source.root.clone(),
        }
    }

    /// Leaves out the files of which `keep` does not say otherwise.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let mut kept = Inventory::new();
        self.inventory.directories().for_each(|directory| kept.insert_directory(directory));
        for (position, (path, entry)) in self.inventory.files().enumerate() {
            if keep(path) {
                kept.insert(path, entry);
                kept.set_mark(path, self.inventory.mark(position));
            }
        }
        self.inventory = kept;
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
        if let Some(reason) = leaves(place) {
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
        self.sources.push(PlannedSource { root, below: prefix.len() });
        for (below, entry) in found.files().filter(|(_, entry)| entry.kind == EntryKind::File) {
            self.add_planned(&format!("{prefix}{below}"), entry.size);
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
        self.sources.push(PlannedSource { root: file.to_owned(), below: place.len() });
        self.add_planned(place, metadata.len());
        Ok(())
    }

    /// Adds a file of the source that was added last.
    fn add_planned(&mut self, path: &str, size: u64) {
        if self.inventory.insert_file(path, size, Digests::new()) {
            let message = "two files were given for this path";
            self.faults.push(Fault::new(FaultCode::DuplicateEntryConflict, Some(path), message));
        }
        // More sources than this type can count do not fit into memory.
        let source = self.sources.len().saturating_sub(1);
        self.inventory.set_mark(path, u32::try_from(source).unwrap_or(u32::MAX));
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
