//! Makes sure that a side did the work that it was measured for.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::measure::Task;
use super::rows::{Check, ORAS_PULL};
use crate::error::{Result, at};
use crate::peers;

/// Paths below a directory, with the size of files; directories have none.
type Listing = BTreeMap<PathBuf, Option<u64>>;

/// Blobs up to this size are manifests: oras writes another one with every push, with the time in it.
const LARGEST_MANIFEST: u64 = 64 * 1024;

/// Looks at what is there before the runs.
pub(super) fn before(check: Check, task: &Task) -> Result<Listing> {
    if check == Check::StoreUnchanged { content(&task.store) } else { Ok(Listing::new()) }
}

/// Lists the blobs of a store that are no manifests.
fn content(store: &Path) -> Result<Listing> {
    let mut blobs = list(&store.join("blobs"))?;
    blobs.retain(|_, size| size.is_some_and(|size| size > LARGEST_MANIFEST));
    Ok(blobs)
}

/// Looks at what the runs did; fails if it is not what the row is about.
pub(super) fn after(check: Check, task: &Task, before: &Listing) -> Result<()> {
    match check {
        Check::StoreHoldsBag => store_holds_bag(task),
        Check::StoreUnchanged => {
            if content(&task.store)? != *before {
                return Err("the second push wrote or removed content".into());
            }
            store_holds_bag(task)
        }
        Check::OutHoldsBag => same_trees(&task.bag, &task.out.join(bag_name(task))),
        Check::RefusesDamage => refuses_damage(task),
    }
}

fn bag_name(task: &Task) -> &Path {
    task.bag.file_name().map_or(&task.bag, Path::new)
}

/// Restores the bag with another program than the one that wrote it, where there is one.
fn store_holds_bag(task: &Task) -> Result<()> {
    let oras = peers::by_name("oras").and_then(peers::Peer::find);
    let oras = oras.ok_or("no oras to check the store with: cargo xtask peers")?;
    let (store, out) = (task.store.to_string_lossy(), task.out.to_string_lossy());
    let arguments: Vec<_> =
        ORAS_PULL.iter().map(|word| word.replace("{store}", &store).replace("{out}", &out)).collect();
    task.succeed(&oras, &arguments)?;
    same_trees(&task.bag, &task.out.join(bag_name(task)))
}

/// Changes one byte of the first payload file that has one, runs the command, and changes the byte back.
fn refuses_damage(task: &Task) -> Result<()> {
    if !task.run_again()? {
        return Err("fails on a bag that is whole".into());
    }
    let payload = list(&task.bag.join("data"))?;
    let (victim, size) = payload
        .into_iter()
        .find_map(|(path, size)| size.filter(|size| *size > 0).map(|size| (path, size)))
        .ok_or("the bag has no payload to damage")?;
    let victim = task.bag.join("data").join(victim);
    flip(&victim, size / 2)?;
    let accepted = task.run_again();
    flip(&victim, size / 2)?;
    if accepted? { Err(format!("does not see the damage in {}", victim.display()).into()) } else { Ok(()) }
}

/// Changes the lowest bit of the byte at this offset.
fn flip(path: &Path, offset: u64) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).map_err(at(path))?;
    file.read_exact(&mut byte).map_err(at(path))?;
    file.seek(SeekFrom::Start(offset)).map_err(at(path))?;
    file.write_all(&byte.map(|byte| byte ^ 1)).map_err(at(path))
}

/// Fails if the directories do not hold the same files with the same bytes. Empty directories do not count: bags do not
/// have them.
fn same_trees(expected: &Path, found: &Path) -> Result<()> {
    let files = |directory| -> Result<Listing> {
        let mut listing = list(directory)?;
        listing.retain(|_, size| size.is_some());
        Ok(listing)
    };
    let (wanted, present) = (files(expected)?, files(found)?);
    let names = wanted.keys().chain(present.keys());
    for path in names {
        let is_same =
            wanted.get(path) == present.get(path) && same_bytes(&expected.join(path), &found.join(path))?;
        if !is_same {
            return Err(format!("{}: is not as in the bag", found.join(path).display()).into());
        }
    }
    Ok(())
}

fn same_bytes(one: &Path, other: &Path) -> Result<bool> {
    const CHUNK: usize = 64 * 1024;
    let (mut one_file, mut other_file) =
        (File::open(one).map_err(at(one))?, File::open(other).map_err(at(other))?);
    let (mut one_chunk, mut other_chunk) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    loop {
        one_chunk.clear();
        other_chunk.clear();
        let limit = CHUNK as u64;
        Read::take(&mut one_file, limit).read_to_end(&mut one_chunk).map_err(at(one))?;
        Read::take(&mut other_file, limit).read_to_end(&mut other_chunk).map_err(at(other))?;
        if one_chunk != other_chunk {
            return Ok(false);
        }
        if one_chunk.is_empty() {
            return Ok(true);
        }
    }
}

/// Lists everything below the directory.
fn list(directory: &Path) -> Result<Listing> {
    let mut listing = Listing::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(prefix) = waiting.pop() {
        let parent = directory.join(&prefix);
        for entry in fs::read_dir(&parent).map_err(at(&parent))? {
            let entry = entry.map_err(at(&parent))?;
            let path = prefix.join(entry.file_name());
            let metadata = entry.metadata().map_err(at(&entry.path()))?;
            if metadata.is_dir() {
                waiting.push(path.clone());
            }
            listing.insert(path, metadata.is_file().then_some(metadata.len()));
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{flip, list, same_trees};

    fn write(directory: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let file = directory.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }

    #[test]
    fn trees_are_the_same_when_their_files_are() {
        let files = [("a/b.txt", "one"), ("c.txt", "two")];
        let (expected, found) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(expected.path(), &files);
        write(found.path(), &files);
        fs::create_dir(expected.path().join("empty")).unwrap();
        let compare = || same_trees(expected.path(), found.path()).map_err(|error| error.to_string());
        assert_eq!(compare(), Ok(()));
        flip(&found.path().join("c.txt"), 1).unwrap();
        assert!(compare().unwrap_err().contains("c.txt"));
        flip(&found.path().join("c.txt"), 1).unwrap();
        assert_eq!(compare(), Ok(()));
        write(found.path(), &[("a/more.txt", "")]);
        assert!(compare().unwrap_err().contains("more.txt"));
        fs::remove_dir_all(found.path().join("a")).unwrap();
        assert!(compare().unwrap_err().contains("b.txt"));
    }

    #[test]
    fn listings_have_sizes_of_files_alone() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &[("a/b.txt", "one")]);
        let listing = list(directory.path()).unwrap();
        assert_eq!(listing.into_values().collect::<Vec<_>>(), [None, Some(3)]);
        assert!(list(&directory.path().join("gone")).is_err());
    }
}
