//! Shared parts of the tests: samples, and messages about tests that cannot run.

pub(crate) mod schema;
pub(crate) mod strategies;

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the folder of DataONE samples, or prints that it does not exist.
pub(crate) fn samples() -> Option<PathBuf> {
    let folder =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples/dataone")).to_owned();
    if folder.is_dir() {
        return Some(folder);
    }
    skipped("the folder of samples is not there");
    None
}

/// Prints that a test cannot run here.
#[expect(clippy::print_stdout, reason = "a test that cannot be run must say so")]
pub(crate) fn skipped(reason: &str) {
    println!("skipped: {reason}");
}

/// Reads a sample.
pub(crate) fn sample(path: &str) -> Vec<u8> {
    let folder = samples().expect("the caller has asked for the folder");
    fs::read(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
