//! Options of a client, and the events that it reports.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use d1_model::Identifier;
use http_transfer::{BudgetRules, Proxies, RetryRules, Secret};

use crate::error::Error;

/// Says how to talk to nodes.
///
/// ```
/// use d1_client::{ClientOptions, NodeClient};
///
/// let mut options = ClientOptions::default();
/// options.budget.requests_per_second = 5.0;
/// let node = NodeClient::new("https://cn.dataone.org/cn", &options)?;
/// # let _ = node;
/// # Ok::<(), d1_client::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// A bearer token of the DataONE portal (a signed JSON web token). Whitespace around it is dropped. Only the node of
    /// the client's base URL sees it, and only over TLS or on this machine.
    pub token: Option<Secret>,
    /// The version of the interface. Without it, the client asks the node once.
    pub version: Option<ApiVersion>,
    /// The time limits.
    pub times: TimeLimits,
    /// How often to try again, and when.
    pub retry: RetryRules,
    /// How much one node is asked at once. Objects that are being read do not count as requests in flight: their number
    /// is the caller's decision.
    pub budget: BudgetRules,
    /// How much is taken from a node.
    pub limits: Limits,
    /// Certificates of further trusted authorities in PEM, beside those of the system.
    pub extra_authorities: Vec<Vec<u8>>,
    /// The proxies to use; the environment is not read.
    pub proxies: Proxies,
    /// Takes note of what happens.
    pub progress: ProgressSink,
}

/// Names a version of the DataONE interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiVersion {
    /// Version 1, without series identifiers.
    V1,
    /// Version 2.
    V2,
}

/// Limits times. A transfer as a whole has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the beginning of an answer.
    pub answer: Duration,
    /// For the beginning of an answer for which the node reads a whole object, as `getChecksum` does.
    pub computation: Duration,
    /// For the next bytes of an answer.
    pub silence: Duration,
}

/// Limits how much is taken from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest object in bytes if neither caller nor node states its size.
    pub unsized_object: u64,
    /// The most entries of one list.
    pub listed_objects: u64,
    /// The most locations of one object that are tried.
    pub locations: usize,
}

/// An event during a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Bytes of an object came, and are handed on.
    Received {
        /// The object.
        identifier: &'a Identifier,
        /// How many bytes came now.
        bytes: u64,
    },
    /// Some entries of a list came.
    Listed {
        /// How many entries came so far.
        entries: u64,
        /// How many the node states.
        total: u64,
    },
    /// A request failed, and is repeated after a wait.
    Waiting {
        /// The failure.
        error: &'a Error,
        /// The length of the wait.
        wait: Duration,
        /// Whether the node asked for the wait.
        is_stated: bool,
    },
    /// The reading of an object goes on at another node.
    NextLocation {
        /// The object.
        identifier: &'a Identifier,
        /// The failure of the node before.
        error: &'a Error,
        /// The base URL of the node that is asked now.
        node: &'a str,
    },
}

/// Takes note of events. It is called from the task that drives the request, and should return at once.
#[derive(Clone)]
pub struct ProgressSink(Arc<dyn Fn(&Progress<'_>) + Send + Sync>);

impl ApiVersion {
    /// Returns the version as it stands in URLs: `v1` or `v2`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl ProgressSink {
    /// Makes a sink of a function.
    pub fn new(note: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(note))
    }

    pub(crate) fn note(&self, progress: &Progress<'_>) {
        (self.0)(progress);
    }
}

impl Default for ProgressSink {
    /// Returns a sink that ignores all events.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ProgressSink")
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("d1-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            token: None,
            version: None,
            times: TimeLimits::default(),
            retry: RetryRules::default(),
            budget: BudgetRules::default(),
            limits: Limits::default(),
            extra_authorities: Vec::new(),
            proxies: Proxies::default(),
            progress: ProgressSink::default(),
        }
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            // Metacat takes minutes for some lists.
            answer: Duration::from_secs(180),
            computation: Duration::from_secs(3600),
            silence: Duration::from_secs(60),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { unsized_object: 1 << 40, listed_objects: 20_000_000, locations: 64 }
    }
}
