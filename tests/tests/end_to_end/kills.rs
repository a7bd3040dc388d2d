//! A layout and a target directory stay sound when a command is killed at any moment.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use d1_testnode::{Scale, ScriptedNode};
use d1oci_tests::{BagBuilder, binary, d1oci, payload, tree};
use tokio::runtime::Runtime;

/// A small generator of test moments: reproducible, and spread over the whole run of a command.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((self.0 >> 33) % below)
    }
}

/// Starts a command and kills it with SIGKILL after some time.
fn kill(directory: &std::path::Path, arguments: &[&str], after: Duration) {
    let mut child = Command::new(binary())
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    sleep(after);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

/// How often each command is killed; 200 in all.
const ROUNDS: usize = 50;

#[test]
fn a_killed_push_leaves_what_was_there_and_the_next_one_completes() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(3, 500).write(&place.path().join("first"));
    d1oci(place.path(), &["push", "oci:store:first", "first"]).success();
    BagBuilder::new()
        .payload_files(80, 9000)
        .file("data/big.csv", payload(4, 2_000_000))
        .write(&place.path().join("bag"));
    let mut moments = Moments(1);
    for round in 0..ROUNDS {
        let target = format!("oci:store:v{round}");
        let layout = ["objects", "archive"][round % 2];
        kill(place.path(), &["push", &target, "bag", "--layout", layout, "--repack"], moments.next(120_000));
        d1oci(place.path(), &["verify", "--deep", "oci:store:first"]).success();
        d1oci(place.path(), &["push", &target, "bag", "--layout", layout]).success();
        d1oci(place.path(), &["delete", &target, "--artifact"]).success();
        d1oci(place.path(), &["prune", "oci:store", "--grace", "0"]).success();
    }
    d1oci(place.path(), &["verify", "--deep", "oci:store:first"]).success();
}

#[test]
fn a_killed_pull_leaves_nothing_wrong_and_the_next_one_completes() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new()
        .payload_files(80, 9000)
        .file("data/big.csv", payload(4, 3_000_000))
        .write(&place.path().join("bag"));
    let source = tree(&place.path().join("bag"));
    let mut moments = Moments(2);
    for round in 0..ROUNDS {
        let target = format!("oci:store:{}", ["objects", "archive"][round % 2]);
        d1oci(place.path(), &["push", &target, "bag", "--layout", ["objects", "archive"][round % 2]])
            .success();
        kill(place.path(), &["pull", &target, "-o", "out"], moments.next(80_000));
        let out = place.path().join("out/bag");
        if out.exists() {
            for (path, content) in tree(&out) {
                assert!(source.get(&path) == Some(&content), "round {round}: {path} is wrong");
            }
        }
        d1oci(place.path(), &["pull", &target, "-o", "out"]).success();
        assert!(tree(&out) == source, "round {round}");
        let left: Vec<_> =
            tree(&place.path().join("out")).into_keys().filter(|path| path.starts_with('.')).collect();
        assert!(left.is_empty(), "round {round}: {left:?}");
        std::fs::remove_dir_all(place.path().join("out")).unwrap();
    }
}

#[test]
fn a_killed_prune_takes_nothing_that_is_referred_to() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(80, 9000).write(&place.path().join("keep"));
    BagBuilder::new().payload_files(90, 9100).write(&place.path().join("drop"));
    d1oci(place.path(), &["push", "oci:store:keep", "keep"]).success();
    let mut moments = Moments(3);
    for round in 0..ROUNDS {
        d1oci(
            place.path(),
            &["push", "oci:store:drop", "drop", "--layout", ["objects", "archive"][round % 2]],
        )
        .success();
        d1oci(place.path(), &["delete", "oci:store:drop", "--artifact"]).success();
        kill(place.path(), &["prune", "oci:store", "--grace", "0"], moments.next(40_000));
        d1oci(place.path(), &["verify", "--deep", "oci:store:keep"]).success();
        d1oci(place.path(), &["prune", "oci:store", "--grace", "0"]).success();
    }
}

#[test]
fn a_killed_copy_leaves_the_target_sound_and_the_next_one_completes() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(3, 500).write(&place.path().join("first"));
    BagBuilder::new()
        .payload_files(90, 9000)
        .file("data/big.csv", payload(4, 3_000_000))
        .write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    d1oci(place.path(), &["push", "oci:replica:first", "first"]).success();
    let mut moments = Moments(4);
    for round in 0..ROUNDS {
        let target = format!("oci:replica:v{round}");
        kill(place.path(), &["copy", "oci:store:v1", &target], moments.next(60_000));
        d1oci(place.path(), &["verify", "--deep", "oci:replica:first"]).success();
        d1oci(place.path(), &["copy", "oci:store:v1", &target]).success();
        d1oci(place.path(), &["delete", &target, "--artifact"]).success();
        d1oci(place.path(), &["prune", "oci:replica", "--grace", "0"]).success();
    }
}

/// A fetch that ends between the name of its bag and the publication leaves the bag under that name, as does one whose place is taken.
#[test]
fn a_fetch_that_ended_just_before_its_publication_can_be_repeated() {
    let place = tempfile::tempdir().unwrap();
    let scale = Scale { packages: 1, objects: 3, smallest: 2_000, largest: 30_000, seed: 7 };
    let runtime = Runtime::new().unwrap();
    let node = runtime.block_on(ScriptedNode::serve(scale.catalog().unwrap())).unwrap();
    let fetch = |output: &str| {
        let url = node.member_url();
        d1oci(place.path(), &["fetch", "doi:10.5072/SCALE7.0", "-o", output, "--node", &url])
    };
    fetch("first").success();
    let bag = std::fs::read_dir(place.path().join("first")).unwrap().next().unwrap().unwrap().file_name();
    let taken = place.path().join("second").join(bag);
    std::fs::create_dir_all(&taken).unwrap();
    std::fs::write(taken.join("bagit.txt"), "mine").unwrap();
    for _ in 0..2 {
        let refused = fetch("second").failure(6);
        assert!(refused.stderr.contains("already exists with different content"), "{}", refused.stderr);
    }
    std::fs::remove_file(taken.join("bagit.txt")).unwrap();
    fetch("second").success();
    assert!(tree(&place.path().join("first")) == tree(&place.path().join("second")));
}
