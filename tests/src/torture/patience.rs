//! Waits for a command that may never end.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::trouble::Stop;
use crate::Outcome;

/// How long a command may take to stop after a signal.
const LONGEST_STOP: Duration = Duration::from_secs(30);

/// Runs a command for so long, and then sends it the signal. Returns `None` if a signal ended it: a command that has just started does not
/// handle signals yet.
pub(super) fn run_for(command: &mut Command, patience: Duration, signal: Stop) -> Option<Outcome> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = |name| File::create(folder.path().join(name)).expect("a file can be made");
    command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
    let mut child = command.spawn().expect("the binary starts");
    let (mut signal, mut has_signal) = (signal, false);
    let mut end = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() && signal != Stop::Kill {
            let number = if signal == Stop::Interrupt { Signal::INT } else { Signal::TERM };
            kill_process(Pid::from_child(&child), number).expect("it is not waited for yet");
            // A command that does not stop is killed.
            (signal, end) = (Stop::Kill, Instant::now() + LONGEST_STOP);
            has_signal = true;
            continue;
        }
        if left.is_zero() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
            if has_signal {
                let stderr = "it did not stop after a signal".to_owned();
                return Some(Outcome { code: -1, stdout: Vec::new(), stderr });
            }
            return None;
        }
        sleep(left.min(Duration::from_millis(2)));
    };
    let code = status.code()?;
    let read = |name| fs::read(folder.path().join(name)).expect("what was written can be read");
    let stderr = String::from_utf8_lossy(&read("err")).into_owned();
    Some(Outcome { code, stdout: read("out"), stderr })
}
