//! Single objects with their system metadata.

use std::fs;
use std::path::Path;

use d1_model::{Checksum, ChecksumAlgorithm};
use d1_testnode::{Content, StoredObject};
use d1oci_tests::{d1oci, samples};
use serde_json::Value;

const PID: &str = "urn:uuid:bd3d29b6-b25d-46ab-91a0-1938cd7ccadd";
const CONTENT: &str = "depth,temperature\n15,7.2\n";
const KIND: &str = "application/vnd.dataone.system-metadata+xml";

/// Returns a public object with an MD5 checksum.
fn object() -> StoredObject {
    let (identifier, content) = (PID.parse().unwrap(), Content::text(CONTENT));
    let object = StoredObject::with_algorithm(identifier, "text/csv", content, &ChecksumAlgorithm::Md5);
    object.unwrap().edited(|meta| meta.file_name = Some("T3 15m.csv".to_owned()))
}

/// Writes the object as `object.csv`, and its system metadata under a name.
fn write(place: &Path, object: &StoredObject, document: &str) {
    fs::write(place.join("object.csv"), object.content().bytes().unwrap()).unwrap();
    fs::write(place.join(document), object.system_metadata().to_xml().unwrap()).unwrap();
}

fn push(place: &Path, document: &str) -> Value {
    let arguments = ["push", "oci:store", "object.csv", "--sysmeta", document, "--format", "json"];
    d1oci(place, &arguments).success().json()
}

fn manifest(place: &Path, reference: &str) -> Value {
    d1oci(place, &["manifest", "fetch", reference]).success().json()
}

fn referrers(place: &Path, reference: &str) -> Vec<Value> {
    let found = d1oci(place, &["discover", reference, "--format", "json"]).success().json();
    found["referrers"].as_array().unwrap().clone()
}

#[test]
fn an_object_says_what_its_system_metadata_say_and_they_refer_to_it() {
    let place = tempfile::tempdir().unwrap();
    let object = object().edited(|meta| {
        meta.series_id = Some("series.1".parse().unwrap());
        meta.obsoletes = Some("older.1".parse().unwrap());
    });
    write(place.path(), &object, "sysmeta.xml");
    let pushed = push(place.path(), "sysmeta.xml");
    assert_eq!(pushed["identifier"], PID, "{pushed}");
    assert_eq!(pushed["tags"][0], "urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd");
    let reference = pushed["reference"].as_str().unwrap();

    let manifest = manifest(place.path(), reference);
    assert_eq!(manifest["artifactType"], "text/csv");
    let checksum = format!("MD5:{}", object.system_metadata().checksum.value());
    for (key, value) in [
        ("org.dataone.identifier", PID),
        ("org.dataone.format-id", "text/csv"),
        ("org.dataone.checksum", &checksum),
        ("org.dataone.series-id", "series.1"),
        ("org.dataone.obsoletes", "older.1"),
    ] {
        assert_eq!(manifest["annotations"][key], value, "{key}");
    }
    assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "T3 15m.csv");

    let referrers = referrers(place.path(), reference);
    assert_eq!(referrers.len(), 1, "{referrers:?}");
    assert_eq!(referrers[0]["artifactType"], KIND);
    let document = format!("oci:store@{}", referrers[0]["digest"].as_str().unwrap());
    d1oci(place.path(), &["pull", &document, "-o", "documents"]).success();
    let name = "documents/sysmeta-urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd.xml";
    let (pulled, original) = (place.path().join(name), place.path().join("sysmeta.xml"));
    assert_eq!(fs::read(pulled).unwrap(), fs::read(original).unwrap());

    let read = d1oci(place.path(), &["cat", "oci:store", "--id", PID]).success();
    assert_eq!(read.text(), CONTENT);
}

#[test]
fn newer_system_metadata_are_one_more_referrer_and_the_object_stays() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &object(), "first.xml");
    let first = push(place.path(), "first.xml");
    let again = push(place.path(), "first.xml");
    assert_eq!((&again["unchanged"], &again["sentBlobs"]), (&true.into(), &0.into()), "{again}");
    assert_eq!(again["systemMetadata"]["unchanged"], true, "{again}");

    // A series, a name and a successor may come later.
    let newer = object().edited(|meta| {
        meta.serial_version = Some(2);
        meta.series_id = Some("series.1".parse().unwrap());
        meta.file_name = Some("renamed.csv".to_owned());
        meta.obsoleted_by = Some("newer.1".parse().unwrap());
    });
    write(place.path(), &newer, "second.xml");
    let second = push(place.path(), "second.xml");
    assert_eq!(second["digest"], first["digest"], "{second}");
    assert_eq!(second["unchanged"], true, "{second}");
    assert_eq!(second["systemMetadata"]["unchanged"], false, "{second}");
    assert_eq!(referrers(place.path(), first["reference"].as_str().unwrap()).len(), 2);
}

#[test]
fn an_object_that_is_not_what_is_declared_is_refused() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &object(), "sysmeta.xml");
    for (content, word) in [(CONTENT.replace("7.2", "7.3"), "MD5:"), (format!("{CONTENT}\n"), "bytes")] {
        fs::write(place.path().join("object.csv"), content).unwrap();
        let arguments = ["push", "oci:store", "object.csv", "--sysmeta", "sysmeta.xml"];
        let refused = d1oci(place.path(), &arguments).failure(1);
        let says = refused.stderr.contains("object.csv") && refused.stderr.contains("declare");
        assert!(says && refused.stderr.contains(word), "{}", refused.stderr);
    }
    d1oci(place.path(), &["tags", "oci:store"]).failure(3);
}

