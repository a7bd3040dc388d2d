//! What happens meanwhile, for those who watch.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use d1_model::Identifier;

use crate::error::Error;

/// Something that happened while a request was going on.
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
        /// How many the node says that there are.
        total: u64,
    },
    /// A request failed, and is made again after a while.
    Waiting {
        /// What failed.
        error: &'a Error,
        /// How long the wait is.
        wait: Duration,
    },
    /// The reading of an object goes on at another node.
    NextLocation {
        /// The object.
        identifier: &'a Identifier,
        /// What failed at the node before.
        error: &'a Error,
        /// The base URL of the node that is asked now.
        node: &'a str,
    },
}

/// Takes note of what happens; it is called from whatever task drives the request, and should return at once.
#[derive(Clone)]
pub struct ProgressSink(Arc<dyn Fn(&Progress<'_>) + Send + Sync>);

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
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ProgressSink")
    }
}
