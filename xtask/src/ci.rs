//! `cargo xtask ci`: all checks of a change, the fastest first.

use crate::error::Result;
use crate::{docs, lint, process, test, tidy, workspace};

/// Runs tidy (seconds), lint and docs (minutes) and test (longest). Returns whether all tests passed.
///
/// # Errors
///
/// Fails if a check before the tests finds a fault.
pub fn run() -> Result<bool> {
    tidy::run()?;
    lint::run()?;
    process::run(&mut workspace::cargo(&workspace::BUILD_ALL))?;
    let d1oci = Some(workspace::target("debug").join("d1oci"));
    docs::run(&docs::Arguments { check: true, d1oci })?;
    test::run(&test::Arguments::default())
}
