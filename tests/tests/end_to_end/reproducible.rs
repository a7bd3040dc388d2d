//! Equal content has equal digests, and is stored once.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use d1oci_tests::{BagBuilder, d1oci, tree};

fn digest(directory: &Path, target: &str, bag: &str, layout: &str) -> String {
    let pushed = d1oci(directory, &["push", target, bag, "--layout", layout, "--format", "json"]).success();
    pushed.json()["digest"].as_str().expect("there is a digest").to_owned()
}

#[test]
fn times_modes_and_order_of_creation_do_not_matter() {
    let place = tempfile::tempdir().unwrap();
    let bag = BagBuilder::new().awkward().payload_files(100, 900).write(&place.path().join("one/bag"));
    let other = place.path().join("two/bag");
    fs::create_dir_all(&other).unwrap();
    // The other way round, with other times and modes.
    for (number, (path, content)) in tree(&bag).into_iter().rev().enumerate() {
        let target = other.join(&path);
        match content {
            None => fs::create_dir_all(&target).unwrap(),
            Some(content) => {
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::write(&target, content).unwrap();
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + number as u64 * 3600);
                File::options().write(true).open(&target).unwrap().set_modified(time).unwrap();
                let mode = if number % 2 == 0 { 0o755 } else { 0o600 };
                fs::set_permissions(&target, Permissions::from_mode(mode)).unwrap();
            }
        }
    }
    for layout in ["objects", "archive"] {
        let one = digest(place.path(), "oci:first:v1", "one/bag", layout);
        let two = digest(place.path(), "oci:second:v1", "two/bag", layout);
        assert_eq!(one, two, "{layout}");
    }
}

#[test]
fn a_second_push_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new()
        .payload_files(100, 900)
        .file("data/big.bin", vec![7; 500_000])
        .write(&place.path().join("bag"));
    for layout in ["objects", "archive"] {
        let target = format!("oci:store:{layout}");
        digest(place.path(), &target, "bag", layout);
        let before = tree(&place.path().join("store"));
        let again = d1oci(place.path(), &["push", &target, "bag", "--layout", layout, "--format", "json"])
            .success()
            .json();
        assert_eq!((&again["unchanged"], &again["sentBlobs"]), (&true.into(), &0.into()), "{again}");
        assert!(before == tree(&place.path().join("store")), "{layout}");
    }
}

#[test]
fn packing_again_gives_the_same_layers() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().awkward().payload_files(100, 900).write(&place.path().join("bag"));
    let first = digest(place.path(), "oci:store:v1", "bag", "archive");
    let again = ["push", "oci:store:v1", "bag", "--layout", "archive", "--repack", "--format", "json"];
    assert_eq!(d1oci(place.path(), &again).success().json()["digest"], first);
}

#[test]
fn a_new_version_sends_only_what_is_new() {
    let place = tempfile::tempdir().unwrap();
    let bag = BagBuilder::new().payload_files(10, 50_000);
    bag.write(&place.path().join("v1/bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "v1/bag"]).success();
    bag.file("data/new.csv", vec![1; 40_000]).write(&place.path().join("v2/bag"));
    let second =
        d1oci(place.path(), &["push", "oci:store:v2", "v2/bag", "--format", "json"]).success().json();
    // The new file, the tag files with its checksums, and the index.
    assert_eq!(second["sentBlobs"], 3, "{second}");
}

#[test]
fn the_digest_of_a_known_bag_never_changes() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().awkward().payload_files(100, 900).write(&place.path().join("known"));
    let digests = ["objects", "archive"].map(|layout| digest(place.path(), "oci:store:v1", "known", layout));
    assert_eq!(digests, [GOLDEN_OBJECTS, GOLDEN_ARCHIVE]);
}

const GOLDEN_OBJECTS: &str = "sha256:1986abd36b7068f66a1b44c7a7e657136447cf2bc077fce54ed48c47f9ceeb26";
const GOLDEN_ARCHIVE: &str = "sha256:1c053a6c48aeecfce3a15fef292c2d54b531681d4cd1908a600a50a537ad5a3f";
