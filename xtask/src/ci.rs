//! `cargo xtask ci`: everything that must be right before a change goes in, what fails fastest first.

use crate::error::Result;
use crate::{lint, test, tidy};

/// Runs tidy (seconds), lint (minutes) and test (longest); tells whether all tests passed.
///
/// # Errors
///
/// Fails at the first that finds a fault before the tests.
pub fn run() -> Result<bool> {
    tidy::run()?;
    lint::run()?;
    test::run(&test::Arguments::default())
}
