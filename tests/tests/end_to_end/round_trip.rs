//! A pull returns the pushed content, whole or in part.

use std::fs;
use std::path::Path;

use d1oci_tests::{BagBuilder, bagit_py_accepts, bare_d1oci, d1oci, payload, run, tree};

#[test]
fn a_bag_comes_back_equal_in_both_layouts() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new()
        .awkward()
        .payload_files(80, 2000)
        .file("metadata/eml.xml", "<eml/>")
        .write(&place.path().join("bag"));
    for layout in ["objects", "archive"] {
        let target = format!("oci:store:{layout}");
        d1oci(place.path(), &["push", &target, "bag", "--layout", layout]).success();
        d1oci(place.path(), &["pull", &target, "-o", layout]).success();
        assert!(tree(&place.path().join("bag")) == tree(&place.path().join(layout).join("bag")), "{layout}");
        assert!(bagit_py_accepts(&place.path().join(layout).join("bag")));
    }
}

#[test]
fn an_archive_goes_into_a_layout_without_a_temporary_file() {
    let place = tempfile::tempdir().unwrap();
    let large = payload(9, 60_000_000);
    BagBuilder::new().file("data/large.csv", large).write(&place.path().join("bag"));
    let push = |target: &str, temporary: &Path| {
        let mut command = bare_d1oci(place.path());
        command
            .env("TMPDIR", temporary)
            .args(["push", target, "bag", "--layout", "archive", "--format", "json"]);
        run(&mut command)
    };
    // A layer is larger than the memory for layers, so a spool would need a file there.
    let pushed = push("oci:new/store:v1", &place.path().join("nothing")).success().json();
    assert!(pushed["layers"][0]["size"].as_u64().unwrap() > 8 << 20, "{pushed}");
    let again = push("oci:copy:v1", place.path()).success().json();
    assert_eq!(again["digest"], pushed["digest"]);
    d1oci(place.path(), &["pull", "oci:new/store:v1", "-o", "out"]).success();
    assert!(tree(&place.path().join("bag")) == tree(&place.path().join("out/bag")));
}

#[test]
fn unchanged_files_are_not_read_again_on_request() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("plain");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("a.csv"), payload(1, 100_000)).unwrap();
    fs::write(source.join("sub/b.csv"), payload(2, 5_000)).unwrap();
    let go = |arguments: &[&str]| {
        let mut command = bare_d1oci(place.path());
        command.args(arguments).args(["--format", "json"]);
        run(&mut command).success().json()
    };
    let push = |layout| go(&["push", "oci:store:v1", "plain", "--layout", layout, "--trust-unchanged"]);
    // The state of a young file is not trusted: its next change may leave the same time.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(push("objects")["trusted"], serde_json::json!({"files": 0, "bytes": 0}));
    for layout in ["objects", "archive", "archive"] {
        assert_eq!(push(layout)["trusted"], serde_json::json!({"files": 2, "bytes": 105_000}), "{layout}");
    }
    fs::write(source.join("sub/b.csv"), payload(3, 5_000)).unwrap();
    assert_eq!(push("objects")["trusted"]["files"], 1);
    assert_eq!(push("archive")["trusted"]["files"], 1);
    assert!(go(&["push", "oci:store:v1", "plain"]).get("trusted").is_none());
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).success();
    assert_eq!(tree(&source), tree(&place.path().join("out/plain")));
    let object = ["push", "oci:store:v2", "plain/a.csv", "--id", "urn:uuid:1", "--trust-unchanged"];
    assert_eq!(go(&object)["trusted"]["files"], 1);
    let bag = go(&["bag", "create", "--in-place", "plain", "-a", "sha256", "--trust-unchanged"]);
    assert_eq!(bag["trusted"]["files"], 1, "{bag}");
    assert_eq!(go(&["bag", "validate", "plain"])["valid"], true);
}

#[test]
fn a_plain_directory_comes_back_equal() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("plain");
    fs::create_dir_all(source.join("sub/empty")).unwrap();
    fs::write(source.join("a.txt"), "a").unwrap();
    fs::write(source.join("sub/b.bin"), payload(1, 100_000)).unwrap();
    d1oci(place.path(), &["push", "oci:store:v1", "plain"]).success();
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).success();
    assert_eq!(tree(&source), tree(&place.path().join("out/plain")));
}

#[test]
fn single_files_come_back_under_the_paths_they_were_pushed_by() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("data")).unwrap();
    fs::write(place.path().join("data/CP_2024_25m_Temp.csv"), payload(1, 5000)).unwrap();
    fs::write(place.path().join("urn:uuid:1"), "x").unwrap();
    let arguments =
        ["push", "oci:store:one", "--artifact-type", "text/csv", "data/CP_2024_25m_Temp.csv", "urn:uuid:1"];
    d1oci(place.path(), &arguments).success();
    d1oci(place.path(), &["pull", "oci:store:one", "-o", "out"]).success();
    let out = tree(&place.path().join("out"));
    assert_eq!(out["data/CP_2024_25m_Temp.csv"], Some(payload(1, 5000)));
    assert_eq!(out["urn:uuid:1"], Some(b"x".to_vec()));
}

