//! The error of a task: a sentence for the person who runs it.

use std::fmt::Display;
use std::io;
use std::path::Path;

/// An error message. It has no kinds, because no caller matches on them.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of a task.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Returns a function that puts the path in front of a system error.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    about(path.display())
}

/// Returns a function that puts the subject in front of a system error.
pub fn about(subject: impl Display) -> impl FnOnce(io::Error) -> Error {
    move |error| format!("{subject}: {error}").into()
}
