//! Results are synced before they get their final name, and their directories before the command ends.

use std::path::Path;

use d1oci_tests::{BagBuilder, Unsynced, d1oci, payload, unsynced};

/// Prepares a directory, and checks the order of the system calls of a command in it.
#[track_caller]
fn assert_order(prepare: impl Fn(&Path), arguments: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    prepare(place.path());
    let Some(found) = unsynced(place.path(), arguments) else { return };
    assert_eq!(found, Unsynced::default(), "{arguments:?}");
}

fn prepare_store(place: &Path) {
    let bag = BagBuilder::new().payload_files(6, 9_000).file("data/large.csv", payload(1, 300_000));
    bag.write(&place.join("bag"));
    d1oci(place, &["push", "oci:store:v1", "bag"]).success();
}

fn prepare_plain_directory(place: &Path) {
    std::fs::create_dir_all(place.join("plain/deep")).unwrap();
    std::fs::write(place.join("plain/a.csv"), payload(1, 50_000)).unwrap();
    std::fs::write(place.join("plain/deep/b.csv"), payload(2, 50_000)).unwrap();
}

#[test]
fn a_push_to_a_layout_is_in_order() {
    assert_order(prepare_store, &["push", "oci:store:v2", "bag", "--layout", "archive"]);
    assert_order(prepare_store, &["push", "oci:other:v1", "bag", "--layout", "objects"]);
}

#[test]
fn a_pull_is_in_order() {
    assert_order(prepare_store, &["pull", "oci:store:v1", "-o", "out"]);
}

#[test]
fn an_export_is_in_order() {
    assert_order(prepare_store, &["export", "oci:store:v1", "-o", "out"]);
    assert_order(prepare_store, &["export", "oci:store:v1", "-o", "out.zip"]);
}

#[test]
fn a_file_of_cat_is_in_order() {
    assert_order(prepare_store, &["cat", "oci:store:v1", "data/large.csv", "-o", "one.csv"]);
}

#[test]
fn a_created_bag_is_in_order() {
    assert_order(prepare_plain_directory, &["bag", "create", "plain", "bag"]);
    assert_order(prepare_plain_directory, &["bag", "create", "--in-place", "plain"]);
}
