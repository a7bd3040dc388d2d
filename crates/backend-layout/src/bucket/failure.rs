//! From an error of the object store to the error of the contract, in one place.

use std::fmt;

use object_store::Error as StoreError;
use registry_backend::{Error, ErrorKind, Retry};

/// Returns the error of an operation that failed in the store.
pub(super) fn failure(operation: &'static str, target: impl fmt::Display, error: StoreError) -> Error {
    let (kind, retry) = match &error {
        StoreError::NotFound { .. } => (ErrorKind::NotFound, Retry::No),
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
            (ErrorKind::Conflict, Retry::Yes)
        }
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (ErrorKind::Unsupported, Retry::No)
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            (ErrorKind::Denied, Retry::No)
        }
        StoreError::InvalidPath { .. } | StoreError::UnknownConfigurationKey { .. } => {
            (ErrorKind::Invalid, Retry::No)
        }
        _ => (ErrorKind::Unavailable, Retry::Yes),
    };
    Error::new(kind, operation, target).with_retry(retry).caused_by(error)
}
