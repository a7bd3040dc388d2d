//! What is being done, for messages.

use std::fmt;
use std::sync::Arc;

use http_transfer::TransferError;

use crate::error::{Error, ErrorKind, Retry};

/// The operation, what it is about, and the node that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    operation: &'static str,
    target: Arc<str>,
    node: Arc<str>,
}

impl Context {
    pub(crate) fn new(operation: &'static str, target: impl fmt::Display, node: Arc<str>) -> Self {
        Self { operation, target: target.to_string().into(), node }
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.operation, &self.target, &self.node)
    }

    /// No answer, or none to its end.
    pub(crate) fn transfer(&self, error: TransferError) -> Error {
        let kind = match error {
            TransferError::Request(_) => ErrorKind::Settings,
            _ => ErrorKind::Unavailable,
        };
        let retry = if error.may_pass() { Retry::Yes } else { Retry::No };
        let failed = self.error(kind).because(error.reason("node")).with_retry(retry);
        match error.into_cause() {
            Some(cause) => failed.caused_by(cause),
            None => failed,
        }
    }

    pub(crate) fn protocol(&self, reason: impl Into<String>) -> Error {
        self.error(ErrorKind::Protocol).because(reason)
    }

    pub(crate) fn content(&self, reason: impl Into<String>) -> Error {
        self.error(ErrorKind::Content).because(reason)
    }
}
