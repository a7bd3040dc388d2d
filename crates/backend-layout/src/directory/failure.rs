//! From an error of the file system to the error of the contract, in one place.

use std::fmt;
use std::io;
use std::path::Path;

use registry_backend::{Error, ErrorKind};

/// Returns the error of an operation that failed at a file.
pub(super) fn failure(
    operation: &'static str,
    target: impl fmt::Display,
    path: &Path,
    error: io::Error,
) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        _ => ErrorKind::Io,
    };
    Error::new(kind, operation, target)
        .because(format!("the file system refused `{}`", path.display()))
        .caused_by(error)
}
