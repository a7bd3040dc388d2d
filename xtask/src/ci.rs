//! `cargo xtask ci`: all checks of a change, the fastest first.

use crate::error::Result;
use crate::{docs, lint, test, tidy};

/// Runs tidy (seconds), lint and docs (minutes) and test (longest). Returns whether all tests passed.
///
/// # Errors
///
/// Fails if a check before the tests finds a fault.
pub fn run() -> Result<bool> {
    tidy::run()?;
    lint::run()?;
    docs::run(&docs::Arguments { check: true })?;
    test::run(&test::Arguments::default())
}
