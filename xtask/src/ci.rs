//! `cargo xtask ci`: everything that must be right before a change goes in, what fails fastest first.

use crate::error::Result;
use crate::{docs, lint, test, tidy};

/// Runs tidy (seconds), lint and docs (minutes) and test (longest); tells whether all tests passed.
///
/// # Errors
///
/// Fails at the first that finds a fault before the tests.
pub fn run() -> Result<bool> {
    tidy::run()?;
    lint::run()?;
    docs::run(&docs::Arguments { check: true })?;
    test::run(&test::Arguments::default())
}
