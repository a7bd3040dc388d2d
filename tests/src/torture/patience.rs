//! Waits for a command that may never end.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Runs a command for so long; `None` if it had to be killed.
pub(super) fn run_for(command: &mut Command, patience: Duration) -> Option<Outcome> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = |name| File::create(folder.path().join(name)).expect("a file can be made");
    command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
    let mut child = command.spawn().expect("the binary starts");
    let end = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
            return None;
        }
        sleep(left.min(Duration::from_millis(2)));
    };
    let read = |name| fs::read(folder.path().join(name)).expect("what was written can be read");
    let stderr = String::from_utf8_lossy(&read("err")).into_owned();
    Some(Outcome { code: status.code().unwrap_or(-1), stdout: read("out"), stderr })
}
