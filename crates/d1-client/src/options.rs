//! How the caller wants to talk to nodes.

use std::time::Duration;

use http_transfer::{Proxies, RetryRules, Secret};

use crate::client::ApiVersion;
use crate::progress::ProgressSink;

/// How to talk to nodes.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// A bearer token of the DataONE portal (a signed JSON web token), which proves who asks; whitespace around it, as
    /// files and copying leave it, is dropped. It is shown to the node of the client's base URL only, and only over TLS
    /// or on this machine.
    pub token: Option<Secret>,
    /// The version of the interface; without it, the node is asked once which one it has.
    pub version: Option<ApiVersion>,
    /// How long to wait for what.
    pub times: TimeLimits,
    /// How often to try again, and when.
    pub retry: RetryRules,
    /// How much is asked of one node at once.
    pub budget: BudgetRules,
    /// How much is taken.
    pub limits: Limits,
    /// Certificates in PEM of further authorities to trust, beside those of the system.
    pub extra_authorities: Vec<Vec<u8>>,
    /// The proxies to use; none are looked up.
    pub proxies: Proxies,
    /// Who takes note of what happens.
    pub progress: ProgressSink,
}

/// How long to wait for what. There is no limit on a transfer as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the beginning of an answer.
    pub answer: Duration,
    /// For the beginning of an answer for which the node reads an object from end to end, which `getChecksum` does.
    pub computation: Duration,
    /// For the next bytes of an answer.
    pub silence: Duration,
}

/// How much is asked of one node at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetRules {
    /// Requests per second in the long run.
    pub requests_per_second: f64,
    /// Requests that may come at once before the rate counts.
    pub burst: u32,
    /// Requests that wait for their answers at the same time. Objects that are being read do not count: how many are
    /// read at once is the caller's decision.
    pub parallel_requests: usize,
}

/// How much is taken from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest object of which neither caller nor node say the size, in bytes.
    pub unsized_object: u64,
    /// The most entries of one list.
    pub listed_objects: u64,
    /// The most locations of one object that are tried.
    pub locations: usize,
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

impl Default for BudgetRules {
    fn default() -> Self {
        Self { requests_per_second: 50.0, burst: 50, parallel_requests: 8 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { unsized_object: 1 << 40, listed_objects: 20_000_000, locations: 64 }
    }
}
