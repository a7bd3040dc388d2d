//! A push that is killed continues: the second run sends only what the registry lacks.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use d1oci_tests::{Preset, RegistryKind, Session, payload};
use registry_conformance::scripted::{Action, Fault, Route, When};

const MIB: u64 = 1024 * 1024;

/// Large enough for several chunks.
const SIZE: u64 = 80 * MIB;

/// Pushes a large file, kills the push when the registry has received half of it, and pushes again. Returns how many bytes the
/// registry received in the second run.
fn received_after_a_kill(preset: Preset) -> u64 {
    let registry = RegistryKind::Scripted(preset).start(None).unwrap();
    let session = Session::new(&[&registry]);
    fs::write(session.path("large.csv"), payload(7, usize::try_from(SIZE).unwrap())).unwrap();
    let scripted = registry.scripted().unwrap();
    // Each chunk takes its time, so that the kill comes in between.
    scripted.add_fault(Fault::new(
        Route::UploadPatch,
        When::Always,
        Action::Delay(Duration::from_millis(200)),
    ));
    let mut push = session.command("push HOST/a/b:v1 large.csv");
    let mut push = push.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while scripted.received() < SIZE / 2 + MIB {
        assert!(Instant::now() < end, "only {} bytes arrive", scripted.received());
        std::thread::sleep(Duration::from_millis(2));
    }
    push.kill().unwrap();
    push.wait().unwrap();
    scripted.forget_faults();
    // Whatever the connection held has arrived.
    std::thread::sleep(Duration::from_millis(500));
    let before = scripted.received();
    let pushed = session.line("d1oci push HOST/a/b:v1 large.csv --format json").success();
    let received = scripted.received() - before;
    let reported = pushed.json()["sentBytes"].as_u64().unwrap();
    assert!(reported <= received, "{reported} bytes reported, {received} received");
    session.line("d1oci pull HOST/a/b:v1 -o got").success();
    assert_eq!(
        fs::read(session.path("got/large.csv")).unwrap(),
        fs::read(session.path("large.csv")).unwrap()
    );
    // The directory exists only where sessions are remembered.
    let left = fs::read_dir(session.path(".local/state/d1oci/uploads")).into_iter().flatten().count();
    assert_eq!(left, 0, "a finished session is remembered");
    received
}

#[test]
fn a_killed_push_sends_the_rest() {
    let received = received_after_a_kill(Preset::Strict);
    assert!(received * 10 <= SIZE * 6, "{received} of {SIZE} bytes are sent again");
}

#[test]
fn a_killed_push_starts_over_where_the_registry_keeps_nothing() {
    let received = received_after_a_kill(Preset::Quay);
    assert!(received >= SIZE, "{received}");
}
