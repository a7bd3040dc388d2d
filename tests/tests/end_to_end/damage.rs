//! Every flipped byte is found, named, and never given out.

use std::fs;
use std::path::PathBuf;

use d1oci_tests::{BagBuilder, DockerRegistry, d1oci, payload};

/// Returns all blobs of a layout with their sizes, in order of their digests.
fn blobs(layout: &std::path::Path) -> Vec<(PathBuf, u64)> {
    let mut found: Vec<_> = fs::read_dir(layout.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
        .collect();
    found.sort();
    found
}

#[test]
fn a_flipped_byte_in_any_blob_is_caught() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new()
        .payload_files(70, 600)
        .file("data/large.csv", payload(3, 300_000))
        .write(&place.path().join("bag"));
    for layout in ["objects", "archive"] {
        let store = format!("store-{layout}");
        let target = format!("oci:{store}:v1");
        d1oci(place.path(), &["push", &target, "bag", "--layout", layout]).success();
        for (blob, size) in blobs(&place.path().join(&store)) {
            for position in [0, size / 3, size / 2, size.saturating_sub(9), size - 1] {
                let whole = fs::read(&blob).unwrap();
                let mut damaged = whole.clone();
                damaged[usize::try_from(position).unwrap()] ^= 0x10;
                make_writable(&blob);
                fs::write(&blob, &damaged).unwrap();
                let name = blob.file_name().unwrap().to_string_lossy().into_owned();
                let about = format!("{layout}: byte {position} of {size} in {name}");

                let verified = d1oci(place.path(), &["verify", "--deep", &target]);
                assert_eq!(verified.code, 1, "{about}: {}", verified.stderr);
                let told = format!("{}{}", verified.text(), verified.stderr);
                assert!(
                    ["bag", "data/", "manifest", &name[..12]].iter().any(|named| told.contains(named)),
                    "{about}: {told}"
                );

                let pulled = d1oci(place.path(), &["pull", &target, "-o", "out"]);
                assert_eq!(pulled.code, 1, "{about}: {}", pulled.stderr);
                assert!(!place.path().join("out/bag").exists(), "{about}");
                fs::write(&blob, &whole).unwrap();
                let _ = fs::remove_dir_all(place.path().join("out"));
            }
        }
        d1oci(place.path(), &["verify", "--deep", &target]).success();
    }
}

fn make_writable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn a_damaged_file_is_named() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(3, 60_000).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    let listing = d1oci(place.path(), &["ls", "oci:store:v1", "--format", "json"]).success().json();
    let file = listing["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["path"] == "data/series-1/file-00001.csv")
        .unwrap();
    let digest = file["sha256"].as_str().unwrap();
    let blob = place.path().join("store/blobs/sha256").join(digest);
    make_writable(&blob);
    fs::write(&blob, vec![0; 60_000]).unwrap();
    for arguments in
        [vec!["verify", "--deep", "oci:store:v1"], vec!["pull", "oci:store:v1", "-o", "out", "--keep-going"]]
    {
        let outcome = d1oci(place.path(), &arguments);
        assert_eq!(outcome.code, 1);
        let told = format!("{}{}", outcome.text(), outcome.stderr);
        assert!(told.contains("data/series-1/file-00001.csv"), "{told}");
    }
}

#[test]
fn all_damaged_files_are_named_at_once() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(6, 60_000).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    let listing = d1oci(place.path(), &["ls", "oci:store:v1", "--format", "json"]).success().json();
    for file in listing["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["path"].as_str().unwrap().starts_with("data/series-"))
        .take(3)
    {
        let blob = place.path().join("store/blobs/sha256").join(file["sha256"].as_str().unwrap());
        make_writable(&blob);
        fs::write(&blob, vec![0; 60_000]).unwrap();
    }
    let report = d1oci(place.path(), &["verify", "--deep", "oci:store:v1", "--format", "json"]);
    assert_eq!(report.code, 1);
    assert_eq!(report.json()["faults"].as_array().unwrap().len(), 3, "{}", report.text());
    let pulled = d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out", "--keep-going"]).failure(1);
    for number in 0..3 {
        assert!(pulled.stderr.contains(&format!("file-{number:05}.csv")), "{}", pulled.stderr);
    }
}

#[test]
fn a_damaged_layout_is_healed_from_replicas_and_the_rest_is_reported() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new()
        .payload_files(3, 600)
        .file("data/large.csv", payload(3, 300_000))
        .write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    d1oci(place.path(), &["copy", "oci:store:v1", "oci:replica:v1"]).success();
    let spoil = || {
        for (number, (blob, size)) in blobs(&place.path().join("store")).into_iter().enumerate() {
            let whole = fs::read(&blob).unwrap();
            make_writable(&blob);
            match number % 3 {
                0 => fs::remove_file(&blob).unwrap(),
                1 => fs::write(&blob, &whole[..usize::try_from(size / 2).unwrap()]).unwrap(),
                _ => fs::write(&blob, whole.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap(),
            }
        }
    };
    spoil();
    let lost = d1oci(place.path(), &["verify", "--all", "--deep", "oci:store"]);
    assert_eq!(lost.code, 1, "{}", lost.stderr);
    let healed = d1oci(place.path(), &["repair", "oci:store", "--from", "oci:replica"]);
    assert_eq!(healed.code, 0, "{}{}", healed.text(), healed.stderr);
    d1oci(place.path(), &["verify", "--deep", "oci:store:v1"]).success();

    let (blob, _) = blobs(&place.path().join("replica")).into_iter().max_by_key(|(_, size)| *size).unwrap();
    let name = blob.file_name().unwrap().to_string_lossy().into_owned();
    make_writable(&blob);
    fs::write(&blob, "damaged too").unwrap();
    spoil();
    let partly = d1oci(place.path(), &["repair", "oci:store", "--from", "oci:replica"]);
    assert_eq!(partly.code, 1, "{}", partly.stderr);
    assert!(partly.text().contains(&name), "{}", partly.text());
}