#[test]
fn one_file_and_ranges_of_it_can_be_read() {
    let place = tempfile::tempdir().unwrap();
    let large = payload(9, 3_000_000);
    BagBuilder::new()
        .file("data/large.csv", large.clone())
        .payload_files(70, 1500)
        .write(&place.path().join("bag"));
    for layout in ["objects", "archive"] {
        let target = format!("oci:store:{layout}");
        d1oci(place.path(), &["push", &target, "bag", "--layout", layout]).success();
        let whole = d1oci(place.path(), &["cat", &target, "data/large.csv"]).success();
        assert!(whole.stdout == large, "{layout}");
        let small = d1oci(place.path(), &["cat", &target, "data/series-3/file-00010.csv"]).success();
        assert!(small.stdout == payload(10, 1500), "{layout}");
        for (range, start, end) in
            [("0-9", 0, 10), ("1500000-1600000", 1_500_000, 1_600_001), ("2999990-", 2_999_990, 3_000_000)]
        {
            let part = d1oci(place.path(), &["cat", &target, "data/large.csv", "--range", range]).success();
            assert!(part.stdout == large[start..end], "{layout} {range}");
        }
        let missing = d1oci(place.path(), &["cat", &target, "data/none.csv"]).failure(3);
        assert!(missing.stderr.contains("data/none.csv"), "{}", missing.stderr);
    }
}

#[test]
fn a_pull_takes_only_what_is_included() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new()
        .payload_files(100, 800)
        .file("data/keep/one.nc", payload(5, 300_000))
        .write(&place.path().join("bag"));
    for layout in ["objects", "archive"] {
        let target = format!("oci:store:{layout}");
        d1oci(place.path(), &["push", &target, "bag", "--layout", layout]).success();
        let include =
            ["pull", &target, "-o", layout, "--include", "data/keep/**", "--include", "**/file-00042.csv"];
        d1oci(place.path(), &include).success();
        let files: Vec<String> = tree(&place.path().join(layout).join("bag"))
            .into_iter()
            .filter_map(|(path, content)| content.map(|_| path))
            .collect();
        assert_eq!(files, ["data/keep/one.nc", "data/series-0/file-00042.csv"], "{layout}");
        d1oci(place.path(), &["pull", &target, "-o", "none", "--include", "nothing/**"]).failure(3);
    }
}

#[test]
fn a_second_pull_keeps_what_is_there_and_a_changed_file_is_not_overwritten() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(20, 5000).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).success();
    let again =
        d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out", "--format", "json"]).success().json();
    assert_eq!(again["receivedBytes"], 0, "{again}");

    let changed = place.path().join("out/bag/data/series-0/file-00000.csv");
    fs::write(&changed, "mine").unwrap();
    fs::write(place.path().join("out/bag/notes.txt"), "mine too").unwrap();
    let refused = d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).failure(6);
    assert!(
        refused.stderr.contains("file-00000.csv") && refused.stderr.contains("--overwrite"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(&changed).unwrap(), b"mine");
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out", "--overwrite"]).success();
    assert_eq!(fs::read(&changed).unwrap(), payload(0, 5000));
    assert_eq!(fs::read(place.path().join("out/bag/notes.txt")).unwrap(), b"mine too");
}

#[test]
fn a_plain_directory_becomes_a_bag_on_the_way() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("plain");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("sub/a.csv"), payload(1, 1000)).unwrap();
    d1oci(place.path(), &["push", "oci:store:v1", "plain", "--bag"]).success();
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).success();
    let bag = place.path().join("out/plain");
    assert_eq!(fs::read(bag.join("data/sub/a.csv")).unwrap(), payload(1, 1000));
    d1oci(place.path(), &["bag", "validate", "out/plain"]).success();
    assert!(bagit_py_accepts(&bag));
    assert_eq!(tree(&source).len(), 2, "the source was changed");
}

#[test]
fn a_copy_is_the_same_artifact() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(30, 3000).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    fs::write(place.path().join("note.txt"), "a note").unwrap();
    d1oci(place.path(), &["attach", "oci:store:v1", "--artifact-type", "text/plain", "note.txt"]).success();
    d1oci(place.path(), &["copy", "--referrers", "oci:store:v1", "oci:replica:v2"]).success();
    let digest = |reference: &str| d1oci(place.path(), &["resolve", reference]).success().text();
    assert_eq!(digest("oci:store:v1"), digest("oci:replica:v2"));
    let discovered = d1oci(place.path(), &["discover", "oci:replica:v2"]).success().text();
    assert!(discovered.contains("text/plain"), "{discovered}");
    let again =
        d1oci(place.path(), &["copy", "oci:store:v1", "oci:replica:v2", "--format", "json"]).success().json();
    assert_eq!(again["sentBytes"], 0, "{again}");
    d1oci(place.path(), &["verify", "--deep", "oci:replica:v2"]).success();
}
