//! A bag around a payload that stays where it is: tag files as values, for whoever moves the whole elsewhere.

use super::BagBuilder;
use super::tag_files::{compose_tag_files, dated_info};
use crate::digests::Digests;
use crate::error::Result;
use crate::inventory::Inventory;
use crate::scan::Scan;

/// Puts the payload's inventory under `data/`, further tag files beside it, and adds the tag files that list them.
pub(crate) fn around(builder: &BagBuilder, payload: Inventory, tags: &Inventory) -> Result<Scan> {
    let mut inventory = Inventory::new();
    inventory.insert_directory("data");
    for (path, entry) in tags.files() {
        inventory.insert(path, entry);
    }
    for directory in payload.directories() {
        inventory.insert_directory(&format!("data/{directory}"));
    }
    for (path, entry) in payload.files() {
        inventory.insert(&format!("data/{path}"), entry);
    }
    for observation in payload.observations() {
        inventory.observe(observation.clone());
    }
    // The manifests of a million files need the room.
    drop(payload);
    let info = dated_info(builder)?;
    let tag_files = compose_tag_files(&mut inventory, info, None, builder.algorithms)?;
    // No manifest lists the tag manifests, but whoever moves them wants their digests too.
    for (name, bytes) in tag_files.held() {
        inventory.insert_file(name, bytes.len() as u64, Digests::of(builder.algorithms, bytes));
    }
    Ok(Scan { inventory, tag_files, base_directory: None })
}

#[cfg(test)]
mod tests {
    use crate::{Algorithm, BagBuilder, CheckOptions, Digests, Inventory, check};

    #[test]
    fn the_result_is_a_valid_bag() {
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
        let mut payload = Inventory::new();
        for path in ["a.csv", "sub/b.csv"] {
            payload.insert_file(path, 3, Digests::of(algorithms.into_iter().collect(), b"abc"));
        }
        let mut tags = Inventory::new();
        tags.insert_file("metadata/eml.xml", 3, Digests::of(algorithms.into_iter().collect(), b"xyz"));
        let scan = BagBuilder::new().algorithms(algorithms).around(payload, &tags).unwrap();
        let report = check(&scan.inventory, &scan.tag_files, &CheckOptions::default());
        assert!(report.valid && report.payload_files == 2, "{report:?}");
        let text = scan.tag_files.get("tagmanifest-sha256.txt").unwrap();
        assert!(String::from_utf8_lossy(text).contains("metadata/eml.xml"));
        let tag_manifest = scan.inventory.file("tagmanifest-sha256.txt").unwrap();
        assert!(tag_manifest.digests.get(Algorithm::Sha256).is_some());
    }
}
