//! HashStores, as Metacat keeps them, into a repository.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use d1_model::ChecksumAlgorithm;
use d1_testnode::{Content, HashStoreFolder, Scale, StoredObject};
use d1oci_tests::{Outcome, d1oci};
use serde_json::Value;

/// Returns a public object whose content follows from a number.
fn object(identifier: &str, seed: u64, algorithm: &ChecksumAlgorithm) -> StoredObject {
    let content = Content::Generated { seed, size: 10_000 + seed };
    StoredObject::with_algorithm(identifier.parse().unwrap(), "text/csv", content, algorithm).unwrap()
}

/// Makes a store with these objects.
fn store(place: &Path, objects: &[StoredObject]) -> HashStoreFolder {
    let store = HashStoreFolder::create(&place.join("hashstore")).unwrap();
    objects.iter().for_each(|object| store.put(object).unwrap());
    store
}

/// Makes objects with each kind of checksum, one of them with the content of another, and one of nothing.
fn objects() -> Vec<StoredObject> {
    let empty = StoredObject::new("empty.1".parse().unwrap(), "text/csv", Content::text("")).unwrap();
    vec![
        object("doi:10.5072/A2ONE", 1, &ChecksumAlgorithm::Md5),
        object("../../../etc/passwd", 2, &ChecksumAlgorithm::Sha1),
        object("ünïcödé/3", 3, &ChecksumAlgorithm::Sha256),
        object("four.1", 4, &ChecksumAlgorithm::Sha512),
        object("same.as.four", 4, &ChecksumAlgorithm::Md5),
        empty,
    ]
}

fn import(place: &Path, more: &[&str]) -> Outcome {
    let arguments = ["import", "oci:store", "--hashstore", "hashstore", "--format", "json"];
    d1oci(place, &[&arguments[..], more].concat())
}

fn numbers(report: &Value) -> [u64; 4] {
    ["objects", "imported", "alreadyThere", "failed"].map(|key| report[key].as_u64().unwrap())
}

/// Returns the messages of all faults with what they are about.
fn faults(report: &Value) -> Vec<String> {
    let faults = report["faults"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    faults.map(|fault| format!("{}: {}", text(&fault["identifier"]), text(&fault["message"]))).collect()
}

/// Imports a store with one good object and one fault. The report has these words, and no wrong object is stored.
#[track_caller]
fn told(place: &Path, identifier: &str, words: &str) {
    let report = import(place, &[]).failure(1).json();
    assert_eq!(report["imported"], 1, "{report}");
    let faults = faults(&report);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with(&format!("{identifier}: ")) && faults[0].contains(words), "{faults:?}");
    let tags = d1oci(place, &["tags", "oci:store"]).success().text();
    assert_eq!(tags.lines().count(), 1, "{tags}");
    d1oci(place, &["cat", "oci:store", "--id", "good.1"]).success();
}

/// Makes a store with a good object and another one.
fn good_and(place: &Path, other: &StoredObject) -> HashStoreFolder {
    store(place, &[object("good.1", 100, &ChecksumAlgorithm::Md5), other.clone()])
}

fn name_of(object: &StoredObject) -> String {
    let checksum = d1_testnode::checksum_of(object.content(), &ChecksumAlgorithm::Sha256).unwrap().unwrap();
    checksum.value().to_owned()
}

#[test]
fn every_object_becomes_an_artifact_with_its_system_metadata() {
    let place = tempfile::tempdir().unwrap();
    let objects = objects();
    let store = store(place.path(), &objects);
    let report = import(place.path(), &[]).success().json();
    assert_eq!(numbers(&report), [6, 6, 0, 0], "{report}");
    assert_eq!(report["systemMetadata"], 6, "{report}");
    for object in &objects {
        let pid = object.identifier().as_str();
        let read = d1oci(place.path(), &["cat", "oci:store", "--id", pid]).success();
        assert!(read.stdout == object.content().bytes().unwrap(), "{pid}");
        let tag = format!("oci:store:{}", object.identifier().tag());
        let found = d1oci(place.path(), &["discover", &tag, "--format", "json"]).success().json();
        let document = format!("oci:store@{}", found["referrers"][0]["digest"].as_str().unwrap());
        let manifest = d1oci(place.path(), &["manifest", "fetch", &document]).success().json();
        let blob = manifest["layers"][0]["digest"].as_str().unwrap().replace(':', "/");
        let stored = fs::read(place.path().join("store/blobs").join(blob)).unwrap();
        assert_eq!(stored, fs::read(store.system_metadata(pid)).unwrap(), "{pid}");
    }
    d1oci(place.path(), &["verify", "--deep", "oci:store:four.1-x1"]).failure(3);
}

