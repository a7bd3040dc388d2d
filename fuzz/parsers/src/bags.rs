//! BagIt: the texts of tag files, and bags in tar archives and zip files.

use std::io::Cursor;

use bagit::{
    Algorithm, BagInfo, CheckOptions, Declaration, FetchList, Inventory, Limits, Manifest, NoProgress,
    Report, ScanOptions, TagFiles, Version, check, validate_tar, validate_zip,
};

use crate::text;

/// The versions whose rules differ.
const VERSIONS: [Version; 3] = [Version::V0_96, Version::V0_97, Version::V1_0];

/// The most entries that are read from an archive.
const MOST_ENTRIES: u64 = 2_000;

/// Reads `bagit.txt`.
pub fn bagit_declaration(bytes: &[u8]) {
    let (declaration, faults) = Declaration::parse(bytes);
    assert!(declaration.version.is_some() || !faults.is_empty());
}

/// Reads `bag-info.txt`.
pub fn bag_info(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for version in VERSIONS {
        let (info, _) = BagInfo::parse(text, version);
        let mut clean = BagInfo::new();
        for (label, value) in info.iter() {
            let _ = (info.get_unfolded(label), bagit::is_date(value));
            // Only some of the readable pairs may be written.
            let _ = clean.push(label, value);
        }
        let unfolded = |info: &BagInfo| {
            let value = |label: &str| info.get_unfolded(label);
            info.iter().map(|(label, _)| (label.to_owned(), value(label))).collect::<Vec<_>>()
        };
        let (again, faults) = BagInfo::parse(&clean.text(), Version::V1_0);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(unfolded(&again), unfolded(&clean));
    }
}

/// Reads a manifest.
pub fn bagit_manifest(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for version in VERSIONS {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512] {
            let (manifest, _) = Manifest::parse(text, algorithm, version);
            let (again, faults) = Manifest::parse(&manifest.text(), algorithm, Version::V1_0);
            assert!(faults.is_empty(), "{faults:?}");
            assert_eq!(again, manifest);
        }
    }
}

/// Reads `fetch.txt`.
pub fn bagit_fetch(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for version in VERSIONS {
        let (list, _) = FetchList::parse(text, version);
        let (again, _) = FetchList::parse(&list.text(), Version::V1_0);
        assert_eq!(again, list);
    }
}

/// Judges a bag whose tag files are parts of the input: `=NAME`, a line feed, and the bytes up to the next `\n=`.
pub fn bagit_tag_files(bytes: &[u8]) {
    let mut tags = TagFiles::new();
    let mut inventory = Inventory::new();
    let mut rest = bytes.strip_prefix(b"=").unwrap_or_default();
    while !rest.is_empty() {
        let next = rest.windows(2).position(|pair| pair == b"\n=");
        let part = rest.get(..next.map_or(rest.len(), |end| end + 1)).unwrap_or_default();
        rest = next.and_then(|end| rest.get(end + 2..)).unwrap_or_default();
        let name_end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let Some(name) = part.get(..name_end).and_then(text) else { continue };
        let content = part.get(name_end + 1..).unwrap_or_default();
        inventory.insert_file(name, content.len() as u64, bagit::Digests::default());
        if TagFiles::wants(name) {
            tags.insert(name, content.to_vec());
        }
    }
    look_at(&check(&inventory, &tags, &CheckOptions::default()));
}

/// Validates a bag in a tar archive.
pub fn bag_tar(bytes: &[u8]) {
    if let Ok(report) = validate_tar(bytes, &scan(), &CheckOptions::default(), &NoProgress) {
        look_at(&report);
    }
}

/// Validates a bag in a zip file.
pub fn bag_zip(bytes: &[u8]) {
    if let Ok(report) = validate_zip(Cursor::new(bytes), &scan(), &CheckOptions::default(), &NoProgress) {
        look_at(&report);
    }
}

fn scan() -> ScanOptions {
    let mut options = ScanOptions::default();
    let mut limits = Limits::default();
    limits.entries = MOST_ENTRIES;
    limits.tag_file_bytes = 1 << 20;
    options.limits = limits;
    options.threads = 1;
    options
}

fn look_at(report: &Report) {
    assert!(report.payload_files <= MOST_ENTRIES);
    assert!(!report.valid || (report.complete && report.errors().next().is_none()));
}
