//! What a request is for, so that every error can say it.

use std::fmt;

use http_transfer::TransferError;
use registry_backend::{Error, ErrorKind, Retry};

/// An operation and its target.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) operation: &'static str,
    pub(crate) target: String,
}

impl Context {
    pub(crate) fn new(operation: &'static str, target: impl fmt::Display) -> Self {
        Self { operation, target: target.to_string() }
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.operation, &self.target)
    }

    /// No answer, or none to its end.
    pub(crate) fn transfer(&self, error: TransferError) -> Error {
        let retry = if error.may_pass() { Retry::Yes } else { Retry::No };
        let failed = self.error(ErrorKind::Unavailable).because(error.reason("registry")).with_retry(retry);
        match error.into_cause() {
            Some(cause) => failed.caused_by(cause),
            None => failed,
        }
    }

    /// An answer that the protocol does not allow.
    pub(crate) fn protocol(&self, reason: impl Into<String>) -> Error {
        self.error(ErrorKind::Protocol).because(reason)
    }
}
