//! Bad input gets a clear error, and nothing that was there is lost.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use d1oci_tests::{BagBuilder, Tree, d1oci, payload, tree};

fn good_bag(place: &Path) -> std::path::PathBuf {
    BagBuilder::new().payload_files(4, 300).write(&place.join("bag"))
}

/// Breaks a bag in one way each; the push lists the fault and stores nothing.
#[test]
fn a_bag_with_any_single_fault_is_refused_with_its_fault() {
    type Break = fn(&Path);
    let breaks: &[(&str, Break)] = &[
        ("file-00000.csv", |bag| fs::write(bag.join("data/series-0/file-00000.csv"), "changed").unwrap()),
        ("file-00001.csv", |bag| fs::remove_file(bag.join("data/series-1/file-00001.csv")).unwrap()),
        ("data/extra", |bag| fs::write(bag.join("data/extra"), "x").unwrap()),
        ("bag-info.txt", |bag| fs::write(bag.join("bag-info.txt"), "Bagging-Date: 2025-11-08\n").unwrap()),
        ("data/link", |bag| symlink("/etc/hostname", bag.join("data/link")).unwrap()),
        ("data/dangling", |bag| symlink("nowhere", bag.join("data/dangling")).unwrap()),
        ("data/socket", |bag| drop(UnixListener::bind(bag.join("data/socket")).unwrap())),
        ("manifest-md5.txt", |bag| {
            let path = bag.join("manifest-md5.txt");
            let manifest = fs::read_to_string(&path).unwrap();
            fs::write(path, manifest.replace("data/", "../data/")).unwrap();
        }),
    ];
    for (named, breaking) in breaks {
        let place = tempfile::tempdir().unwrap();
        breaking(&good_bag(place.path()));
        let refused = d1oci(place.path(), &["push", "oci:store:v1", "bag"]).failure(1);
        assert!(refused.stderr.contains(named), "{named}: {}", refused.stderr);
        let tags = d1oci(place.path(), &["tags", "oci:store"]);
        assert!(tags.code == 3 || tags.text().is_empty(), "{named}");
        let store = place.path().join("store");
        let stored = if store.exists() { tree(&store) } else { Tree::new() };
        let blobs = stored.keys().filter(|path| path.starts_with("blobs/sha256/")).count();
        assert_eq!(blobs, 0, "{named}");
    }
}

#[test]
fn all_faults_are_listed_and_no_verify_pushes_all_the_same() {
    let place = tempfile::tempdir().unwrap();
    let bag = good_bag(place.path());
    fs::write(bag.join("data/series-0/file-00000.csv"), "changed").unwrap();
    fs::write(bag.join("data/extra"), "x").unwrap();
    fs::remove_file(bag.join("data/series-1/file-00001.csv")).unwrap();
    let refused = d1oci(place.path(), &["push", "oci:store:v1", "bag"]).failure(1);
    for named in ["file-00000.csv", "data/extra", "file-00001.csv"] {
        assert!(refused.stderr.contains(named), "{}", refused.stderr);
    }
    d1oci(place.path(), &["push", "oci:store:v1", "bag", "--no-verify"]).success();
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out", "--no-verify"]).success();
    assert!(tree(&bag) == tree(&place.path().join("out/bag")));
}

#[test]
fn a_bag_in_a_bag_is_payload() {
    let place = tempfile::tempdir().unwrap();
    let inner = BagBuilder::new().payload_files(2, 50).write(&place.path().join("inner"));
    let mut outer = BagBuilder::new();
    for (path, content) in tree(&inner) {
        if let Some(content) = content {
            outer = outer.file(&format!("data/inner/{path}"), content);
        }
    }
    outer.write(&place.path().join("outer"));
    d1oci(place.path(), &["push", "oci:store:v1", "outer"]).success();
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).success();
    d1oci(place.path(), &["bag", "validate", "out/outer/data/inner"]).success();
}

#[test]
fn a_directory_that_is_no_layout_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    good_bag(place.path());
    fs::create_dir(place.path().join("mine")).unwrap();
    fs::write(place.path().join("mine/thesis.txt"), "years").unwrap();
    let before = tree(&place.path().join("mine"));
    let refused = d1oci(place.path(), &["push", "oci:mine:v1", "bag"]);
    assert!(refused.code != 0 && refused.stderr.contains("mine"), "{}", refused.stderr);
    assert_eq!(tree(&place.path().join("mine")), before);
}

