//! Compares directories and files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Result, at};

/// Paths below a directory, with the size of files; directories have none.
pub(super) type Listing = BTreeMap<PathBuf, Option<u64>>;

/// Fails if the directories do not hold the same files with the same bytes. Empty directories do not count: bags do not
/// have them.
pub(super) fn same_trees(expected: &Path, found: &Path) -> Result<()> {
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

pub(super) fn same_bytes(one: &Path, other: &Path) -> Result<bool> {
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
pub(super) fn list(directory: &Path) -> Result<Listing> {
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

    use super::{list, same_trees};

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
        write(found.path(), &[("c.txt", "tvo")]);
        assert!(compare().unwrap_err().contains("c.txt"));
        write(found.path(), &[("c.txt", "two")]);
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
