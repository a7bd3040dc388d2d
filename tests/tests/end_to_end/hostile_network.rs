//! A network without lasting connections, and the program that continues.

use std::fs;
use std::process::Command;
use std::time::Duration;

use d1oci_tests::{Scripted, bare_d1oci, payload, peer, run, run_with_input};
use registry_conformance::scripted::{Action, Answer, Auth, BearerAuth, Config, Fault, Preset, User, When};

const MIB: u64 = 1024 * 1024;
const SIZE: u64 = 64 * MIB;
const BYTES_BETWEEN_CUTS: u64 = 4 * MIB;
const PASSWORD: &str = "s3cret";

/// Connections are cut, one request in ten is refused, and no token lasts: a push and a pull end right all the same, and
/// move less than 1.3 times the bytes.
#[test]
fn a_push_and_a_pull_end_right_where_nothing_lasts() {
    let bearer = BearerAuth::new(vec![User::new("curator", PASSWORD)]).with_lifetime(Duration::from_secs(1));
    let refused = Fault::anywhere(When::Every(10), Action::Answer(Answer::html(503)));
    let config = Config::new(Preset::Strict).with_auth(Auth::Bearer(bearer)).with_fault(refused);
    let registry = Scripted::start(config);
    let proxy = registry.behind_cuts(BYTES_BETWEEN_CUTS);
    let place = tempfile::tempdir().unwrap();
    let content = payload(1, usize::try_from(SIZE).unwrap());
    fs::write(place.path().join("large.csv"), &content).unwrap();
    let d1oci = |arguments: &[&str]| {
        let mut command = bare_d1oci(place.path());
        command.env("D1OCI_REGISTRY", proxy.host());
        command.env("D1OCI_USERNAME", "curator").env("D1OCI_PASSWORD", PASSWORD);
        let outcome = run_with_input(command.args(arguments), "").success();
        assert!(proxy.take_cuts() > SIZE / BYTES_BETWEEN_CUTS / 2, "{outcome:?}");
        let passed = proxy.take_passed();
        assert!(passed < SIZE * 13 / 10, "{passed} bytes passed for {SIZE}: {}", outcome.stderr);
    };
    let reference = format!("{}/owner/name:v1", proxy.host());
    d1oci(&["push", &reference, "large.csv", "-v"]);
    d1oci(&["pull", &reference, "-o", "out"]);
    assert!(fs::read(place.path().join("out/large.csv")).unwrap() == content);

    // The result of the other program. It gives up after the first cut, also at full size: 2 GiB, cut every 100 MiB.
    let Some(oras) = peer("oras") else { return };
    let mut oras = Command::new(oras);
    oras.env("HOME", place.path()).current_dir(place.path()).args(["push", "--plain-http", "--no-tty"]);
    oras.args(["-u", "curator", "-p", PASSWORD, &format!("{}/owner/other:v1", proxy.host()), "large.csv"]);
    assert_ne!(run(&mut oras).code, 0, "oras can do it, too");
}
