//! Several processes at one layout.

use std::process::{Child, Command, Stdio};

use d1oci_tests::{BagBuilder, DockerRegistry, binary, d1oci, peer};

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

/// Docker's registry has no interface for referrers and no conditional writes: each process reads a list and writes it.
#[test]
fn attachments_of_many_processes_are_listed_or_reported() {
    let Some(registry) = DockerRegistry::start_open() else { return };
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("a.txt"), "a").unwrap();
    let reference = format!("{}/a/b:v1", registry.host());
    d1oci(place.path(), &["push", &reference, "a.txt"]).success();
    let attaching: Vec<_> = (0..8)
        .map(|number| {
            let annotation = format!("number={number}");
            let arguments =
                ["attach", &reference, "--artifact-type", "text/plain", "-a", &annotation, "a.txt"];
            let mut command = Command::new(binary());
            command.current_dir(place.path()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
            (number.to_string(), command.spawn().unwrap())
        })
        .collect();
    let finished = attaching.into_iter().map(|(number, mut child)| (number, child.wait().unwrap()));
    let succeeded: Vec<_> =
        finished.filter(|(_, status)| status.success()).map(|(number, _)| number).collect();
    let listed = d1oci(place.path(), &["discover", &reference, "--format", "json"]).success().json();
    let listed: Vec<_> = listed["referrers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|referrer| referrer["annotations"]["number"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        succeeded.iter().all(|number| listed.contains(number)),
        "{succeeded:?} succeeded, {listed:?} are listed"
    );
    assert!(succeeded.len() > 4, "{succeeded:?}");
}

/// Pruning removes artifacts without a tag. Delays at its system calls let another process tag such an artifact in between.
#[test]
fn an_artifact_that_is_tagged_while_it_is_pruned_keeps_its_blobs() {
    let Some(strace) = peer("strace") else { return };
    let mut tagged = 0;
    for call in ["flock", "openat", "unlink", "rename", "fsync"] {
        for wait in [0, 150, 400] {
            let place = tempfile::tempdir().unwrap();
            let place = place.path();
            std::fs::write(place.join("a.txt"), "a").unwrap();
            std::fs::write(place.join("b.txt"), "b").unwrap();
            d1oci(place, &["push", "oci:store:v1", "a.txt"]).success();
            let digest = d1oci(place, &["resolve", "-l", "oci:store:v1"]).success().text();
            d1oci(place, &["push", "oci:store:other", "b.txt"]).success();
            d1oci(place, &["delete", "oci:store:v1"]).success();
            let mut pruning = Command::new(&strace);
            pruning.args(["-f", "-o", "calls", "-e", &format!("trace={call}")]);
            pruning.args(["-e", &format!("inject={call}:delay_enter=40000")]).arg(binary());
            pruning.args(["prune", "oci:store", "--untagged", "--grace", "0s"]).current_dir(place);
            let mut pruning = pruning.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(wait));
            let tagging = d1oci(place, &["tag", digest.trim(), "v2"]);
            assert!(pruning.wait().unwrap().success(), "{call} {wait}");
            if tagging.code == 0 {
                tagged += 1;
                d1oci(place, &["verify", "--deep", "oci:store:v2"]).success();
            } else {
                // Either the manifest was gone, or one of its blobs.
                let code = tagging.code;
                assert!(tagging.failure(code).stderr.contains("missing") || code == 3, "{call} {wait}");
            }
            d1oci(place, &["verify", "--all", "--deep", "oci:store"]).success();
        }
    }
    assert!(tagged > 0, "no tag came in time");
}
