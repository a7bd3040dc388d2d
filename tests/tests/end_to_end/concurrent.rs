//! Several processes at one layout.

use std::process::{Child, Command, Stdio};

use d1oci_tests::{BagBuilder, binary, d1oci};

fn start(directory: &std::path::Path, arguments: &[&str]) -> Child {
    Command::new(binary())
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

#[test]
fn two_processes_push_different_packages_into_one_layout() {
    let place = tempfile::tempdir().unwrap();
    for name in ["left", "right"] {
        BagBuilder::new().payload_files(5, 700).file("data/name.txt", name).write(&place.path().join(name));
    }
    for round in 0..50 {
        let targets = ["left", "right"].map(|name| format!("oci:store:{name}-{round}"));
        let pushes = [
            start(place.path(), &["push", &targets[0], "left"]),
            start(place.path(), &["push", &targets[1], "right"]),
        ];
        for push in pushes {
            let output = push.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let tags = d1oci(place.path(), &["tags", "oci:store", "--format", "json"]).success().json();
    assert_eq!(tags["tags"].as_array().unwrap().len(), 100);
    d1oci(place.path(), &["verify", "--deep", "oci:store:left-49"]).success();
}

#[test]
fn a_prune_beside_pushes_takes_nothing_from_them() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new()
        .payload_files(90, 4000)
        .file("data/big.bin", vec![3; 3_000_000])
        .write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:first", "bag"]).success();
    for round in 0..10 {
        let target = format!("oci:store:v{round}");
        let push = start(place.path(), &["push", &target, "bag", "--layout", "archive", "--repack"]);
        d1oci(place.path(), &["prune", "oci:store", "--untagged"]).success();
        let output = push.wait_with_output().unwrap();
        assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        d1oci(place.path(), &["verify", "--deep", &target]).success();
        d1oci(place.path(), &["delete", &target, "--artifact", "--force"]).success();
    }
    d1oci(place.path(), &["verify", "--deep", "oci:store:first"]).success();
}
