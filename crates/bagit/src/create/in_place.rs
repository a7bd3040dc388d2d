//! Turning a directory into a bag without copying its files.

use std::fs;
use std::io;
use std::path::Path;

use multi_digest::AlgorithmSet;
use safe_files::{Directory, NodeKind};

use super::builder::{BagBuilder, Created, Source};
use super::copy::{copy_files, proven, refuse_bag};
use super::plan::Plan;
use super::tag_files::{dated_info, write_tag_files};
use super::workplace::{PARTIAL_NAME, Workplace, finish_interrupted};
use crate::bag::{Prefix, hash_positions, is_bag, scan_directory};
use crate::error::{Error, Result};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::progress::{NoProgress, Progress};
use crate::read_files::HashOutcome;
use crate::scan::{Scan, ScanOptions};

impl BagBuilder {
    /// Turns a directory into a bag: its content moves into its `data/`.
    ///
    /// Symbolic links are refused, even with [`BagBuilder::dereference`]. Everything is hashed before anything moves. While files move,
    /// they are in `.bagit-in-place/data` below the directory. No file is ever in two places or none. After an interruption, the same
    /// call continues the work. Everything is on the disk when the call returns.
    ///
    /// # Errors
    /// As [`BagBuilder::create`], [`Error::AlreadyBag`] if the directory is a bag, and [`Error::ForeignWork`] if it has a directory
    /// `.bagit-in-place` or `.bagit-commit` that this crate did not make for it.
    pub fn create_in_place(&self, directory: &Path, progress: &dyn Progress) -> Result<Created> {
        create(self, directory, progress)
    }
}

/// Creates a bag of a directory, or continues the work of an interrupted call.
fn create(builder: &BagBuilder, directory: &Path, progress: &dyn Progress) -> Result<Created> {
    let path = fs::canonicalize(directory).map_err(Error::io("open", directory))?;
    let bag = Directory::open(&path).map_err(Error::io("open", directory))?;
    if finish_interrupted(&bag)? {
        return proven(scan_directory(&path, &ScanOptions::default(), progress)?);
    }
    if is_bag(&path) && !builder.allow_bag {
        return Err(Error::AlreadyBag(directory.to_owned()));
    }
    let mut workplace = Workplace::interrupted(&bag)?;
    if let Some(found) = workplace.take() {
        if found.has_payload()? {
            workplace = Some(found);
        } else {
            found.discard()?;
        }
    }
    let resumed = workplace.is_some();
    let (inventory, workplace) = match workplace {
        Some(workplace) => {
            move_all(&bag, &workplace, &names(&bag)?)?;
            let data = workplace.directory().path().join("data");
            (hash_payload(builder, &data, progress)?, workplace)
        }
        None => {
            let inventory = hash_payload(builder, &path, progress)?;
            let workplace = Workplace::begin(&bag, &names(&bag)?)?;
            (inventory, workplace)
        }
    };
    let filled = fill(builder, &bag, &workplace, inventory, resumed);
    if filled.is_err() && !resumed {
        move_back(workplace.directory(), &bag);
        if workplace.has_payload().is_ok_and(|has| !has) {
            // Best effort: the caller gets the error that led here.
            let _ = workplace.discard();
        }
        return filled;
    }
    let created = filled?;
    workplace.commit(&[])?;
    Ok(created.moved_to(&path))
}

/// Fills the workplace: extra tag files, then the payload, then the tag files that list them.
fn fill(
    builder: &BagBuilder,
    bag: &Directory,
    workplace: &Workplace,
    mut inventory: Inventory,
    resumed: bool,
) -> Result<Created> {
    let directory = workplace.directory();
    if resumed {
        discard_tags(directory)?;
    }
    copy_tags(builder, directory, &mut inventory)?;
    let info = dated_info(builder)?;
    if !resumed {
        move_all(bag, workplace, &names(bag)?)?;
    }
    let tag_files = write_tag_files(&mut inventory, info, None, builder.algorithms, directory)?;
    proven(Scan { inventory, tag_files, base_directory: None })
}

