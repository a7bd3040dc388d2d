//! A short slice of `cargo xtask torture`, the same each time.

use d1oci_tests::{skipped, torture};

const SEED: u64 = 20;
const ROUNDS: u64 = 20;

#[test]
fn whatever_goes_wrong_nothing_is_lost_and_the_next_run_completes() {
    let mut without_disk = None;
    let held = torture::run(SEED, 0..ROUNDS, |report| {
        if let Some(reason) = &report.skipped {
            without_disk = Some(reason.clone());
        }
    });
    if let Some(reason) = without_disk {
        skipped(&format!("full disks: {reason}"));
    }
    if let Err(message) = held {
        panic!("{message}");
    }
}
