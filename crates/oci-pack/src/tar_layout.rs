//! The positions of headers and contents in the tar archive: a pure function of names and sizes.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::entry::{ArchiveEntry, EntryKind, EntryList};
use crate::error::PackError;
use crate::tar::{BLOCK, header_bytes, padding};

/// Positions in a tar archive that is written from a list of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarLayout {
    /// For each entry, the start of its data in the tar archive in bytes; for a directory, the end of its header.
    pub data_offsets: Vec<u64>,
    /// Size of the archive in bytes, with its two closing zero blocks.
    pub size: u64,
}

/// Number of bytes that end an archive: two zero blocks. Other writers pad to a record, but `oras` hashes no
/// further.
pub(crate) const END_LENGTH: usize = 2 * BLOCK;

/// The largest size of an archive: the largest number that Go can count to.
const LARGEST_ARCHIVE: u64 = i64::MAX.unsigned_abs();

/// Longest name that is written, in bytes. The reader accepts no longer one.
pub(crate) const LONGEST_PATH: usize = 4096;

/// Returns the layout of the archive that [`pack_archive`](crate::pack_archive) writes from these entries.
///
/// # Errors
///
/// If a name is not a relative, clean path; if the first entry is not a directory, or an entry comes before its
/// parent directory; if a name repeats; if the archive would be larger than 2^63 bytes.
///
/// ```
/// use oci_pack::{entries_with_directories, tar_layout};
///
/// let entries = entries_with_directories("dataset", [("a.csv", 7)]);
/// let layout = tar_layout(&entries)?;
/// assert_eq!(layout.data_offsets, [512, 1024]);
/// assert_eq!(layout.size, 5 * 512);
/// # Ok::<(), oci_pack::PackError>(())
/// ```
pub fn tar_layout(entries: &(impl EntryList + ?Sized)) -> Result<TarLayout, PackError> {
    let mut order = OrderCheck::new(entries);
    let mut position = 0_u64;
    let mut data_offsets = Vec::with_capacity(entries.count());
    for entry in entries.entries() {
        order.check(&entry)?;
        let data = position.saturating_add(header_bytes(&entry.path, entry.kind).len() as u64);
        data_offsets.push(data);
        position = data.saturating_add(entry.size()).saturating_add(padding(entry.size()) as u64);
        if position > LARGEST_ARCHIVE - END_LENGTH as u64 {
            return Err(PackError::TooLarge { path: entry.path.clone() });
        }
    }
    Ok(TarLayout { data_offsets, size: position + END_LENGTH as u64 })
}

/// Checks entries one by one.
struct OrderCheck {
    is_first: bool,
    directories: HashSet<String>,
    /// Names that could repeat, and those of them that have come. Others cannot repeat and need not be remembered.
    suspects: HashSet<String>,
    seen: HashSet<String>,
}

impl OrderCheck {
    fn new(entries: &(impl EntryList + ?Sized)) -> Self {
        let random = RandomState::new();
        let mut hashes: Vec<u64> = entries.entries().map(|entry| random.hash_one(&entry.path)).collect();
        hashes.sort_unstable();
        let groups = hashes.chunk_by(|left, right| left == right);
        let repeated: HashSet<u64> = groups.filter_map(|group| group.get(1).copied()).collect();
        let is_suspect = |entry: &ArchiveEntry| repeated.contains(&random.hash_one(&entry.path));
        let suspects = if repeated.is_empty() {
            HashSet::new()
        } else {
            entries.entries().filter(|entry| is_suspect(entry)).map(|entry| entry.path.clone()).collect()
        };
        Self { is_first: true, directories: HashSet::new(), suspects, seen: HashSet::new() }
    }