#[test]
fn an_identifier_beside_a_tag_is_checked() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(1, 600).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag", "--id", "doi:10.5072/A1"]).success();
    for (command, more) in [
        ("pull", &["-o", "out"][..]),
        ("ls", &[]),
        ("inspect", &[]),
        ("verify", &[]),
        ("export", &["-o", "exported"]),
        ("history", &[]),
    ] {
        for (identifier, code) in [("doi:10.5072/A2", 3), ("doi:10.5072/A1", 0)] {
            let arguments = [&[command, "oci:store:v1", "--id", identifier], more].concat();
            let ended = d1oci(place.path(), &arguments);
            assert_eq!(ended.code, code, "{command} {identifier}: {}", ended.stderr);
        }
    }
}

/// Flips a byte in the middle of a file.
fn flip(path: &std::path::Path) {
    make_writable(path);
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_manifest_is_never_taken_for_present() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(3, 600).write(&place.path().join("bag"));
    let pushed = d1oci(place.path(), &["push", "oci:base:v1", "bag", "--format", "json"]).success().json();
    let digest = pushed["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    for arguments in [
        &["push", "oci:store:v1", "bag"][..],
        &["push", "--repair", "oci:store:v1", "bag"],
        &["copy", "oci:base:v1", "oci:store:v1"],
        &["copy", "--repair", "oci:base:v1", "oci:store:v1"],
        &["copy", "-r", "oci:base:v1", "oci:store:v2"],
    ] {
        let _ = fs::remove_dir_all(place.path().join("store"));
        d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
        let manifest = place.path().join("store/blobs/sha256").join(&digest);
        for is_cut in [false, true] {
            flip(&manifest);
            if is_cut {
                fs::OpenOptions::new().write(true).open(&manifest).unwrap().set_len(100).unwrap();
            }
            d1oci(place.path(), &["verify", "oci:store:v1"]).failure(1);
            let healed = d1oci(place.path(), arguments).success();
            assert!(!healed.text().contains("Unchanged"), "{arguments:?}: {}", healed.text());
            d1oci(place.path(), &["verify", "--deep", "oci:store:v1"]).success();
        }
    }
}

#[test]
fn a_registry_that_keeps_a_damaged_blob_is_not_called_repaired() {
    let Some(registry) = DockerRegistry::start_open() else { return };
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().file("data/large.csv", payload(3, 300_000)).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:base:v1", "bag"]).success();
    let target = format!("{}/d1/damaged:v1", registry.host());
    let pushed = d1oci(place.path(), &["push", &target, "bag", "--format", "json"]).success().json();
    let layers = pushed["layers"].as_array().unwrap();
    let large = layers
        .iter()
        .find(|layer| layer["title"].as_str().is_some_and(|title| title.ends_with("large.csv")))
        .unwrap();
    let blob = registry.blob(large["digest"].as_str().unwrap());
    let whole = fs::read(&blob).unwrap();
    let repair = ["push", "--repair", &target, "bag"];
    let copy = ["copy", "--repair", "oci:base:v1", &target];
    let from = ["repair", target.rsplit_once(':').unwrap().0, "--from", "oci:base"];
    flip(&blob);
    for arguments in [&repair[..], &copy, &from] {
        let outcome = d1oci(place.path(), arguments).failure(1);
        let told = format!("{}{}", outcome.text(), outcome.stderr);
        assert!(
            told.contains("still has damaged ones") && !told.contains("no replica"),
            "{arguments:?}: {told}"
        );
    }
    fs::write(&blob, &whole[..1000]).unwrap();
    let plain = ["push", &target, "bag"];
    for arguments in [&plain[..], &repair, &copy] {
        let outcome = d1oci(place.path(), arguments).failure(1);
        assert!(outcome.stderr.contains("under this digest"), "{arguments:?}: {}", outcome.stderr);
    }
    // The registry takes it after its operator has removed the file.
    fs::remove_file(&blob).unwrap();
    d1oci(place.path(), &repair).success();
    d1oci(place.path(), &["verify", "--deep", &target]).success();
}

#[test]
fn names_that_are_not_tags_are_told_of_and_verified() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().file("data/large.csv", payload(3, 300_000)).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    let path = place.path().join("store/index.json");
    let index = fs::read_to_string(&path).unwrap();
    let renamed = index.replace(":\"v1\"", ":\"docker.io/library/x:1.0\"");
    assert_ne!(index, renamed);
    fs::write(&path, renamed).unwrap();
    let listed = d1oci(place.path(), &["tags", "oci:store"]).success();
    assert!(listed.stderr.contains("docker.io/library/x:1.0"), "{}", listed.stderr);
    let mirrored = d1oci(place.path(), &["mirror", "oci:store", "oci:new"]).success();
    assert!(mirrored.stderr.contains("not mirrored"), "{}", mirrored.stderr);
    let verified = d1oci(place.path(), &["verify", "--all", "oci:store"]).success();
    assert!(verified.text().contains(" is valid"), "{}", verified.text());
    let (largest, _) = blobs(&place.path().join("store")).into_iter().max_by_key(|(_, size)| *size).unwrap();
    fs::remove_file(largest).unwrap();
    d1oci(place.path(), &["verify", "--all", "oci:store"]).failure(1);
}
