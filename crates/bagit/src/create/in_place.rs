//! Turning a directory into a bag without copying its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use multi_digest::AlgorithmSet;

use super::builder::{BagBuilder, Created, Source};
use super::copy::{copy_files, proven, refuse_bag};
use super::plan::Plan;
use super::staging::{PARTIAL_NAME, commit, commit_pending};
use super::tag_files::{dated_info, write_tag_files};
use crate::bag::{Prefix, hash_positions, is_bag, scan_directory};
use crate::error::{Error, Result};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::progress::{NoProgress, Progress};
use crate::read_files::HashOutcome;
use crate::scan::{Scan, ScanOptions};
use crate::tag_files::TagFiles;

impl BagBuilder {
    /// Turns a directory into a bag: its content moves into its `data/`.
    ///
    /// Symbolic links are refused, even with [`BagBuilder::dereference`]. Everything is hashed before anything moves. While files move,
    /// they are in `.bagit-in-place/data` below the directory. No file is ever in two places or none. After an interruption, the same
    /// call continues the work.
    ///
    /// # Errors
    /// As [`BagBuilder::create`], and [`Error::AlreadyBag`] if the directory is a bag.
    pub fn create_in_place(&self, directory: &Path, progress: &dyn Progress) -> Result<Created> {
        create(self, directory, progress)
    }
}

/// Creates a bag of a directory, or continues the work of an interrupted call.
fn create(builder: &BagBuilder, directory: &Path, progress: &dyn Progress) -> Result<Created> {
    let bag = fs::canonicalize(directory).map_err(Error::io("open", directory))?;
    if commit_pending(&bag)? {
        return proven(scan_directory(&bag, &ScanOptions::default(), progress)?);
    }
    if is_bag(&bag) && !builder.allow_bag {
        return Err(Error::AlreadyBag(directory.to_owned()));
    }
    let partial = bag.join(PARTIAL_NAME);
    let data = partial.join("data");
    let resumed = data.is_dir() && !entries(&data)?.is_empty();
    if resumed {
        move_all(&bag, &data)?;
    } else if partial.exists() {
        discard(&partial)?;
    }
    let root = if resumed { data.clone() } else { bag.clone() };
    let inventory = hash_payload(builder, &root, progress)?;
    fs::create_dir_all(&data).map_err(Error::io("create the directory", &data))?;
    let filled = fill(builder, &bag, &partial, inventory, resumed);
    if filled.is_err() && !resumed {
        move_back(&partial, &bag);
    }
    let created = filled?;
    commit(&bag, &[])?;
    Ok(created.moved_to(&bag))
}

/// Fills the partial directory: extra tag files, then the payload, then the tag files that list them.
fn fill(
    builder: &BagBuilder,
    bag: &Path,
    partial: &Path,
    mut inventory: Inventory,
    resumed: bool,
) -> Result<Created> {
    copy_tags(builder, partial, &mut inventory)?;
    let info = dated_info(builder)?;
    if !resumed {
        move_all(bag, &partial.join("data"))?;
    }
    let tag_files = write_tag_files(&mut inventory, info, None, builder.algorithms, partial)?;
    proven(Scan { inventory, tag_files, base_directory: None })
}

/// Removes a partial directory of an interrupted call that has no payload. A directory with any other file is refused.
fn discard(partial: &Path) -> Result<()> {
    let is_ours =
        |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(TagFiles::wants);
    let data = partial.join("data");
    if data.is_dir() {
        return fs::remove_dir_all(partial).map_err(Error::io("remove", partial));
    }
    if !entries(partial)?.iter().all(is_ours) {
        return Err(Error::TargetNotEmpty(partial.to_owned()));
    }
    fs::remove_dir_all(partial).map_err(Error::io("remove", partial))
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
    let prefix = Prefix { of_paths: "data/", root, threads: builder.threads };
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

/// Copies the extra tag files into the partial directory and adds them to the inventory.
fn copy_tags(builder: &BagBuilder, partial: &Path, inventory: &mut Inventory) -> Result<()> {
    let plan = Plan::of_tags(builder)?;
    let algorithms: AlgorithmSet = builder.algorithms;
    let copied = copy_files(plan, partial, algorithms, builder.threads, &NoProgress)?;
    copied.directories().for_each(|directory| inventory.insert_directory(directory));
    for (path, entry) in copied.files() {
        inventory.insert(path, entry);
    }
    Ok(())
}

/// Moves everything directly below the bag into `target`, except the partial directory.
fn move_all(bag: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target).map_err(Error::io("create the directory", target))?;
    for from in entries(bag)? {
        let Some(name) = from.file_name().filter(|name| *name != PARTIAL_NAME) else { continue };
        let to = target.join(name);
        if fs::symlink_metadata(&to).is_ok() {
            return Err(Error::io("move a second file to", to)(io::ErrorKind::AlreadyExists.into()));
        }
        fs::rename(&from, &to).map_err(Error::io("move", from))?;
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(Error::io("read the directory", directory))?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("read the directory", directory)))
        .collect()
}

/// Undoes a failed move as far as possible. The next call finds the rest.
fn move_back(partial: &Path, bag: &Path) {
    let data = partial.join("data");
    for from in entries(&data).unwrap_or_default() {
        if let Some(to) = from.file_name().map(|name| bag.join(name))
            && fs::symlink_metadata(&to).is_err()
        {
            let _ = fs::rename(&from, &to);
        }
    }
    // This fails if a file is left, and then the rest stays too.
    if fs::remove_dir(&data).is_ok() {
        let _ = fs::remove_dir_all(partial);
    }
}
