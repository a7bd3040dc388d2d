//! `cargo xtask ci`: everything that must be right before a change goes in, what fails fastest first.

use crate::error::Result;
use crate::{lint, test, tidy};

/// Runs tidy (seconds), lint (minutes) and test (longest).
///
/// # Errors
///
/// Fails at the first of them that fails.
pub fn run() -> Result<()> {
    tidy::run()?;
    lint::run()?;
    test::run(&test::Arguments::default())
}
