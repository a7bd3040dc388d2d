//! Walking the names of a HashStore: files below directories that are the beginnings of their names.

use std::fs;
use std::io;

use super::ImportFault;
use super::config::DIGITS;
use super::layout::{HashStore, is_hex};

/// Something that was found in a walk.
pub(super) enum Found {
    /// A file with this name, put together from its path.
    Name(String),
    /// Something that does not belong there.
    Odd(ImportFault),
}

/// Calls `visit` for all that is below a directory of the store, in the order of names, until it says that it wants no more.
/// It blocks.
pub(super) fn walk(store: &HashStore, top: &str, visit: &mut dyn FnMut(Found) -> bool) {
    descend(store, top, "", store.config.depth, visit);
}

fn descend(
    store: &HashStore,
    directory: &str,
    name: &str,
    depth: usize,
    visit: &mut dyn FnMut(Found) -> bool,
) -> bool {
    let entries = match sorted(store, directory) {
        Ok(entries) => entries,
        Err(error) => {
            return visit(Found::Odd(ImportFault::at(directory, format!("it cannot be read: {error}"))));
        }
    };
    for (entry, kind) in entries {
        let path = format!("{directory}/{entry}");
        let length = if depth == 0 { DIGITS.saturating_sub(name.len()) } else { store.config.width };
        let fits = is_hex(&entry) && entry.len() == length;
        let goes_on = match (depth, kind) {
            (0, Kind::File) if fits => visit(Found::Name(format!("{name}{entry}"))),
            (1.., Kind::Directory) if fits => {
                descend(store, &path, &format!("{name}{entry}"), depth - 1, visit)
            }
            (_, Kind::Link) => {
                visit(Found::Odd(ImportFault::at(path, "it is a link, which is not followed")))
            }
            _ => visit(Found::Odd(ImportFault::at(path, "no HashStore has such a name there"))),
        };
        if !goes_on {
            return false;
        }
    }
    true
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
    Other,
}

fn sorted(store: &HashStore, directory: &str) -> io::Result<Vec<(String, Kind)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(store.root().join(directory))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let kind = match () {
            () if kind.is_symlink() => Kind::Link,
            () if kind.is_dir() => Kind::Directory,
            () if kind.is_file() => Kind::File,
            () => Kind::Other,
        };
        entries.push((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}
