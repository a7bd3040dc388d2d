//! Shared parts of the tests: samples, and messages about tests that cannot run.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the folder of DataONE samples, or says that it is not there.
pub(crate) fn samples() -> Option<PathBuf> {
    let folder =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples/dataone")).to_owned();
    if folder.is_dir() {
        return Some(folder);
    }
    skipped("the folder of samples is not there");
    None
}

/// Says that a test cannot be run here.
#[expect(clippy::print_stdout, reason = "a test that cannot be run must say so")]
pub(crate) fn skipped(reason: &str) {
    println!("skipped: {reason}");
}

/// Reads a sample.
pub(crate) fn sample(path: &str) -> Vec<u8> {
    let folder = samples().expect("the caller has asked for the folder");
    fs::read(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
