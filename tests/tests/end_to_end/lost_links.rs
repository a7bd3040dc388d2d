//! Links that lose packets: neither side learns that the other is gone.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use d1oci_tests::{BagBuilder, Link, Lost, Preset, Scripted, binary, payload, skipped};
use registry_conformance::scripted::{Action, Config, Fault, Route, When};

/// Much longer than the limits that the test sets, and shorter than the default limits.
const PATIENCE: Duration = Duration::from_secs(25);

#[test]
fn content_that_vanishes_on_its_way_is_waited_for_as_long_as_is_set() {
    let link = match Link::lay() {
        Ok(link) => link,
        Err(reason) => return skipped(&format!("a lost link: {reason}")),
    };
    let place = tempfile::tempdir().unwrap();
    // The operating system buffers this little content at once, whether it arrives or not.
    BagBuilder::new().file("data/a.csv", payload(1, 8_000)).write(&place.path().join("bag"));
    let hold = Fault::new(Route::UploadStart, When::First(1), Action::Hold);
    let registry = Scripted::start(Config::new(Preset::Strict).with_fault(hold));
    let host = registry.host();
    let settings = format!("[host.\"{host}\"]\nconnect-timeout = 1\nsilence-timeout = 1\nattempts = 2\n");
    std::fs::write(place.path().join("hasty.toml"), settings).unwrap();
    let mut push = link.command(binary());
    push.args(["push", &format!("{host}/a/b:c"), "bag"]).env_clear().current_dir(place.path());
    push.env("HOME", place.path()).env("D1OCI_CONFIG", "hasty.toml").stderr(Stdio::null());
    let mut push = push.spawn().unwrap();
    assert!(within(PATIENCE, || registry.open_uploads() > 0), "no upload is begun");
    link.lose(Lost::Requests).unwrap();
    registry.release();
    let has_ended = within(PATIENCE, || push.try_wait().unwrap().is_some());
    link.restore().unwrap();
    let code = end(push);
    assert!(has_ended, "it still waits");
    assert_eq!(code, Some(5));
}

/// Ends a process, if it has not ended, and returns its exit code.
fn end(mut process: Child) -> Option<i32> {
    // One that has ended cannot be killed.
    let _ = process.kill();
    process.wait().unwrap().code()
}

fn within(patience: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !is_true() {
        if Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
    true
}