#[test]
fn references_that_do_not_parse_are_usage_errors() {
    let place = tempfile::tempdir().unwrap();
    for reference in
        ["", "oci:", "oci:store:ba d", "name", "UPPER.example/X", "http://x.example/a", "oci:store@sha256:12"]
    {
        d1oci(place.path(), &["pull", reference]).failure(2);
    }
}

#[test]
fn an_index_that_lies_is_refused() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new()
        .payload_files(70, 300)
        .file("data/large.csv", payload(1, 300_000))
        .write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    let manifest = d1oci(place.path(), &["manifest", "fetch", "oci:store:v1"]).success().json();
    let digest = manifest["config"]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path().join("store/blobs/sha256").join(digest)).unwrap())
            .unwrap();
    type Lie = fn(&mut serde_json::Value);
    let lies: &[Lie] = &[
        |index| index["files"][0]["offset"] = 1_000_000_000_000_u64.into(),
        |index| index["files"][0]["size"] = 1_000_000_000_000_u64.into(),
        |index| index["files"][0]["path"] = "../../escape".into(),
        |index| index["files"][0]["path"] = "/etc/passwd".into(),
        |index| index["files"][1]["path"] = index["files"][0]["path"].clone(),
        |index| index["files"][0]["layer"] = 99.into(),
        |index| index["layers"][0]["members"][0][0] = 5.into(),
        |index| index["layers"][0]["tarSize"] = 5.into(),
        |index| index["directory"] = "../out".into(),
        |index| index["layers"] = serde_json::json!([]),
    ];
    for (number, lie) in lies.iter().enumerate() {
        let mut index = index.clone();
        lie(&mut index);
        plant(place.path(), &manifest, &serde_json::to_vec(&index).unwrap(), &format!("lie-{number}"));
        let target = format!("oci:store:lie-{number}");
        for arguments in [vec!["pull", &target, "-o", "out"], vec!["verify", "--deep", &target]] {
            let outcome = d1oci(place.path(), &arguments);
            assert_eq!(outcome.code, 1, "lie {number}: {arguments:?}: {}", outcome.stderr);
            assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        }
        assert!(
            !place.path().join("out/bag").exists() && !place.path().join("escape").exists(),
            "lie {number}"
        );
    }
}

/// Stores a manifest with another configuration in the layout, as somebody with write access could.
fn plant(place: &Path, manifest: &serde_json::Value, config: &[u8], tag: &str) {
    use bagit::{Algorithm, Digests};
    let sha256 = |bytes: &[u8]| {
        Digests::of([Algorithm::Sha256].into_iter().collect(), bytes).hex(Algorithm::Sha256).unwrap()
    };
    let blobs = place.join("store/blobs/sha256");
    fs::write(blobs.join(sha256(config)), config).unwrap();
    let mut manifest = manifest.clone();
    manifest["config"]["digest"] = format!("sha256:{}", sha256(config)).into();
    manifest["config"]["size"] = config.len().into();
    let bytes = serde_json::to_vec(&manifest).unwrap();
    fs::write(blobs.join(sha256(&bytes)), &bytes).unwrap();
    let path = place.join("store/index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    index["manifests"].as_array_mut().unwrap().push(serde_json::json!({
        "mediaType": manifest["mediaType"], "digest": format!("sha256:{}", sha256(&bytes)), "size": bytes.len(),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }));
    fs::write(path, serde_json::to_vec(&index).unwrap()).unwrap();
}

#[test]
fn a_read_only_target_is_named() {
    // Root ignores file modes.
    if fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0) {
        return d1oci_tests::skipped("modes do not stop root");
    }
    let place = tempfile::tempdir().unwrap();
    good_bag(place.path());
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    fs::create_dir(place.path().join("locked")).unwrap();
    fs::set_permissions(place.path().join("locked"), Permissions::from_mode(0o555)).unwrap();
    let refused = d1oci(place.path(), &["pull", "oci:store:v1", "-o", "locked/out"]).failure(6);
    assert!(refused.stderr.contains("locked"), "{}", refused.stderr);
}
