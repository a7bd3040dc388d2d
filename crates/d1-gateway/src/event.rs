//! Events of a gateway, for logs. A gateway prints nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// Receives the events of a gateway.
pub trait Observer: Send + Sync {
    /// Receives one event. It is called from the threads that serve, so it must be quick.
    fn event(&self, event: &Event<'_>);
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request ended.
    Access(&'a Access<'a>),
    /// The catalogue was brought up to date.
    Refreshed {
        /// The number of objects that it has now.
        objects: u64,
        /// How long that took.
        elapsed: Duration,
    },
    /// Something failed while the gateway goes on. The text may name stores and paths: it is for the operator.
    Warning(&'a str),
}

/// One request, for an access log. Texts from the client are as it sent them: escape them before you print them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Access<'a> {
    /// The client, or the address that a trusted proxy states.
    pub client: IpAddr,
    /// The method.
    pub method: &'a str,
    /// The path and the query.
    pub target: &'a str,
    /// The status.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// Milliseconds from the request to the end of the answer.
    pub milliseconds: u64,
    /// Whether the body ended early: the client went away, or the content was wrong.
    pub cut: bool,
    /// The header `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<&'a str>,
}

/// An observer of nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: &Event<'_>) {}
}

/// Passes the warnings of the catalogue on.
struct Warnings(Arc<dyn Observer>);

impl d1_transfer::Observer for Warnings {
    fn event(&self, event: &d1_transfer::Event<'_>) {
        if let d1_transfer::Event::Warning(text) = event {
            self.0.event(&Event::Warning(text));
        }
    }
}

/// Returns an observer of transfers that passes warnings on.
pub(crate) fn as_transfer_observer(observer: &Arc<dyn Observer>) -> Arc<dyn d1_transfer::Observer> {
    Arc::new(Warnings(Arc::clone(observer)))
}
