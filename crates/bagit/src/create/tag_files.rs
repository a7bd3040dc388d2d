//! Writing the tag files of a new bag: declaration, metadata, manifests, tag manifests.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use multi_digest::{Algorithm, AlgorithmSet, MultiHasher};
use safe_files::Directory;

use super::builder::BagBuilder;
use crate::bag_info::{BagInfo, OXUM_LABEL, is_date};
use crate::declaration::{self, Declaration};
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::manifest::{ManifestKind, ManifestName, line};
use crate::scan::Scan;
use crate::tag_files::TagFiles;
use crate::version::Version;

/// Returns the metadata of a new bag without the sizes: the elements of the builder, and its date.
pub(super) fn dated_info(builder: &BagBuilder) -> Result<BagInfo> {
    let mut info = builder.info.clone();
    if let Some(date) = builder.bagging_date.as_deref().filter(|_| info.get("Bagging-Date").is_none()) {
        if !is_date(date) {
            let reason = format!("expected a date of the form YYYY-MM-DD, found `{date}`");
            return Err(Error::Tag { label: "Bagging-Date".to_owned(), reason });
        }
        info.push("Bagging-Date", date)?;
    }
    Ok(info)
}

/// Sets `Payload-Oxum`, and `Bag-Size` of all files but the metadata, from the inventory.
fn set_sizes(info: &mut BagInfo, inventory: &Inventory) -> Result<()> {
    let all = inventory.files().map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
    let payload = inventory.payload().map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
    info.set("Bag-Size", &readable_size(all))?;
    info.set(OXUM_LABEL, &format!("{payload}.{}", inventory.payload().count()))
}

/// Writes all tag files of version 1.0 into a directory, `bagit.txt` last, and adds them to the inventory.
///
/// It sets the sizes in `info`. `fetch` is the text of a `fetch.txt`. The tag manifests also list the tag files in the inventory.
pub(crate) fn write_tag_files(
    inventory: &mut Inventory,
    info: BagInfo,
    fetch: Option<String>,
    algorithms: AlgorithmSet,
    directory: &Directory,
) -> Result<TagFiles> {
    let tag_files = compose(inventory, info, fetch, algorithms, &Place::Directory(directory))?;
    let mut file = replacement(directory, declaration::FILE_NAME)?;
    let path = directory.path().join(declaration::FILE_NAME);
    file.write_all(Declaration::text().as_bytes()).map_err(Error::io("write", path))?;
    Ok(tag_files)
}

/// Composes the texts of all tag files in memory, and adds them to the inventory.
pub(crate) fn compose_tag_files(
    inventory: &mut Inventory,
    info: BagInfo,
    fetch: Option<String>,
    algorithms: AlgorithmSet,
) -> Result<TagFiles> {
    compose(inventory, info, fetch, algorithms, &Place::Memory)
}

/// Writes one more manifest of a bag into a directory, and adds it to the scan.
pub(super) fn write_manifest(
    scan: &mut Scan,
    kind: ManifestKind,
    algorithm: Algorithm,
    algorithms: AlgorithmSet,
    directory: &Directory,
) -> Result<()> {
    let Scan { inventory, tag_files, .. } = scan;
    let mut composing = Composing { inventory, tag_files, algorithms, place: &Place::Directory(directory) };
    composing.manifest(kind, algorithm)
}

fn compose(
    inventory: &mut Inventory,
    mut info: BagInfo,
    fetch: Option<String>,
    algorithms: AlgorithmSet,
    place: &Place<'_>,
) -> Result<TagFiles> {
    let mut tag_files = TagFiles::new();
    let mut composing = Composing { inventory, tag_files: &mut tag_files, algorithms, place };
    for algorithm in algorithms.iter() {
        composing.manifest(ManifestKind::Payload, algorithm)?;
    }
    set_sizes(&mut info, composing.inventory)?;
    composing.text(Version::V1_0.info_file_name(), &info.text())?;
    if let Some(text) = fetch {
        composing.text(crate::fetch::FILE_NAME, &text)?;
    }
    composing.text(declaration::FILE_NAME, &Declaration::text())?;
    for algorithm in algorithms.iter() {
        composing.manifest(ManifestKind::Tag, algorithm)?;
    }
    Ok(tag_files)
}

