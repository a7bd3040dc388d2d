//! The faults of a backend as data.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use registry_backend::{Error, ErrorKind, Retry};

use crate::Operation;

/// Something that goes wrong with the calls of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    operation: Operation,
    when: When,
    action: FaultAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Call(u32),
    Always,
}

/// The effect of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultAction {
    /// The call fails with an error of this kind and does nothing.
    Fail(ErrorKind),
    /// The call does what it should, and then fails with an error of this kind.
    FailAfterwards(ErrorKind),
    /// The stream of bytes ends in an error after this many bytes.
    CutStream(u64),
    /// The stream of bytes ends after this many bytes, without an error.
    EndStream(u64),
    /// The byte at this place in the stream comes with its lowest bit changed.
    FlipByte(u64),
}

impl Fault {
    /// Returns a fault of one call of an operation; the first call has the number 1.
    pub fn nth(operation: Operation, number: u32, action: FaultAction) -> Self {
        Self::new(operation, When::Call(number), action)
    }

    /// Returns a fault of every call of an operation.
    pub fn always(operation: Operation, action: FaultAction) -> Self {
        Self::new(operation, When::Always, action)
    }

    /// # Panics
    ///
    /// If the action is about a stream of bytes that the operation does not have: the fault would never show.
    fn new(operation: Operation, when: When, action: FaultAction) -> Self {
        let on_bytes = !matches!(action, FaultAction::Fail(_) | FaultAction::FailAfterwards(_));
        assert!(!on_bytes || operation.moves_bytes(), "to {operation} moves no bytes that could be changed");
        Self { operation, when, action }
    }
}

/// The faults of a backend, and how often each operation was called.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) faults: Vec<Fault>,
    calls: Mutex<HashMap<Operation, u32>>,
}

impl Script {
    /// Counts a call and returns what goes wrong with it.
    pub(crate) fn next(&self, operation: Operation) -> Option<FaultAction> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let number = calls.entry(operation).or_default();
        *number += 1;
        let applies = |fault: &&Fault| match fault.when {
            When::Always => fault.operation == operation,
            When::Call(wanted) => fault.operation == operation && wanted == *number,
        };
        self.faults.iter().find(applies).map(|fault| fault.action)
    }
}

/// The error of a fault.
pub(crate) fn planned(kind: ErrorKind, operation: &'static str, target: impl fmt::Display) -> Error {
    let retry = match kind {
        ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Conflict => Retry::Yes,
        _ => Retry::No,
    };
    Error::new(kind, operation, target).with_retry(retry).because("the test wants it to fail")
}
