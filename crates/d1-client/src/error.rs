//! Errors of requests to nodes.

use std::fmt;
use std::sync::Arc;

use d1_model::ErrorDocument;
pub use http_transfer::Retry;
use http_transfer::{SendError, TransferError};

/// The result of a request to a node.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed request: the kind of failure, the operation, its target, the node, and whether trying again can help.
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
    node: String,
    reason: Option<String>,
    status: Option<u16>,
    document: Option<ErrorDocument>,
    retry: Retry,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of failure. If a node answers with a DataONE exception, the kind follows the exception's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The node does not have the object.
    NotFound,
    /// The object is not public, and the caller showed no token, or one without the right.
    NotAuthorized,
    /// The token is not valid, or has expired.
    InvalidToken,
    /// The node does not understand the request.
    InvalidRequest,
    /// The node does not offer this call.
    NotImplemented,
    /// The node failed.
    ServiceFailure,
    /// The node asks for fewer requests.
    RateLimited,
    /// The node cannot be reached, or does not answer in time.
    Unavailable,
    /// The node sent an answer that the interface does not allow.
    Protocol,
    /// The content is wrong: another size than announced, other bytes than before, another object.
    Content,
    /// The answer is larger than the client accepts.
    TooLarge,
    /// A list ends before it has as many entries as it states.
    Incomplete,
    /// The client's settings are unusable, or the request cannot be written.
    Settings,
}

impl Error {
    /// Makes the error of an operation on a target at a node. Sources that answer as nodes do can fail in the same way.
    ///
    /// ```
    /// use d1_client::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::NotFound, "read", "doi:10.5072/A", "/var/metacat/hashstore");
    /// assert_eq!(error.to_string(), "cannot read doi:10.5072/A at /var/metacat/hashstore: not found");
    /// ```
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        target: impl fmt::Display,
        node: impl fmt::Display,
    ) -> Self {
        let inner = Inner {
            kind,
            operation,
            target: target.to_string(),
            node: node.to_string(),
            reason: None,
            status: None,
            document: None,
            retry: Retry::No,
            source: None,
        };
        Self { inner: Box::new(inner) }
    }

    /// Adds the reason, which the message then states instead of the kind.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.inner.reason = Some(reason.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    pub(crate) fn with_retry(mut self, retry: Retry) -> Self {
        self.inner.retry = retry;
        self
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.inner.kind = kind;
        self
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.inner.status = Some(status);
        self
    }

    pub(crate) fn with_document(mut self, document: Option<ErrorDocument>) -> Self {
        self.inner.document = document;
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns the operation that failed, such as `read object`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.inner.operation
    }

    /// Returns the target of the operation: an identifier, or words for a target without one.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.inner.target
    }

    /// Returns the base URL of the node that was asked.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.inner.node
    }

    /// Returns the HTTP status of the answer, if there was one. A DataONE exception may come with status 200.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.inner.status
    }

    /// Returns the DataONE exception that the node answered with, in a document or in headers.
    #[must_use]
    pub fn document(&self) -> Option<&ErrorDocument> {
        self.inner.document.as_ref()
    }

    /// Returns whether trying again can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.inner.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, target, node, reason, kind, .. } = &*self.inner;
        write!(formatter, "cannot {operation} {target}")?;
        // The target can be the node itself.
        if target != node {
            write!(formatter, " at {node}")?;
        }
        match reason {
            Some(reason) => write!(formatter, ": {reason}"),
            None => write!(formatter, ": {kind}"),
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
            Self::NotAuthorized => "not authorized",
            Self::InvalidToken => "the token is not valid",
            Self::InvalidRequest => "the request is not valid",
            Self::NotImplemented => "the node does not offer this",
            Self::ServiceFailure => "the node failed",
            Self::RateLimited => "the node asks for fewer requests",
            Self::Unavailable => "the node cannot be reached",
            Self::Protocol => "the interface does not allow this answer",
            Self::Content => "the content is wrong",
            Self::TooLarge => "the answer is too large",
            Self::Incomplete => "the list is not complete",
            Self::Settings => "the settings cannot be used",
        })
    }
}

/// The operation, its target, and the node that is asked, for messages.
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

    /// Returns the error for a request without an answer.
    pub(crate) fn send_error(&self, error: SendError) -> Error {
        let reason = error.reason("node", &self.node);
        match error {
            SendError::Transfer { error, .. } => self.transfer(error).because(reason),
            _ => self.protocol(reason),
        }
    }

    /// Returns the error for an answer that broke off.
    pub(crate) fn transfer(&self, error: TransferError) -> Error {
        let kind = match error {
            TransferError::Request(_) => ErrorKind::Settings,
            TransferError::PrivateName { .. } | TransferError::Encoding(_) => ErrorKind::Protocol,
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
