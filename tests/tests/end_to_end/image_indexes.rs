//! Image indexes: a tag may name a list of artifacts, as other tools write it.

use std::fs;

use d1oci_tests::{BagBuilder, d1oci};
use oci_model::{Descriptor, Digest, ImageIndex, RawManifest};
use serde_json::{Value, json};

/// Adds an index of these artifacts to the layout `store` under a tag.
fn plant_index(place: &std::path::Path, tag: &str, children: Vec<Descriptor>) -> Digest {
    let raw = RawManifest::from_index(&ImageIndex::new(children));
    fs::write(place.join("store/blobs").join(raw.digest().as_str().replace(':', "/")), raw.bytes()).unwrap();
    let path = place.join("store/index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut entry = serde_json::to_value(raw.descriptor()).unwrap();
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    index["manifests"].as_array_mut().unwrap().push(entry);
    fs::write(path, index.to_string()).unwrap();
    raw.digest().clone()
}

#[test]
fn an_image_index_is_shown_child_by_child() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    BagBuilder::new().payload_files(2, 100).write(&place.join("bag"));
    fs::write(place.join("note.txt"), "a note").unwrap();
    let mut children = Vec::new();
    for (tag, source) in [("bag", "bag"), ("note", "note.txt")] {
        d1oci(place, &["push", &format!("oci:store:{tag}"), source]).success();
        let resolved = d1oci(place, &["resolve", &format!("oci:store:{tag}"), "--format", "json"]).success();
        children.push(serde_json::from_value::<Descriptor>(resolved.json()["descriptor"].clone()).unwrap());
        d1oci(place, &["delete", &format!("oci:store:{tag}")]).success();
    }
    let digests: Vec<String> = children.iter().map(|child| child.digest.to_string()).collect();
    let inner = plant_index(place, "inner", children.clone());
    let nested: Descriptor =
        serde_json::from_value(json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": inner,
            "size": fs::metadata(place.join("store/blobs").join(inner.as_str().replace(':', "/"))).unwrap().len()}))
        .unwrap();
    plant_index(place, "all", vec![nested, children[0].clone()]);

    let listing = d1oci(place, &["ls", "oci:store:all", "--format", "json"]).success().json();
    let listed = listing["artifacts"].as_array().unwrap();
    let references: Vec<_> = listed.iter().map(|child| child["reference"].as_str().unwrap()).collect();
    let expected: Vec<_> = digests.iter().map(|digest| format!("oci:store@{digest}")).collect();
    assert_eq!(references, expected, "{listing}");
    let note = &listed[1]["files"][0];
    assert_eq!((&note["path"], &note["size"]), (&json!("note.txt"), &json!(6)), "{listing}");

    let text = d1oci(place, &["ls", "oci:store:all"]).success().text();
    assert!(text.contains("data/series-0/file-00000.csv") && text.contains("  6 B  note.txt"), "{text}");
    let summary = d1oci(place, &["inspect", "oci:store:inner", "--format", "json"]).success().json();
    let artifacts = summary["artifacts"].as_array().unwrap();
    assert_eq!(artifacts[0]["artifactType"], "application/bagit-1.0", "{summary}");
    assert_eq!(artifacts[1]["digest"], digests[1], "{summary}");
    d1oci(place, &["verify", "--deep", "oci:store:all"]).success();

    // A pull needs one package, and the error names those that there are.
    let pulled = d1oci(place, &["pull", "oci:store:inner", "-o", "out"]).failure(1);
    assert!(digests.iter().all(|digest| pulled.stderr.contains(digest)), "{}", pulled.stderr);

    // A child without its manifest is an error, and the others are still shown.
    fs::remove_file(place.join("store/blobs").join(digests[0].replace(':', "/"))).unwrap();
    for command in ["ls", "inspect"] {
        let shown = d1oci(place, &[command, "oci:store:inner"]).failure(1);
        let text = shown.text();
        assert!(text.contains(&digests[0]) && text.contains("error") && text.contains(&digests[1]), "{text}");
    }
    d1oci(place, &["verify", "oci:store:inner"]).failure(1);
}

#[test]
fn indexes_that_name_a_child_many_times_are_verified_once_and_wrong_sizes_are_faults() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    fs::write(place.join("note.txt"), "a note").unwrap();
    d1oci(place, &["push", "oci:store:note", "note.txt"]).success();
    let resolved = d1oci(place, &["resolve", "oci:store:note", "--format", "json"]).success();
    let note: Descriptor = serde_json::from_value(resolved.json()["descriptor"].clone()).unwrap();
    // Visited again and again, the note would be verified 40 to the power of 5 times.
    let mut child = note.clone();
    for level in 0..5 {
        let digest = plant_index(place, &format!("level-{level}"), vec![child; 40]);
        let path = place.join("store/blobs").join(digest.as_str().replace(':', "/"));
        child = Descriptor::new(
            "application/vnd.oci.image.index.v1+json".parse().unwrap(),
            digest,
            fs::metadata(path).unwrap().len(),
        );
    }
    let report = d1oci(place, &["verify", "oci:store:level-4", "--format", "json"]).success().json();
    assert_eq!(report["files"], 1, "{report}");
    plant_index(place, "wrong", vec![Descriptor { size: note.size + 1, ..note }]);
    let wrong = d1oci(place, &["verify", "oci:store:wrong"]).failure(1);
    assert!(wrong.text().contains("the index states"), "{}", wrong.text());
}