/// The place of new tag files.
enum Place<'a> {
    Memory,
    /// For all files but the declaration, which is written last.
    Directory(&'a Directory),
}

/// Composes tag files, one after the other, from the inventory so far.
struct Composing<'a, 'p> {
    inventory: &'a mut Inventory,
    tag_files: &'a mut TagFiles,
    algorithms: AlgorithmSet,
    place: &'a Place<'p>,
}

impl Composing<'_, '_> {
    fn manifest(&mut self, kind: ManifestKind, algorithm: Algorithm) -> Result<()> {
        // No manifest lists tag manifests, so nobody needs their digests.
        let algorithms = if kind == ManifestKind::Payload { self.algorithms } else { AlgorithmSet::EMPTY };
        let mut file = TagFileWriter::new(self.place, &kind.file_name(algorithm), algorithms)?;
        let is_listed = |path: &str| (kind == ManifestKind::Payload) == path.starts_with("data/");
        let listed = self.inventory.files().filter(|(path, _)| is_listed(path) && !is_tag_manifest(path));
        for (path, entry) in listed {
            file.write(line(entry.digests.get(algorithm).unwrap_or_default(), path).as_bytes())?;
        }
        file.finish(self.inventory, self.tag_files)
    }

    fn text(&mut self, name: &str, text: &str) -> Result<()> {
        let place = if name == declaration::FILE_NAME { &Place::Memory } else { self.place };
        let mut file = TagFileWriter::new(place, name, self.algorithms)?;
        file.write(text.as_bytes())?;
        file.finish(self.inventory, self.tag_files)
    }
}

fn is_tag_manifest(path: &str) -> bool {
    !path.contains('/') && ManifestName::parse(path).is_some_and(|name| name.kind == ManifestKind::Tag)
}

/// Writes one tag file.
struct TagFileWriter {
    name: String,
    hasher: MultiHasher,
    size: u64,
    /// All bytes, if they are few or have no other place.
    held: Option<Vec<u8>>,
    file: Option<(PathBuf, BufWriter<File>)>,
}

impl TagFileWriter {
    fn new(place: &Place<'_>, name: &str, algorithms: AlgorithmSet) -> Result<Self> {
        let file = match place {
            Place::Memory => None,
            Place::Directory(directory) => {
                Some((directory.path().join(name), BufWriter::new(replacement(directory, name)?)))
            }
        };
        let hasher = MultiHasher::new(algorithms);
        Ok(Self { name: name.to_owned(), hasher, size: 0, held: Some(Vec::new()), file })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        if let Some((path, file)) = &mut self.file {
            file.write_all(bytes).map_err(Error::io("write", &*path))?;
            self.held = self.held.take().filter(|_| self.size <= TagFiles::MOST_HELD_BYTES);
        }
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finish(self, inventory: &mut Inventory, tag_files: &mut TagFiles) -> Result<()> {
        inventory.insert_file(&self.name, self.size, self.hasher.finish());
        let place = match self.file {
            Some((path, mut file)) => {
                file.flush().map_err(Error::io("write", &path))?;
                path
            }
            None => PathBuf::new(),
        };
        match self.held {
            Some(held) => tag_files.insert(&self.name, held),
            None => tag_files.insert_file(&self.name, &place).map_err(Error::io("read", place))?,
        }
        Ok(())
    }
}

/// Creates a file in place of any file or link of this name.
fn replacement(directory: &Directory, name: &str) -> Result<File> {
    let removed = match directory.remove_file(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    let created = removed.and_then(|()| directory.create_file(name));
    created.map_err(Error::io("write", directory.path().join(name)))
}

/// Returns a size in decimal units, as in the examples of RFC 8493, section 2.2.2.
fn readable_size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (1_000_000_000_000_000, "PB"),
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "KB"),
    ];
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = bytes / (unit / 10);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::readable_size;

    #[test]
    fn sizes_are_readable() {
        let cases =
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 KB"), (54_789, "54.7 KB"), (2_147_483_648, "2.1 GB")];
        for (bytes, expected) in cases {
            assert_eq!(readable_size(bytes), expected);
        }
        assert_eq!(readable_size(u64::MAX), "18446.7 PB");
    }
}
