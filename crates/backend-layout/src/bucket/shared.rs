//! The object store with the place of the layout, its clock, and its errors.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore};
use oci_model::Digest;
use registry_backend::{Error, ErrorKind, Retry};
use tokio::time::Instant;

/// The age from which an unreferenced blob may disappear before a push that relies on it ends.
///
/// By default pruning keeps content younger than an hour. A push stores a blob again that is older than half of that and that the
/// index does not reach, and refuses to publish a manifest that needs such a blob.
pub(super) const AGEING: Duration = Duration::from_secs(1800);

/// How many requests of one operation are under way at once.
pub(super) const PARALLEL: usize = 16;

/// The directory of objects that are not part of the layout.
pub(super) const INGEST: &str = "ingest";

/// An object store with the place of the layout.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// The name of the place for people.
    pub(super) name: String,
}

impl Shared {
    pub(super) fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    pub(super) fn blob(&self, digest: &Digest) -> Path {
        self.path("blobs").join(digest.algorithm_name()).join(digest.encoded())
    }

    /// Returns a path in `ingest/` that no other process uses.
    pub(super) fn unique_path(&self, stem: &str) -> Path {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.path(INGEST).join(format!("{stem}-{:x}-{}", now.as_nanos(), std::process::id()))
    }
}

/// The store's clock, which dates its objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The time of the store at `read_at`.
    time: SystemTime,
    read_at: Instant,
}

impl Clock {
    /// Returns a clock that showed this time at this instant.
    pub(super) fn new(time: SystemTime, read_at: Instant) -> Self {
        Self { time, read_at }
    }

    /// Returns the time by the store's clock.
    pub(super) fn now(self) -> SystemTime {
        self.time.checked_add(self.read_at.elapsed()).unwrap_or(self.time)
    }
}

/// Returns the error of an operation that failed in the store.
pub(super) fn failure(operation: &'static str, target: impl fmt::Display, error: StoreError) -> Error {
    let (kind, retry) = match &error {
        StoreError::NotFound { .. } => (ErrorKind::NotFound, Retry::No),
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
            (ErrorKind::Conflict, Retry::Yes)
        }
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (ErrorKind::Unsupported, Retry::No)
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            (ErrorKind::Denied, Retry::No)
        }
        StoreError::InvalidPath { .. } | StoreError::UnknownConfigurationKey { .. } => {
            (ErrorKind::Invalid, Retry::No)
        }
        _ => (ErrorKind::Unavailable, Retry::Yes),
    };
    Error::new(kind, operation, target).with_retry(retry).caused_by(error)
}
