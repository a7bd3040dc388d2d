//! Why a check failed.

use std::error::Error as _;
use std::fmt;

/// Why a check failed, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Returns a failure for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<registry_backend::Error> for Failure {
    /// An operation that should have succeeded did not.
    fn from(error: registry_backend::Error) -> Self {
        let mut text = format!("unexpected error of kind {:?}: {error}", error.kind());
        let mut source = error.source();
        while let Some(cause) = source {
            text += &format!("; caused by: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Fails the check unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure::new(format!($($message)+)));
        }
    };
}

/// Fails the check unless both are equal.
macro_rules! ensure_equal {
    ($actual:expr, $expected:expr, $what:literal) => {
        match (&$actual, &$expected) {
            (actual, expected) => $crate::conformance::failure::ensure!(
                actual == expected,
                "{}: {actual:?}, not {expected:?}",
                $what
            ),
        }
    };
}

pub(super) use {ensure, ensure_equal};
