//! Packages as bags, as DataONE's services expect them.

use std::fs;
use std::path::Path;
use std::process::Command;

use d1oci_tests::{BagBuilder, Tree, bagit_py_accepts, d1oci, payload, peer, run, samples, tree};

/// Unpacks a zip file with Python, or reports that it cannot.
fn unzip(file: &Path, to: &Path) -> bool {
    let Some(python) = peer("python3") else { return false };
    run(Command::new(python).args(["-m", "zipfile", "-e"]).arg(file).arg(to)).success();
    true
}

/// Returns the files of a tree alone.
fn files(tree: Tree) -> Tree {
    tree.into_iter().filter(|(_, content)| content.is_some()).collect()
}

/// Returns the package of the samples, as a plain directory.
fn plain_package(place: &Path) -> Option<Vec<(&'static str, Vec<u8>)>> {
    let package = samples()?.join("dataone/pkg-peggym133");
    let plain = place.join("plain");
    fs::create_dir(&plain).unwrap();
    let names = ["data.1.1", "peggym.133.1", "peggym.133.1.resourcemap"];
    let mut members = Vec::new();
    for name in names {
        let document = format!("{name}.sysmeta.xml");
        fs::copy(package.join(name), plain.join(name)).unwrap();
        fs::copy(package.join(&document), plain.join(&document)).unwrap();
        members.push((name, fs::read(package.join(name)).unwrap()));
    }
    Some(members)
}

#[test]
fn a_bag_is_exported_as_it_is_with_the_manifest_that_it_lacks() {
    let Some(samples) = samples() else { return };
    let place = tempfile::tempdir().unwrap();
    super::dataone::make_bag(place.path(), &samples.join("dataone/pkg-peggym133"));
    d1oci(place.path(), &["push", "oci:store", "bag", "--include-private"]).success();
    let arguments = ["export", "oci:store", "--id", "peggym.133.1", "-o", "out", "--format", "json"];
    let report = d1oci(place.path(), &arguments).success().json();
    assert_eq!((&report["form"], &report["identifier"]), (&"directory".into(), &"peggym.133.1".into()));
    assert!(bagit_py_accepts(&place.path().join("out")));
    let (before, mut after) = (tree(&place.path().join("bag")), tree(&place.path().join("out")));
    assert!(after.remove("manifest-md5.txt").is_some() && after.remove("tagmanifest-md5.txt").is_some());
    for (path, content) in before.iter().filter(|(path, _)| !path.starts_with("tagmanifest-")) {
        assert_eq!(after.get(path), Some(content), "{path}");
    }
    assert_eq!(after.len(), before.len());
}

#[test]
fn a_bag_with_all_manifests_comes_back_byte_for_byte() {
    let place = tempfile::tempdir().unwrap();
    let bag = BagBuilder::new().awkward().payload_files(80, 2000).file("metadata/eml.xml", "<eml/>");
    bag.write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    d1oci(place.path(), &["export", "oci:store:v1", "-o", "deep/er/out"]).success();
    assert!(tree(&place.path().join("bag")) == tree(&place.path().join("deep/er/out")));
    d1oci(place.path(), &["export", "oci:store:v1", "-o", "out.zip"]).success();
    if unzip(&place.path().join("out.zip"), &place.path().join("unzipped")) {
        assert!(tree(&place.path().join("bag")) == tree(&place.path().join("unzipped")));
        assert!(bagit_py_accepts(&place.path().join("unzipped")));
    }
    d1oci(place.path(), &["bag", "validate", "out.zip"]).success();
}

#[test]
fn a_plain_package_becomes_a_bag_in_the_layout_of_dataone() {
    let place = tempfile::tempdir().unwrap();
    let Some(members) = plain_package(place.path()) else { return };
    d1oci(place.path(), &["push", "oci:store:v1", "plain", "--include-private"]).success();
    d1oci(place.path(), &["export", "oci:store:v1", "-o", "out"]).success();
    let out = place.path().join("out");
    assert!(bagit_py_accepts(&out));
    let found = tree(&out);
    for ((name, content), at) in
        members.iter().zip(["data/data.1.1", "metadata/science-metadata.xml", "metadata/oai-ore.xml"])
    {
        assert_eq!(found[at].as_ref(), Some(content), "{name}");
        let document = fs::read(place.path().join(format!("plain/{name}.sysmeta.xml"))).unwrap();
        assert_eq!(found[&format!("metadata/sysmeta/sysmeta-{name}.xml")], Some(document), "{name}");
    }
    assert!(found.contains_key("manifest-md5.txt") && found.contains_key("manifest-sha256.txt"));

    // It is known again by its content.
    let pushed = d1oci(place.path(), &["push", "oci:again", "out", "--include-private", "--format", "json"])
        .success()
        .json();
    assert_eq!(pushed["identifier"], "peggym.133.1", "{pushed}");
}

