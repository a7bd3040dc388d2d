//! What is being done, for messages.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

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

    pub(crate) fn protocol(&self, reason: impl Into<String>) -> Error {
        self.error(ErrorKind::Protocol).because(reason)
    }

    pub(crate) fn content(&self, reason: impl Into<String>) -> Error {
        self.error(ErrorKind::Content).because(reason)
    }
}