#[test]
fn what_is_there_is_not_read_again() {
    let place = tempfile::tempdir().unwrap();
    let objects = objects();
    let store = store(place.path(), &objects);
    import(place.path(), &[]).success();
    // Objects of the right size with wrong content.
    for object in &objects {
        let size = usize::try_from(object.content().size()).unwrap();
        fs::write(store.object(&name_of(object)), vec![0; size]).unwrap();
    }
    let again = import(place.path(), &[]).success().json();
    assert_eq!(numbers(&again), [6, 0, 6, 0], "{again}");
    assert_eq!((&again["sentBlobs"], &again["systemMetadata"]), (&0.into(), &0.into()), "{again}");
}

#[test]
fn withdrawn_objects_are_imported_only_on_request() {
    let place = tempfile::tempdir().unwrap();
    let store = HashStoreFolder::create(&place.path().join("hashstore")).unwrap();
    let scale = Scale { packages: 1, objects: 3, smallest: 10, largest: 100, seed: 1 };
    scale.catalog().unwrap().objects().for_each(|object| store.put(object).unwrap());
    store.put(&object("alone.1", 1, &ChecksumAlgorithm::Md5)).unwrap();
    import(place.path(), &[]).success();
    let data = scale.data(0, 0).to_string();
    let reason = ["--reason", "a test", "--yes"];
    let withdraw = [&["withdraw", "oci:store", "alone.1", &data][..], &reason].concat();
    d1oci(place.path(), &withdraw).success();
    let refused = import(place.path(), &[]).failure(1);
    assert!(refused.stderr.contains("alone.1") && refused.stderr.contains("withdrawn"));
    d1oci(place.path(), &["cat", "oci:store", "--id", "alone.1"]).failure(3);
    let again = import(place.path(), &["--include-withdrawn"]).success().json();
    assert_eq!((&again["packages"]["imported"], &again["imported"]), (&1.into(), &1.into()), "{again}");
    d1oci(place.path(), &["cat", "oci:store", "--id", "alone.1"]).success();
    // The tombstone of an object in a package stays under its identifier, so the package leads to it.
    let package = format!("oci:store:{}", scale.metadata(0).tag());
    d1oci(place.path(), &["cat", &package, "data/part-0/data-0.csv"]).success();
}

#[test]
fn an_import_that_was_cut_short_goes_on() {
    let place = tempfile::tempdir().unwrap();
    store(place.path(), &objects());
    let first = import(place.path(), &["--id", "four.1", "--id", "empty.1"]).success().json();
    assert_eq!(numbers(&first), [2, 2, 0, 0], "{first}");
    let rest = import(place.path(), &[]).success().json();
    assert_eq!(numbers(&rest), [6, 4, 2, 0], "{rest}");
}

#[test]
fn an_object_is_the_same_artifact_as_when_it_is_pushed() {
    let place = tempfile::tempdir().unwrap();
    let object = object("doi:10.5072/A2ONE", 1, &ChecksumAlgorithm::Md5);
    store(place.path(), std::slice::from_ref(&object));
    import(place.path(), &[]).success();
    fs::write(place.path().join("object"), object.content().bytes().unwrap()).unwrap();
    fs::write(place.path().join("sysmeta.xml"), object.system_metadata().to_xml().unwrap()).unwrap();
    let arguments = ["push", "oci:store", "object", "--sysmeta", "sysmeta.xml", "--format", "json"];
    let pushed = d1oci(place.path(), &arguments).success().json();
    assert_eq!((&pushed["unchanged"], &pushed["systemMetadata"]["unchanged"]), (&true.into(), &true.into()));
}

#[test]
fn private_objects_are_left_out_and_listed() {
    let place = tempfile::tempdir().unwrap();
    let private = object("secret.1", 7, &ChecksumAlgorithm::Md5).private();
    good_and(place.path(), &private);
    let report = import(place.path(), &[]).success().json();
    assert_eq!(report["notPublic"], serde_json::json!(["secret.1"]), "{report}");
    assert_eq!(report["imported"], 1, "{report}");
    let all = import(place.path(), &["--include-private"]).success().json();
    assert_eq!(numbers(&all), [2, 1, 1, 0], "{all}");
}

#[test]
fn bytes_that_are_not_those_of_the_name_are_told() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Sha256);
    let path = good_and(place.path(), &other).object(&name_of(&other));
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&path, bytes).unwrap();
    told(place.path(), "bad.1", "digest");
}