#[test]
fn a_zip_file_is_a_bag_without_a_directory_around_it_and_always_the_same() {
    let place = tempfile::tempdir().unwrap();
    if plain_package(place.path()).is_none() {
        return;
    }
    d1oci(place.path(), &["push", "oci:store:v1", "plain", "--include-private"]).success();
    for name in ["one.zip", "two.ZIP"] {
        d1oci(place.path(), &["export", "oci:store:v1", "-o", name]).success();
    }
    let read = |name: &str| fs::read(place.path().join(name)).unwrap();
    assert!(read("one.zip") == read("two.ZIP"));
    let unpacked = place.path().join("unpacked");
    if unzip(&place.path().join("one.zip"), &unpacked) {
        assert!(unpacked.join("bagit.txt").is_file() && bagit_py_accepts(&unpacked));
        d1oci(place.path(), &["export", "oci:store:v1", "-o", "out"]).success();
        assert_eq!(files(tree(&unpacked)), files(tree(&place.path().join("out"))));
    }
    d1oci(place.path(), &["bag", "validate", "one.zip"]).success();
}

#[test]
fn an_object_is_exported_with_its_newest_system_metadata() {
    let place = tempfile::tempdir().unwrap();
    let Some(samples) = samples() else { return };
    let package = samples.join("dataone/pkg-peggym133");
    let document = fs::read_to_string(package.join("data.1.1.sysmeta.xml")).unwrap();
    let date = |line: &str| line.contains("<dateSysMetadataModified>");
    let old = document.lines().find(|line| date(line)).unwrap().trim().to_owned();
    let new = "<dateSysMetadataModified>2031-01-01T00:00:00.000+00:00</dateSysMetadataModified>";
    let object = package.join("data.1.1");
    for (name, text) in [("new.xml", document.replace(&old, new)), ("old.xml", document.clone())] {
        fs::write(place.path().join(name), text).unwrap();
        let arguments =
            ["push", "oci:store", object.to_str().unwrap(), "--sysmeta", name, "--include-private"];
        d1oci(place.path(), &arguments).success();
    }
    d1oci(place.path(), &["export", "oci:store", "--id", "data.1.1", "-o", "out"]).success();
    let out = place.path().join("out");
    assert!(bagit_py_accepts(&out));
    let sysmeta = fs::read(out.join("metadata/sysmeta/sysmeta-data.1.1.xml")).unwrap();
    assert_eq!(sysmeta, fs::read(place.path().join("new.xml")).unwrap());
    let data: Vec<_> = fs::read_dir(out.join("data")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(fs::read(&data[0]).unwrap(), fs::read(object).unwrap());
}

#[test]
fn a_bag_with_a_known_fault_is_repaired() {
    let place = tempfile::tempdir().unwrap();
    let bag = BagBuilder::new().file("data/a.csv", payload(1, 500)).file("data/b.csv", payload(1, 500));
    let bag = bag.write(&place.path().join("bag"));
    // Metacat lists one of several files with equal bytes.
    for name in ["manifest-sha256.txt", "tagmanifest-sha256.txt", "tagmanifest-md5.txt"] {
        fs::remove_file(bag.join(name)).unwrap();
    }
    let manifest = fs::read_to_string(bag.join("manifest-md5.txt")).unwrap();
    fs::write(bag.join("manifest-md5.txt"), manifest.lines().next().unwrap().to_owned() + "\n").unwrap();
    d1oci(place.path(), &["push", "oci:store:v1", "bag", "--accept", "dataone"]).success();
    d1oci(place.path(), &["export", "oci:store:v1", "-o", "out"]).success();
    assert!(bagit_py_accepts(&place.path().join("out")));
}

#[test]
fn a_bag_that_cannot_be_repaired_is_not_exported() {
    let place = tempfile::tempdir().unwrap();
    let bag = BagBuilder::new().payload_files(3, 500).write(&place.path().join("bag"));
    fs::write(bag.join("data/series-0/file-00000.csv"), "changed").unwrap();
    d1oci(place.path(), &["push", "oci:store:v1", "bag", "--no-verify"]).success();
    for target in ["out", "out.zip"] {
        d1oci(place.path(), &["export", "oci:store:v1", "-o", target]).failure(1);
    }
    let left: Vec<String> = tree(place.path())
        .into_keys()
        .filter(|path| path.starts_with("out") || path.contains("export"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn nothing_is_overwritten() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(3, 500).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    fs::write(place.path().join("mine.zip"), "mine").unwrap();
    fs::create_dir(place.path().join("mine")).unwrap();
    fs::write(place.path().join("mine/notes.txt"), "mine").unwrap();
    fs::create_dir(place.path().join("empty")).unwrap();
    let before = tree(place.path());
    for target in ["mine.zip", "mine"] {
        let refused = d1oci(place.path(), &["export", "oci:store:v1", "-o", target]).failure(6);
        assert!(refused.stderr.contains("already exists"), "{}", refused.stderr);
    }
    assert!(tree(place.path()) == before);
    d1oci(place.path(), &["export", "oci:store:v1", "-o", "empty"]).success();
}
