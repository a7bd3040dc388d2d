//! Plain `oras` reads what we write, and we read what `oras` writes.

use std::fs;
use std::path::Path;
use std::process::Command;

use d1oci_tests::{BagBuilder, bagit_py_accepts, d1oci, payload, peer, run, tree};

fn bag(directory: &Path) {
    BagBuilder::new()
        .awkward()
        .payload_files(300, 700)
        .file("data/large one.csv", payload(8, 400_000))
        .file("metadata/sysmeta/sysmeta-a.xml", "<x/>")
        .write(directory);
}

#[test]
fn oras_pulls_both_layouts() {
    let Some(oras) = peer("oras") else { return };
    let place = tempfile::tempdir().unwrap();
    bag(&place.path().join("bag"));
    for layout in ["objects", "archive"] {
        d1oci(place.path(), &["push", &format!("oci:store:{layout}"), "bag", "--layout", layout]).success();
        let reference = format!("store:{layout}");
        let arguments = ["pull", "--oci-layout", &reference, "-o", layout, "--no-tty"];
        run(Command::new(&oras).current_dir(place.path()).args(arguments)).success();
        let pulled = place.path().join(layout).join("bag");
        assert!(tree(&pulled) == tree(&place.path().join("bag")), "{layout}");
        assert!(bagit_py_accepts(&pulled), "{layout}");
    }
}

#[test]
fn oras_reads_manifests_tags_and_referrers() {
    let Some(oras) = peer("oras") else { return };
    let place = tempfile::tempdir().unwrap();
    bag(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    fs::write(place.path().join("note.txt"), "a note").unwrap();
    d1oci(place.path(), &["attach", "oci:store:v1", "--artifact-type", "text/plain", "note.txt"]).success();
    let ask = |arguments: &[&str]| {
        run(Command::new(&oras).current_dir(place.path()).args(arguments)).success().text()
    };
    let manifest = ask(&["manifest", "fetch", "--oci-layout", "store:v1"]);
    assert_eq!(manifest, d1oci(place.path(), &["manifest", "fetch", "oci:store:v1"]).success().text());
    assert_eq!(ask(&["repo", "tags", "--oci-layout", "store"]).trim(), "v1");
    assert!(ask(&["discover", "--oci-layout", "store:v1"]).contains("text/plain"));
}

#[test]
fn what_oras_pushed_comes_back_equal() {
    let Some(oras) = peer("oras") else { return };
    let place = tempfile::tempdir().unwrap();
    bag(&place.path().join("bag"));
    let arguments =
        ["push", "--oci-layout", "store:v1", "--artifact-type", "application/bagit-1.0", "./bag", "--no-tty"];
    run(Command::new(&oras).current_dir(place.path()).args(arguments)).success();
    let arguments = [
        "push",
        "--oci-layout",
        "store:one",
        "--artifact-type",
        "text/csv",
        "bag/data/large one.csv",
        "--no-tty",
    ];
    run(Command::new(&oras).current_dir(place.path()).args(arguments)).success();

    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).success();
    assert!(tree(&place.path().join("out/bag")) == tree(&place.path().join("bag")));
    let listing = d1oci(place.path(), &["ls", "oci:store:v1"]).success().text();
    assert!(listing.contains("data/large one.csv"), "{listing}");
    let one = d1oci(place.path(), &["cat", "oci:store:v1", "data/with space.csv"]).success();
    assert_eq!(one.stdout, fs::read(place.path().join("bag/data/with space.csv")).unwrap());
    d1oci(place.path(), &["verify", "--deep", "oci:store:v1"]).success();
    d1oci(place.path(), &["pull", "oci:store:one", "-o", "one"]).success();
    assert_eq!(fs::read(place.path().join("one/bag/data/large one.csv")).unwrap(), payload(8, 400_000));
}

#[test]
fn a_layout_can_be_written_by_both_in_turn() {
    let Some(oras) = peer("oras") else { return };
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.txt"), "a").unwrap();
    for round in 0..3 {
        d1oci(place.path(), &["push", &format!("oci:store:ours-{round}"), "a.txt"]).success();
        let reference = format!("store:theirs-{round}");
        let arguments = ["push", "--oci-layout", &reference, "a.txt", "--no-tty"];
        run(Command::new(&oras).current_dir(place.path()).args(arguments)).success();
    }
    let tags = d1oci(place.path(), &["tags", "oci:store", "--format", "json"]).success().json();
    assert_eq!(tags["tags"].as_array().unwrap().len(), 6, "{tags}");
}
