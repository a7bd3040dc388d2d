//! The content of a new bag, planned and judged before anything is written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use multi_digest::Digests;
use safe_files::{Directory, leaves};

use super::builder::{BagBuilder, Source};
use crate::check::name_faults;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode, Severity};
use crate::inventory::{EntryKind, Inventory};
use crate::read_files::{Root, SourceRoot};
use crate::report::Faults;
use crate::scan::{Limits, walk};
use crate::tag_files::TagFiles;

/// The directory or file from which some files of a bag come.
enum PlannedSource {
    Directory {
        root: Root,
        /// The position in a path of the bag where the path below the root begins.
        below: usize,
    },
    File {
        path: PathBuf,
        follow: bool,
    },
}

/// The files and directories of a future bag.
#[derive(Default)]
pub(crate) struct Plan {
    /// The files and directories. The files have no digests, and the number of their source as mark.
    pub(crate) inventory: Inventory,
    sources: Vec<PlannedSource>,
    faults: Faults,
}

impl Plan {
    /// Plans the payload and the extra tag files of a builder.
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

    /// Plans the extra tag files only.
    pub(crate) fn of_tags(builder: &BagBuilder) -> Result<Self> {
        let mut plan = Self::default();
        plan.add_tags(builder)?;
        plan.judge(builder)?;
        Ok(plan)
    }

    /// Plans every file below a directory under its own path.
    pub(crate) fn of_directory(root: &Path, limits: &Limits) -> Result<Self> {
        let mut plan = Self::default();
        plan.add_directory("", root, limits, false)?;
        Ok(plan)
    }

    /// Returns the root of the source of the file at a position of the inventory, and its path below the root.
    pub(crate) fn source(&self, position: usize) -> io::Result<(SourceRoot<'_>, &Path)> {
        let path = self.inventory.get(position).map_or("", |(path, _)| path);
        match self.sources.get(self.inventory.mark(position) as usize) {
            Some(PlannedSource::Directory { root, below }) => {
                Ok((SourceRoot::Of(root), Path::new(path.get(*below..).unwrap_or_default())))
            }
            Some(PlannedSource::File { path, follow: true }) => {
                Ok((SourceRoot::Own(Root::Anywhere(PathBuf::new())), path))
            }
            Some(PlannedSource::File { path, follow: false }) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let root = Root::WithoutLinks(Directory::open(parent.unwrap_or(Path::new(".")))?);
                Ok((SourceRoot::Own(root), Path::new(path.file_name().unwrap_or_default())))
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Removes the files for which `keep` is false.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let mut kept = Inventory::new();
        self.inventory.directories().for_each(|directory| kept.insert_directory(directory));
        for (position, (path, entry)) in self.inventory.files().enumerate() {
            if keep(path) {
                kept.insert(path, entry);
                if let Some(place) = kept.position(path) {
                    kept.set_mark(place, self.inventory.mark(position));
                }
            }
        }
        self.inventory = kept;
    }

    fn add_tags(&mut self, builder: &BagBuilder) -> Result<()> {
        for (path, source) in &builder.tags {
            if TagFiles::wants(path) || path == "data" || path.starts_with("data/") {
                let message = "a tag file cannot have this path";
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
        match source {
            Source::Directory(directory) => {
                self.add_directory(place, directory, &builder.limits, builder.dereference)
            }
            Source::File(file) => self.add_file(place, file, builder.dereference),
        }
    }

    fn add_directory(&mut self, place: &str, directory: &Path, limits: &Limits, follow: bool) -> Result<()> {
        let path = fs::canonicalize(directory).map_err(Error::io("open", directory))?;
        let root = if follow { Ok(Root::Anywhere(path)) } else { Root::below(&path) };
        let root = root.map_err(Error::io("open", directory))?;
        let found = walk(&root, limits)?;
        let prefix = if place.is_empty() { String::new() } else { format!("{place}/") };
        self.inventory.insert_directory(place);
        for below in found.directories() {
            self.inventory.insert_directory(&format!("{prefix}{below}"));
        }
        self.faults.append(found.observations(), |mut fault| {
            fault.path = fault.path.map(|path| format!("{prefix}{path}"));
            if fault.code == FaultCode::LinkInside {
                fault.message = "the path is a symbolic link to another file of the source".to_owned();
            }
            fault.with_severity(Severity::Error)
        });
        self.sources.push(PlannedSource::Directory { root, below: prefix.len() });
        for (below, entry) in found.files().filter(|(_, entry)| entry.kind == EntryKind::File) {
            self.add_planned(&format!("{prefix}{below}"), entry.size);
        }
        Ok(())
    }

    fn add_file(&mut self, place: &str, file: &Path, follow: bool) -> Result<()> {
        let look = if follow { fs::metadata(file) } else { fs::symlink_metadata(file) };
        let metadata = look.map_err(Error::io("open", file))?;
        if !metadata.is_file() {
            let message = format!("{} is not a regular file", file.display());
            self.faults.push(Fault::new(FaultCode::SpecialFile, Some(place), message));
            return Ok(());
        }
        self.sources.push(PlannedSource::File { path: file.to_owned(), follow });
        self.add_planned(place, metadata.len());
        Ok(())
    }

    /// Adds a file of the source that was added last.
    fn add_planned(&mut self, path: &str, size: u64) {
        if self.inventory.insert_file(path, size, Digests::new()) {
            let message = "the builder has two files for this path";
            self.faults.push(Fault::new(FaultCode::DuplicateEntryConflict, Some(path), message));
        }
        // More sources than this type can count do not fit into memory.
        let source = u32::try_from(self.sources.len().saturating_sub(1)).unwrap_or(u32::MAX);
        if let Some(position) = self.inventory.position(path) {
            self.inventory.set_mark(position, source);
        }
    }

    /// Refuses all files that cannot go into a bag at once.
    fn judge(&mut self, builder: &BagBuilder) -> Result<()> {
        let unsafe_anywhere = |code| {
            matches!(
                code,
                FaultCode::PathEscapes | FaultCode::NamesDifferInNormalisation | FaultCode::WorkDirectory
            )
        };
        let unsafe_elsewhere =
            |code| matches!(code, FaultCode::NameNotPortable | FaultCode::NamesDifferInCase);
        let refused =
            |fault: &Fault| unsafe_anywhere(fault.code) || (builder.portable && unsafe_elsewhere(fault.code));
        let mut faults = std::mem::take(&mut self.faults);
        name_faults(&self.inventory, &Inventory::new(), &mut |fault| {
            if refused(&fault) {
                faults.push(fault.with_severity(Severity::Error));
            }
        });
        let clash = |(path, _): &(&str, _)| self.inventory.has_directory(path);
        faults.extend(self.inventory.files().filter(clash).map(|(path, _)| {
            Fault::new(
                FaultCode::PathIsDirectory,
                Some(path),
                "the builder has a file and a directory for this path",
            )
        }));
        if faults.is_empty() { Ok(()) } else { Err(Error::Unbaggable { faults: faults.into_kept() }) }
    }
}
