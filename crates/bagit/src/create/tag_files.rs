//! The tag files that every bag of ours has: declaration, metadata, manifests, tag manifests.

use std::fs;
use std::path::Path;

use super::BagBuilder;
use crate::algorithm::AlgorithmSet;
use crate::bag_info::{BagInfo, OXUM_LABEL, is_date};
use crate::declaration::{self, Declaration};
use crate::digests::Digests;
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::manifest::{ManifestKind, ManifestName, push_line};
use crate::tag_files::TagFiles;
use crate::version::Version;

/// Gives the metadata of a new bag but for the sizes: what the builder was given, and its date.
pub(super) fn dated_info(builder: &BagBuilder) -> Result<BagInfo> {
    let mut info = builder.info.clone();
    if let Some(date) = builder.bagging_date.as_deref().filter(|_| info.get("Bagging-Date").is_none()) {
        if !is_date(date) {
            let reason = format!("`{date}` is not a date of the form YYYY-MM-DD");
            return Err(Error::Tag { label: "Bagging-Date".to_owned(), reason });
        }
        info.push("Bagging-Date", date)?;
    }
    Ok(info)
}

/// Sets `Bag-Size`, of all files that are known before the metadata, and `Payload-Oxum` to what the inventory says.
fn set_sizes(info: &mut BagInfo, inventory: &Inventory) -> Result<()> {
    let all = inventory.files().map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
    let payload = inventory.payload().map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
    info.set("Bag-Size", &readable_size(all))?;
    info.set(OXUM_LABEL, &format!("{payload}.{}", inventory.payload().count()))
}

/// Writes all tag files of version 1.0 into a directory, `bagit.txt` last, and adds them to the inventory.
///
/// The sizes in `info` are set here. `fetch` is the text of a `fetch.txt`. Tag files that are in the inventory already are listed in the tag manifests.
pub(crate) fn write_tag_files(
    inventory: &mut Inventory,
    info: BagInfo,
    fetch: Option<String>,
    algorithms: AlgorithmSet,
    directory: &Path,
) -> Result<TagFiles> {
    let tag_files = compose_tag_files(inventory, info, fetch, algorithms)?;
    let is_declaration = |(name, _): &(&str, &[u8])| *name == declaration::FILE_NAME;
    for (name, bytes) in
        tag_files.held().filter(|file| !is_declaration(file)).chain(tag_files.held().filter(is_declaration))
    {
        let path = directory.join(name);
        fs::write(&path, bytes).map_err(Error::io("write", path))?;
    }
    Ok(tag_files)
}

/// Makes the texts of all tag files, and adds them to the inventory.
pub(crate) fn compose_tag_files(
    inventory: &mut Inventory,
    mut info: BagInfo,
    fetch: Option<String>,
    algorithms: AlgorithmSet,
) -> Result<TagFiles> {
    let mut tag_files = TagFiles::new();
    for algorithm in algorithms.iter() {
        let mut text = String::new();
        for (path, entry) in inventory.payload() {
            push_line(&mut text, entry.digests.get(algorithm).unwrap_or_default(), path);
        }
        add(inventory, &mut tag_files, &ManifestKind::Payload.file_name(algorithm), text, algorithms);
    }
    set_sizes(&mut info, inventory)?;
    add(inventory, &mut tag_files, Version::V1_0.info_file_name(), info.text(), algorithms);
    if let Some(text) = fetch {
        add(inventory, &mut tag_files, crate::fetch::FILE_NAME, text, algorithms);
    }
    add(inventory, &mut tag_files, declaration::FILE_NAME, Declaration::text(), algorithms);
    for algorithm in algorithms.iter() {
        let text = tag_manifest_text(inventory, algorithm);
        let name = ManifestKind::Tag.file_name(algorithm);
        add(inventory, &mut tag_files, &name, text, AlgorithmSet::EMPTY);
    }
    Ok(tag_files)
}

fn add(
    inventory: &mut Inventory,
    tag_files: &mut TagFiles,
    name: &str,
    text: String,
    algorithms: AlgorithmSet,
) {
    inventory.insert_file(name, text.len() as u64, Digests::of(algorithms, text.as_bytes()));
    tag_files.insert(name, text.into_bytes());
}

/// Makes the text of a tag manifest.
pub(super) fn tag_manifest_text(inventory: &Inventory, algorithm: crate::Algorithm) -> String {
    let is_tag_manifest = |path: &str| {
        !path.contains('/') && ManifestName::parse(path).is_some_and(|name| name.kind == ManifestKind::Tag)
    };
    let mut text = String::new();
    for (path, entry) in
        inventory.files().filter(|(path, _)| !path.starts_with("data/") && !is_tag_manifest(path))
    {
        push_line(&mut text, entry.digests.get(algorithm).unwrap_or_default(), path);
    }
    text
}

/// Gives a size for people in decimal units, as in the examples of RFC 8493, section 2.2.2.
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
