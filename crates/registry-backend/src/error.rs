//! The error of all backends.

use std::fmt;
use std::time::Duration;

/// The result of an operation on a backend.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation: the kind of failure, the operation, its target, and whether trying again can help.
///
/// ```
/// use registry_backend::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::NotFound, "read manifest", "v1");
/// assert_eq!(error.to_string(), "cannot read manifest v1: not found");
/// ```
#[derive(Debug)]
pub struct Error {
    // One pointer, so that results stay small.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    target: String,
    reason: Option<String>,
    retry: Retry,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kind of a failure, for callers to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The target does not exist.
    NotFound,
    /// The caller lacks the right, or is not known.
    Denied,
    /// Content is wrong: a digest, a size, the form of a manifest.
    Invalid,
    /// A manifest refers to missing content.
    Incomplete,
    /// Content is larger than the store accepts.
    TooLarge,
    /// The store does not have this operation.
    Unsupported,
    /// Another writer was faster, or holds a lock.
    Conflict,
    /// The store asks for fewer requests.
    RateLimited,
    /// The store is out of reach, or does not answer in time.
    Unavailable,
    /// The store breaks its protocol.
    Protocol,
    /// A local file cannot be read or written.
    Io,
}

/// Whether the same operation may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It will fail again.
    No,
    /// It may succeed.
    Yes,
    /// It may succeed after this time, which the store has stated.
    After(Duration),
}

impl Error {
    /// Returns an error that trying again does not fix.
    pub fn new(kind: ErrorKind, operation: &'static str, target: impl fmt::Display) -> Self {
        let inner = Inner {
            kind,
            operation,
            target: target.to_string(),
            reason: None,
            retry: Retry::No,
            source: None,
        };
        Self { inner: Box::new(inner) }
    }

    /// Returns the error with a reason in words.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.inner.reason = Some(reason.into());
        self
    }

    /// Returns the error with the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Returns the error with the chance of trying again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.inner.retry = retry;
        self
    }

    /// Returns an [`Io`](ErrorKind::Io) error for a file operation.
    pub fn io(operation: &'static str, target: impl fmt::Display, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, operation, target).caused_by(source)
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns the operation that failed, such as `read blob`.
    pub fn operation(&self) -> &'static str {
        self.inner.operation
    }

    /// Returns the target of the operation: a digest, a tag, a path.
    pub fn target(&self) -> &str {
        &self.inner.target
    }

    /// Returns whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.inner.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, target, reason, kind, .. } = &*self.inner;
        write!(formatter, "cannot {operation} {target}: ")?;
        match reason {
            Some(reason) => formatter.write_str(reason),
            None => write!(formatter, "{kind}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotFound => "not found",
            Self::Denied => "access denied",
            Self::Invalid => "the content is not valid",
            Self::Incomplete => "it refers to missing content",
            Self::TooLarge => "it is too large for the store",
            Self::Unsupported => "the store does not support it",
            Self::Conflict => "another writer is at work",
            Self::RateLimited => "the store asks for fewer requests",
            Self::Unavailable => "the store cannot be reached",
            Self::Protocol => "the answer of the store breaks its protocol",
            Self::Io => "a file operation failed",
        })
    }
}