/// Hashes the future payload where it is. Returns the inventory with its future paths.
fn hash_payload(builder: &BagBuilder, root: &Path, progress: &dyn Progress) -> Result<Inventory> {
    let mut payload = builder.clone();
    // A link that moves stays a link.
    payload.dereference = false;
    payload.payload = vec![(String::new(), Source::Directory(root.to_owned()))];
    let mut plan = Plan::new(&payload)?;
    if !payload.tags.is_empty() {
        plan.retain(|path| path.starts_with("data/"));
    }
    refuse_bag(&payload, &plan.inventory, root)?;
    let mut inventory = plan.inventory;
    let positions: Vec<usize> = (0..inventory.len()).collect();
    let prefix =
        Prefix { of_paths: "data/", root, threads: builder.threads, known: builder.known.as_deref() };
    let algorithms = |_: &str| builder.algorithms;
    hash_positions(
        &mut inventory,
        &positions,
        &prefix,
        algorithms,
        progress,
        |inventory, position, outcome| {
            let path = inventory.get(position).map_or("", |(path, _)| path);
            let place = || root.join(path.strip_prefix(prefix.of_paths).unwrap_or(path));
            match outcome {
                HashOutcome::Hashed { size, digests } => {
                    let entry = FileEntry { size, digests: digests.view(), kind: EntryKind::File };
                    inventory.set(position, entry);
                    Ok(())
                }
                HashOutcome::Unreadable(error) => Err(Error::io("read", place())(error)),
                HashOutcome::Changed | HashOutcome::Vanished => Err(Error::Changed(place())),
            }
        },
    )?;
    Ok(inventory)
}

/// Removes the extra tag files that an interrupted call has copied. They are copied again.
fn discard_tags(directory: &Directory) -> Result<()> {
    for name in names(directory)?.iter().filter(|name| *name != "data" && !Workplace::is_about(name)) {
        let removed = match directory.kind(name) {
            Ok(Some(NodeKind::Directory)) => directory.remove_tree(name),
            _ => directory.remove_file(name),
        };
        removed.map_err(Error::io("remove", directory.path().join(name)))?;
    }
    Ok(())
}

/// Copies the extra tag files into the workplace and adds them to the inventory.
fn copy_tags(builder: &BagBuilder, directory: &Directory, inventory: &mut Inventory) -> Result<()> {
    let plan = Plan::of_tags(builder)?;
    let algorithms: AlgorithmSet = builder.algorithms;
    let copied = copy_files(plan, directory, algorithms, builder.threads, &NoProgress)?;
    copied.directories().for_each(|directory| inventory.insert_directory(directory));
    for (path, entry) in copied.files() {
        inventory.insert(path, entry);
    }
    Ok(())
}

/// Returns the names in a directory. All of them are UTF-8, or the payload was refused.
fn names(directory: &Directory) -> Result<Vec<String>> {
    let names = directory.names().map_err(Error::io("read the directory", directory.path()))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// Moves the named entries of the bag into `data/` of the workplace, except the workplace itself.
fn move_all(bag: &Directory, workplace: &Workplace, names: &[String]) -> Result<()> {
    let to = workplace.directory();
    let data = to.create_directories("data").and_then(|()| to.open_directory("data"));
    let data = data.map_err(Error::io("create the directory", to.path().join("data")))?;
    for name in names.iter().filter(|name| *name != PARTIAL_NAME) {
        bag.rename_new(name, &data, name).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::io("move a second file to", data.path().join(name))(error),
            _ => Error::io("move", bag.path().join(name))(error),
        })?;
    }
    Ok(())
}

/// Undoes a failed move as far as possible. The next call finds the rest.
fn move_back(directory: &Directory, bag: &Directory) {
    let Ok(data) = directory.open_directory("data") else { return };
    for name in data.names().unwrap_or_default() {
        let _ = data.rename_new(&name, bag, &name);
    }
}
