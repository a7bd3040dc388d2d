//! The index of a package, read against the manifest that it belongs to.

use d1_package::{INDEX_MEDIA_TYPE, PackageIndex};
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