#[test]
fn a_checksum_of_another_algorithm_is_compared() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
    let other = other.edited(|meta| meta.checksum = "MD5:900150983cd24fb0d6963f7d28e17f72".parse().unwrap());
    good_and(place.path(), &other);
    told(place.path(), "bad.1", "declare MD5:900150983cd24fb0d6963f7d28e17f72");
    let blob = format!("store/blobs/sha256/{}", name_of(&other));
    assert!(!place.path().join(blob).exists(), "nothing wrong is stored");
}

#[test]
fn a_declared_checksum_is_compared_also_where_the_content_is_there() {
    let place = tempfile::tempdir().unwrap();
    let same = object("same.1", 100, &ChecksumAlgorithm::Md5);
    let same = same.edited(|meta| meta.checksum = "MD5:900150983cd24fb0d6963f7d28e17f72".parse().unwrap());
    good_and(place.path(), &same);
    told(place.path(), "same.1", "declare MD5:900150983cd24fb0d6963f7d28e17f72");
}

#[test]
fn a_size_that_is_not_declared_is_told() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5).edited(|meta| meta.size += 1);
    good_and(place.path(), &other);
    told(place.path(), "bad.1", "10008 bytes");
}

#[test]
fn an_object_that_is_not_there_is_told() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
    fs::remove_file(good_and(place.path(), &other).object(&name_of(&other))).unwrap();
    told(place.path(), "bad.1", "its object does not exist");
}

#[test]
fn references_that_lead_nowhere_are_told_by_identifier() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
    fs::remove_file(good_and(place.path(), &other).list(&name_of(&other))).unwrap();
    told(place.path(), "bad.1", "does not list it");
}

#[test]
fn an_identifier_without_a_reference_is_told() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
    fs::remove_file(good_and(place.path(), &other).reference("bad.1")).unwrap();
    told(place.path(), "bad.1", "does not exist");
}

#[test]
fn references_with_paths_in_them_open_nothing() {
    for text in ["../../../../secret", "/etc/passwd", "", &"A".repeat(64), &"a".repeat(4096)] {
        let place = tempfile::tempdir().unwrap();
        let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
        let store = good_and(place.path(), &other);
        fs::write(place.path().join("secret"), "secret").unwrap();
        fs::write(store.reference("bad.1"), text).unwrap();
        told(place.path(), "bad.1", "");
        let report = import(place.path(), &["--id", "bad.1"]).failure(1).json();
        assert_eq!((&report["imported"], &report["failed"]), (&0.into(), &1.into()), "{report}");
    }
}

#[test]
fn system_metadata_of_another_object_are_told() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
    let store = good_and(place.path(), &other);
    fs::copy(store.system_metadata("good.1"), store.system_metadata("bad.1")).unwrap();
    told(place.path(), "bad.1", "those of `good.1`");
}

#[test]
fn an_object_without_readable_system_metadata_is_told() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
    let store = good_and(place.path(), &other);
    fs::write(store.system_metadata("bad.1"), "<html>no</html>").unwrap();
    told(place.path(), "bad.1", "systemMetadata");
    fs::remove_file(store.system_metadata("bad.1")).unwrap();
    let report = import(place.path(), &[]).failure(1).json();
    assert!(faults(&report)[0].contains("it has no system metadata"), "{report}");
}

#[test]
fn links_are_not_followed() {
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
    let name = name_of(&other);
    for which in ["object", "reference", "metadata"] {
        let place = tempfile::tempdir().unwrap();
        let store = good_and(place.path(), &other);
        let path = match which {
            "object" => store.object(&name),
            "reference" => store.reference("bad.1"),
            _ => store.system_metadata("bad.1"),
        };
        let moved = place.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        let report = import(place.path(), &[]).failure(1).json();
        assert_eq!(report["imported"], 1, "{which}: {report}");
        assert!(faults(&report).iter().any(|fault| fault.contains("is a link")), "{which}: {report}");
    }
}

#[test]
fn a_linked_directory_is_not_followed() {
    let place = tempfile::tempdir().unwrap();
    let other = object("bad.1", 7, &ChecksumAlgorithm::Md5);
    let path = good_and(place.path(), &other).object(&name_of(&other));
    let directory = path.parent().unwrap();
    let moved = place.path().join("moved");
    fs::rename(directory, &moved).unwrap();
    symlink(&moved, directory).unwrap();
    told(place.path(), "bad.1", "is a link");
}

