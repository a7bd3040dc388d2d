//! Packages and objects are found by what is known of them, and whole repositories are audited.

use std::fs;
use std::path::Path;
use std::process::Command;

use d1oci_tests::{binary, d1oci, payload, run};

/// Pushes a plain package of one file with these options.
fn push(place: &Path, reference: &str, content: &str, options: &[&str]) {
    fs::create_dir_all(place.join("p")).unwrap();
    fs::write(place.join("p/data.csv"), content).unwrap();
    d1oci(place, &[&["push", reference, "p"], options].concat()).success();
}

#[test]
fn what_is_found_is_one_json_value_and_one_line_each() {
    let place = tempfile::tempdir().unwrap();
    for (number, created) in ["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"].iter().enumerate() {
        let (identifier, title) =
            (format!("x.{number}"), format!("org.opencontainers.image.description=Snow {number}"));
        push(
            place.path(),
            "oci:store",
            &identifier,
            &["--id", &identifier, "--annotation", &title, "--created", created],
        );
    }
    let all = d1oci(place.path(), &["find", "oci:store", "--format", "json"]).success().json();
    assert_eq!(all["found"].as_array().unwrap().len(), 2, "{all}");
    for catalog in [&["--no-catalog"][..], &["--catalog", "catalog.sqlite"]] {
        let search = [&["find", "oci:store", "--title", "snow 1"], catalog].concat();
        let text = d1oci(place.path(), &search).success().text();
        assert!(text.ends_with("  [x.1]  2021-01-01T00:00:00Z  Snow 1\n"), "{text}");
    }
    let late = d1oci(place.path(), &["find", "oci:store", "--from", "2020-06-01", "--format", "json"]);
    assert_eq!(late.success().json()["found"][0]["identifier"], "x.1");
    let none = d1oci(place.path(), &["find", "oci:store", "--id", "y", "--format", "json"]).failure(3);
    assert_eq!(none.json()["found"], serde_json::json!([]));
    d1oci(place.path(), &["find", "oci:store:v1"]).failure(2);
    d1oci(place.path(), &["find", "oci:store", "--from", "soon"]).failure(2);
}

#[test]
fn a_history_shows_versions_from_the_first_to_the_last() {
    let place = tempfile::tempdir().unwrap();
    for (identifier, replaced) in [("v2", "v1"), ("v3", "v2")] {
        let obsoletes = format!("org.dataone.obsoletes={replaced}");
        let series = "org.dataone.series-id=sid";
        push(
            place.path(),
            "oci:store",
            identifier,
            &["--id", identifier, "--annotation", &obsoletes, "--annotation", series],
        );
    }
    let history = ["history", "oci:store", "--id", "sid", "--format", "json"];
    let history = d1oci(place.path(), &history).success().json();
    let versions = history["versions"].as_array().unwrap();
    let identifiers: Vec<_> =
        versions.iter().map(|version| version["identifier"].as_str().unwrap()).collect();
    assert_eq!(identifiers, ["v1", "v2", "v3"]);
    assert_eq!((versions[0].get("digest"), &versions[2]["asked"]), (None, &true.into()));
    let text = d1oci(place.path(), &["history", "oci:store", "--id", "v2"]).success().text();
    assert!(text.starts_with("  v1  not in the repository\n* v2  "), "{text}");
}

#[test]
fn packages_with_one_identifier_are_named_and_none_is_chosen() {
    let place = tempfile::tempdir().unwrap();
    for tag in ["a", "b"] {
        push(place.path(), &format!("oci:store:{tag}"), tag, &["--id", "x.1"]);
    }
    let refused = d1oci(place.path(), &["ls", "oci:store", "--id", "x.1"]).failure(2);
    assert!(refused.stderr.contains("`x.1` stands for 2 artifacts\n  a sha256:"), "{}", refused.stderr);
    assert!(refused.stderr.contains("[x.1]\nhint: name one of them"), "{}", refused.stderr);
    d1oci(place.path(), &["ls", "oci:store", "--id", "y.1"]).failure(3);
}

#[test]
fn an_audit_of_a_repository_goes_on_after_damage_and_is_filed() {
    let place = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        let content = [name.as_bytes(), &payload(1, 5000)].concat();
        fs::write(place.path().join(name), content).unwrap();
        d1oci(place.path(), &["push", &format!("oci:store:{name}"), name, "--id", &format!("{name}.1")])
            .success();
    }
    let listed = d1oci(place.path(), &["ls", "oci:store:b", "--format", "json"]).success().json();
    let sha256 = listed["files"][0]["sha256"].as_str().unwrap().to_owned();
    let blob = place.path().join("store/blobs/sha256").join(sha256);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[4000] ^= 1;
    fs::write(&blob, bytes).unwrap();

    let audit = |file: &str| {
        let mut command = Command::new(binary());
        command.env("SOURCE_DATE_EPOCH", "1700000000").current_dir(place.path());
        run(command.args(["verify", "--all", "oci:store", "--report", file])).failure(1)
    };
    let outcome = audit("audit.json");
    assert!(outcome.stderr.contains("1 of 3 artifacts"), "{}", outcome.stderr);
    let report = fs::read(place.path().join("audit.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(
        (&report["date"], &report["repository"]),
        (&"2023-11-14T22:13:20Z".into(), &"oci:store".into())
    );
    assert_eq!((&report["totals"]["artifacts"], &report["totals"]["validArtifacts"]), (&3.into(), &2.into()));
    let damaged = report["artifacts"].as_array().unwrap().iter().find(|artifact| artifact["valid"] == false);
    let damaged = damaged.unwrap();
    assert_eq!((&damaged["tag"], &damaged["identifier"]), (&"b".into(), &"b.1".into()));
    assert!(!damaged["faults"].as_array().unwrap().is_empty());

    audit("audit.txt");
    let text = fs::read_to_string(place.path().join("audit.txt")).unwrap();
    assert!(text.starts_with("Fixity audit of oci:store\nDate: 2023-11-14T22:13:20Z\n"), "{text}");
    assert!(text.contains("NOT VALID  b  b.1\n"), "{text}");
    let shown = audit("-").text();
    assert_eq!(shown, text);
}