    fn check(&mut self, entry: &ArchiveEntry) -> Result<(), PackError> {
        let refuse = |reason| Err(PackError::Entry { path: entry.path.clone(), reason });
        let is_root = std::mem::take(&mut self.is_first);
        if let Some(reason) = fault_of_name(&entry.path, is_root) {
            return refuse(reason);
        }
        let is_directory = entry.kind == EntryKind::Directory;
        if is_root && !is_directory {
            return refuse("the first entry must be the directory that holds the others");
        }
        let parent = entry.path.rsplit_once('/').map_or(".", |(parent, _)| parent);
        if !is_root && !self.directories.contains(parent) {
            return refuse("no directory entry for its parent comes before it");
        }
        if self.suspects.contains(&entry.path) && !self.seen.insert(entry.path.clone()) {
            return refuse("it comes twice");
        }
        if is_directory {
            self.directories.insert(entry.path.clone());
        }
        Ok(())
    }
}

fn fault_of_name(path: &str, is_root: bool) -> Option<&'static str> {
    if path == "." && is_root {
        return None;
    }
    if path.len() > LONGEST_PATH {
        return Some("the name is longer than 4096 bytes");
    }
    if path.contains('\0') {
        return Some("the name has a NUL character");
    }
    let unclean = |component: &str| matches!(component, "" | "." | "..");
    path.split('/').any(unclean).then_some("the name is not a clean, relative path")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(entries: &[(&str, Option<u64>)]) -> Result<TarLayout, PackError> {
        let entries: Vec<_> = entries
            .iter()
            .map(|(path, size)| match size {
                Some(size) => ArchiveEntry::file(*path, *size),
                None => ArchiveEntry::directory(*path),
            })
            .collect();
        tar_layout(&entries)
    }

    #[test]
    fn data_follows_headers_and_fills_blocks() {
        let found = layout(&[("d", None), ("d/a", Some(513)), ("d/é", Some(0)), ("d/z", Some(512))]).unwrap();
        // The name with the accent needs an extended header and its record: three blocks.
        assert_eq!(found.data_offsets, [512, 1024, 1024 + 1024 + 1536, 3584 + 512]);
        assert_eq!(found.size, 4096 + 512 + 1024);
    }

    #[test]
    fn an_empty_list_is_an_empty_archive() {
        assert_eq!(layout(&[]).unwrap().size, 1024);
    }

    #[test]
    fn wrong_names_and_orders_are_refused() {
        for entries in [
            &[("a", Some(1))][..],
            &[("d", None), ("d/s/a", Some(1))],
            &[("d", None), ("e/a", Some(1))],
            &[("d", None), ("e", Some(1))],
            &[("d", None), ("d/a", Some(1)), ("d/a", Some(1))],
            &[("d", None), ("d/a", Some(1)), ("d/a/b", Some(1))],
            &[("d", None), ("d", None)],
            &[("d", None), ("d//a", Some(1))],
            &[("d", None), ("d/./a", Some(1))],
            &[("d", None), ("d/../a", Some(1))],
            &[("d", None), ("d/a\0", Some(1))],
            &[("d/", None)],
            &[("/d", None)],
            &[("", None)],
            &[("..", None)],
            &[("d", None), (".", None)],
        ] {
            assert!(matches!(layout(entries), Err(PackError::Entry { .. })), "{entries:?}");
        }
        assert!(layout(&[("x/d", None), ("x/d/a", Some(1))]).is_ok());
        assert!(layout(&[(".", None), ("a", Some(1)), ("b", None), ("b/c", Some(1))]).is_ok());
    }

    #[test]
    fn sizes_that_do_not_add_up_are_refused() {
        for sizes in [&[u64::MAX][..], &[1 << 62, 1 << 62], &[i64::MAX as u64 - 2048]] {
            let files: Vec<String> = (0..sizes.len()).map(|number| format!("d/{number}")).collect();
            let mut entries = vec![("d", None)];
            entries.extend(files.iter().zip(sizes).map(|(path, size)| (path.as_str(), Some(*size))));
            assert!(matches!(layout(&entries), Err(PackError::TooLarge { .. })), "{sizes:?}");
        }
    }
}