#[test]
fn odd_names_in_the_references_are_told() {
    let place = tempfile::tempdir().unwrap();
    store(place.path(), &[object("good.1", 100, &ChecksumAlgorithm::Md5)]);
    let lists = place.path().join("hashstore/refs/cids");
    fs::create_dir(lists.join("zz")).unwrap();
    fs::write(lists.join("notes.txt"), "x").unwrap();
    symlink("/", lists.join("00")).unwrap();
    let report = import(place.path(), &[]).failure(1).json();
    assert_eq!((numbers(&report), faults(&report).len()), ([1, 1, 0, 0], 3), "{report}");
}

#[test]
fn lists_with_lines_that_are_no_identifiers_are_told() {
    let place = tempfile::tempdir().unwrap();
    let good = object("good.1", 100, &ChecksumAlgorithm::Md5);
    let list = store(place.path(), std::slice::from_ref(&good)).list(&name_of(&good));
    fs::write(list, "good.1\nwith space\ngood.1\n\n").unwrap();
    let report = import(place.path(), &[]).failure(1).json();
    assert_eq!((&report["imported"], faults(&report).len()), (&1.into(), 1), "{report}");
}

#[test]
fn an_identifier_that_is_not_there_is_told() {
    let place = tempfile::tempdir().unwrap();
    store(place.path(), &[object("good.1", 100, &ChecksumAlgorithm::Md5)]);
    let arguments = ["import", "oci:store", "--hashstore", "hashstore", "--id", "good.1", "--id", "none.1"];
    let told = d1oci(place.path(), &arguments).failure(1);
    assert!(told.stderr.contains("none.1: the store has no object with this identifier"), "{}", told.stderr);
    assert!(told.text().contains("Imported 2 objects into oci:store: 1 new"), "{}", told.text());
}

#[test]
fn what_is_no_hash_store_is_refused() {
    let place = tempfile::tempdir().unwrap();
    d1oci(place.path(), &["import", "oci:store", "--hashstore", "nowhere"]).failure(6);
    fs::create_dir(place.path().join("hashstore")).unwrap();
    let refused = import(place.path(), &[]).failure(1);
    assert!(refused.stderr.contains("hashstore.yaml"), "{}", refused.stderr);
    let tagged = ["import", "oci:store:v1", "--hashstore", "hashstore"];
    d1oci(place.path(), &tagged).failure(2);
}

#[test]
fn the_packages_of_a_store_are_imported_and_compared_without_a_request() {
    let place = tempfile::tempdir().unwrap();
    let scale = Scale { packages: 3, objects: 5, smallest: 100, largest: 3000, seed: 9 };
    let catalog = scale.catalog().unwrap();
    let mut objects: Vec<StoredObject> = catalog.objects().map(|object| object.as_ref().clone()).collect();
    objects.push(object("alone.1", 1, &ChecksumAlgorithm::Md5));
    let store = store(place.path(), &objects);
    let report = import(place.path(), &[]).success().json();
    let packages = &report["packages"];
    assert_eq!((&packages["imported"], &packages["failed"]), (&3.into(), &serde_json::json!([])), "{report}");
    assert_eq!(numbers(&report), [1, 1, 0, 0], "the other object is an artifact of its own: {report}");
    let compare = ["compare", "oci:store", "--hashstore", "hashstore"];
    let same = d1oci(place.path(), &compare).success().text();
    assert!(same.contains("16 objects here, 16 listed: 16 equal"), "{same}");
    let data = scale.data(2, 1);
    let read = d1oci(place.path(), &["cat", "oci:store", "--id", data.as_str()]).success();
    assert!(read.stdout == catalog.get(&data).unwrap().content().bytes().unwrap());
    d1oci(place.path(), &["verify", "--all", "--deep", "--sysmeta", "oci:store"]).success();

    // The second import changes nothing. System metadata without an object are listed, and compared.
    fs::remove_file(store.reference("alone.1")).unwrap();
    fs::remove_file(store.list(&name_of(&objects[15]))).unwrap();
    let again = import(place.path(), &[]).success().json();
    assert_eq!((&again["packages"]["imported"], &again["packages"]["unchanged"]), (&0.into(), &3.into()));
    assert_eq!(again["withoutObject"], serde_json::json!(["alone.1"]), "{again}");
    let differs = d1oci(place.path(), &compare).failure(1).text();
    assert!(differs.contains("Gone: alone.1"), "{differs}");

    let single = d1oci(place.path(), &["import", "oci:single", "--hashstore", "hashstore", "--objects"]);
    assert!(single.success().text().contains("Imported 15 objects"));
}
