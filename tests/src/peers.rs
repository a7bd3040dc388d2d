//! The peer programs of the interop tests, and third-party documents.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::{run, workspace};

/// Returns the path of a peer program, from `target/peers/bin` or the `PATH`, or reports that the test is skipped.
pub fn peer(name: &str) -> Option<PathBuf> {
    let own = workspace().join("target/peers/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(own)
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file());
    if found.is_none() {
        skipped(&format!("{name} is not installed (`cargo xtask peers` installs it)"));
    }
    found
}

/// Returns the folder of third-party sample documents, or reports that the test is skipped.
pub fn samples() -> Option<PathBuf> {
    let folder = workspace().join("../shared/samples");
    if !folder.is_dir() {
        skipped("../shared/samples does not exist");
        return None;
    }
    Some(folder)
}

/// Reports that a test is skipped. `cargo xtask test` counts these lines.
#[expect(clippy::print_stderr, reason = "the line is for the person who runs the tests")]
pub fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// Reports a figure that a test found.
#[expect(clippy::print_stderr, reason = "the line is for the person who runs the test with `--nocapture`")]
pub fn measured(figure: &str) {
    eprintln!("measured: {figure}");
}

/// Returns whether the reference implementation accepts a bag. If it is not installed, reports that and returns true.
pub fn bagit_py_accepts(bag: &Path) -> bool {
    let Some(program) = peer("bagit.py") else { return true };
    run(Command::new(program).args(["--validate", "--quiet"]).arg(bag)).code == 0
}