#[test]
fn a_checksum_under_the_name_of_another_algorithm_is_taken_only_on_request() {
    let place = tempfile::tempdir().unwrap();
    let sha1 = StoredObject::with_algorithm(
        PID.parse().unwrap(),
        "text/csv",
        Content::text(CONTENT),
        &ChecksumAlgorithm::Sha1,
    );
    let value = sha1.unwrap().system_metadata().checksum.value().to_owned();
    let mislabelled =
        |value: String| object().edited(|meta| meta.checksum = Checksum::new(ChecksumAlgorithm::Md5, value));
    let arguments = ["push", "oci:store", "object.csv", "--sysmeta", "sysmeta.xml"];
    let take = [&arguments[..], &["--take-mislabelled"]].concat();

    write(place.path(), &mislabelled(value.replace(char::is_alphanumeric, "0")), "sysmeta.xml");
    let refused = d1oci(place.path(), &take).failure(1);
    assert!(refused.stderr.contains("is not the sha1 of the file either"), "{}", refused.stderr);

    write(place.path(), &mislabelled(value), "sysmeta.xml");
    let refused = d1oci(place.path(), &arguments).failure(1);
    assert!(refused.stderr.contains("only the algorithm's name is wrong"), "{}", refused.stderr);
    d1oci(place.path(), &["tags", "oci:store"]).failure(3);
    d1oci(place.path(), &take).success();
    let manifest = manifest(place.path(), "oci:store:urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd");
    assert_eq!(manifest["annotations"]["org.dataone.identifier"], PID);
    assert_eq!(manifest["annotations"].get("org.dataone.checksum"), None);
}

#[test]
fn an_identifier_that_the_system_metadata_contradict_is_refused() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &object(), "sysmeta.xml");
    let arguments = ["push", "oci:store", "object.csv", "--sysmeta", "sysmeta.xml", "--id"];
    let refused = d1oci(place.path(), &[&arguments[..], &["other.1"]].concat()).failure(1);
    assert!(refused.stderr.contains(PID) && refused.stderr.contains("other.1"), "{}", refused.stderr);
    d1oci(place.path(), &[&arguments[..], &[PID]].concat()).success();
}

#[test]
fn a_private_object_is_pushed_only_if_that_is_said() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &object().private(), "sysmeta.xml");
    let arguments = ["push", "oci:store", "object.csv", "--sysmeta", "sysmeta.xml"];
    let refused = d1oci(place.path(), &arguments).failure(4);
    assert!(refused.stderr.contains("--include-private"), "{}", refused.stderr);
    d1oci(place.path(), &[&arguments[..], &["--include-private"]].concat()).success();
}

#[test]
fn an_identifier_is_enough_and_system_metadata_may_follow() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &object(), "sysmeta.xml");
    d1oci(place.path(), &["push", "oci:store", "object.csv", "--id", PID]).success();
    let pushed = push(place.path(), "sysmeta.xml");
    assert_eq!(pushed["sentBlobs"], 1, "only the document is new: {pushed}");
    let reference = pushed["reference"].as_str().unwrap();
    assert_eq!(manifest(place.path(), reference)["annotations"]["org.dataone.format-id"], "text/csv");
}

#[test]
fn an_identifier_never_gets_other_content() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &object(), "sysmeta.xml");
    push(place.path(), "sysmeta.xml");
    fs::write(place.path().join("object.csv"), "other content").unwrap();
    let refused = d1oci(place.path(), &["push", "oci:store", "object.csv", "--id", PID]).failure(1);
    assert!(refused.stderr.contains("another object with this identifier"), "{}", refused.stderr);
    assert_eq!(d1oci(place.path(), &["cat", "oci:store", "--id", PID]).success().text(), CONTENT);
}

#[test]
fn a_package_keeps_the_tag_of_the_identifier_that_it_shares_with_its_metadata() {
    let Some(samples) = samples() else { return };
    let package = samples.join("dataone/pkg-peggym133");
    let place = tempfile::tempdir().unwrap();
    super::dataone::make_bag(place.path(), &package);
    let push = ["push", "oci:store", "bag", "--include-private", "--format", "json"];
    let pushed = d1oci(place.path(), &push).success().json();
    let (eml, sysmeta) = (package.join("peggym.133.1"), package.join("peggym.133.1.sysmeta.xml"));
    let (eml, sysmeta) = (eml.to_str().unwrap(), sysmeta.to_str().unwrap());
    let arguments = ["push", "oci:store", eml, "--sysmeta", sysmeta, "--include-private", "--format", "json"];
    let object = d1oci(place.path(), &arguments).success().json();
    assert_eq!(object["tags"].as_array().unwrap().len(), 0, "{object}");
    let tagged = manifest(place.path(), pushed["reference"].as_str().unwrap());
    assert_eq!(tagged["artifactType"], "application/bagit-1.0");
    let again = d1oci(place.path(), &arguments).success().json();
    assert_eq!(again["unchanged"], true, "{again}");
}

#[test]
fn system_metadata_of_several_files_are_a_mistake() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &object(), "sysmeta.xml");
    fs::create_dir(place.path().join("directory")).unwrap();
    for sources in [&["object.csv", "sysmeta.xml"][..], &["directory"]] {
        let arguments = [&["push", "oci:store", "--sysmeta", "sysmeta.xml"][..], sources].concat();
        d1oci(place.path(), &arguments).failure(2);
    }
}
