//! The index of a package, read against its manifest, and documents that describe data.

use bagit::{CheckOptions, Inventory, TagFiles};
use d1_package::{INDEX_MEDIA_TYPE, PackageFiles, PackageIndex, Survey};
use oci_model::{Manifest, MediaType, RawManifest};

/// The most layers whose content is planned for reading.
const MOST_READS: usize = 64;

/// Reads a manifest (all up to the first line feed) and the index that is its configuration (the rest).
pub fn package_index(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (manifest, index) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default());
    let raw = RawManifest::new(manifest.to_vec(), MediaType::from_static(MediaType::IMAGE_MANIFEST));
    let Ok(Manifest::Image(mut manifest)) = raw.parse() else { return };
    // A mutated index is to be read, not refused for its length.
    manifest.config.size = index.len() as u64;
    manifest.config.media_type = MediaType::from_static(INDEX_MEDIA_TYPE);
    let Ok(read) = PackageIndex::read(index, &manifest) else { return };
    for (file, place) in read.entries().take(MOST_READS) {
        assert!(!file.path.is_empty() && !file.path.split('/').any(|part| part.is_empty() || part == ".."));
        let _ = place;
    }
    let mut written = Vec::new();
    read.write(&mut written).expect("memory takes what is written");
    manifest.config = read.descriptor();
    assert_eq!(manifest.config.size, written.len() as u64);
    let again = PackageIndex::read(written.as_slice(), &manifest).expect("what is written can be read");
    assert_eq!(again, read);
}

/// Reads the metadata document of an RO-Crate, compares it with an empty directory, and takes its facts.
pub fn ro_crate(bytes: &[u8]) {
    let listed = [("ro-crate-metadata.json", bytes.len() as u64)];
    let survey = Survey::read(listed, &mut |_| Ok(Box::new(std::io::Cursor::new(bytes.to_vec()))));
    let survey = survey.expect("memory can be read");
    let validation = survey.validate(&Inventory::new(), &TagFiles::default(), &CheckOptions::default());
    assert!(validation.report.is_none() && validation.oddities.len() <= 100_000);
    let files = PackageFiles::new(Vec::new(), Vec::new(), false).expect("no files are a package");
    let facts = survey.facts(&files);
    assert!(facts.objects.is_empty());
    let package = facts.package;
    for text in [package.title, package.authors, package.license, package.spdx_license].into_iter().flatten()
    {
        assert!(text.len() <= 4096 && !text.contains(char::is_control));
    }
}

/// Reads a science metadata document of any format.
pub fn science_metadata(bytes: &[u8]) {
    let Ok(found) = d1_metadata::read(bytes) else { return };
    assert!(found.title.as_ref().is_none_or(|title| title.len() <= 8192));
    assert!(found.creators.len() <= 10_000 && found.keywords.len() <= 10_000 && found.boxes.len() <= 10_000);
    for place in &found.boxes {
        assert!((-90.0..=90.0).contains(&place.south) && place.south <= place.north && place.north <= 90.0);
        assert!((-180.0..=180.0).contains(&place.west) && (-180.0..=180.0).contains(&place.east));
    }
    for (first, last) in found.periods.iter().filter_map(|period| period.days()) {
        assert!(first <= last);
    }
    let json = serde_json::to_vec(&found).expect("texts and finite numbers can be written");
    let again: d1_metadata::ScienceMetadata =
        serde_json::from_slice(&json).expect("what is written can be read");
    assert_eq!(again, found);
}
