//! Leases: objects with which a push that takes long keeps its blobs from being pruned.
//!
//! A lease is an empty object `ingest/lease-SINCE-…`. As long as its writer lives, it stores the object again every ten minutes. Pruning
//! keeps every blob that is younger than the oldest `SINCE` (seconds since 1970) of the leases that were stored within the grace period.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt, PutPayload};
use registry_backend::Result;
use tokio::sync::oneshot;

use super::failure::failure;
use super::shared::{AGEING, INGEST, Shared};

/// The time between two renewals of a lease. Shorter pushes need none.
const RENEWAL: Duration = Duration::from_secs(600);

const PREFIX: &str = "lease-";

/// The beginning of the names of objects with which a writer tries the store.
pub(super) const PROBE: &str = "probe-";

/// A lease on all blobs that the writer stores or relies on.
#[derive(Debug)]
pub(super) struct Lease {
    /// By the store's clock.
    since: SystemTime,
    shared: Arc<Shared>,
    /// Whether the last renewal succeeded.
    is_held: Arc<AtomicBool>,
    /// Ends the renewals when it is dropped.
    _end: oneshot::Sender<()>,
}

impl Lease {
    /// Starts a lease. The store learns of it only if the writer still lives at the first renewal.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let since = shared.now().checked_sub(AGEING).unwrap_or(SystemTime::UNIX_EPOCH);
        let seconds = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let path = shared.unique_path(&format!("{PREFIX}{seconds}"));
        let is_held = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel();
        tokio::spawn(renew(Arc::clone(&shared), path, Arc::clone(&is_held), ended));
        Self { since, shared, is_held, _end: end }
    }

    /// Tells whether a blob that was stored at this time stays as long as the writer lives.
    pub(super) fn covers(&self, stored: SystemTime) -> bool {
        let is_young = self.shared.now().duration_since(stored).map_or(true, |age| age <= AGEING);
        is_young || (self.is_held.load(Ordering::Relaxed) && stored >= self.since)
    }
}

async fn renew(shared: Arc<Shared>, path: Path, is_held: Arc<AtomicBool>, mut ended: oneshot::Receiver<()>) {
    loop {
        let is_over = tokio::time::timeout(RENEWAL, &mut ended).await.is_ok();
        if is_over {
            if is_held.load(Ordering::Relaxed) {
                // An object that stays expires by its age.
                let _ = shared.store.delete(&path).await;
            }
            return;
        }
        let stored = shared.store.put(&path, PutPayload::new()).await;
        if let Err(error) = &stored {
            tracing::warn!(%error, "cannot renew the lease of a push in {}", shared.name);
        }
        is_held.store(stored.is_ok(), Ordering::Relaxed);
    }
}

/// Returns the start of the oldest lease that was renewed after `before`.
pub(super) async fn earliest(shared: &Shared, before: SystemTime) -> Result<Option<SystemTime>> {
    let leases = list(shared, &[PREFIX]).await?;
    Ok(leases.iter().filter(|lease| SystemTime::from(lease.last_modified) > before).filter_map(since).min())
}

/// Removes leases and probes that were last stored at `before` or earlier, or only counts them.
pub(super) async fn remove_expired(shared: &Shared, before: SystemTime, only_count: bool) -> Result<u64> {
    let mut count = 0;
    for found in list(shared, &[PREFIX, PROBE]).await? {
        if SystemTime::from(found.last_modified) > before {
            continue;
        }
        count += 1;
        if !only_count {
            match shared.store.delete(&found.location).await {
                // Its writer was faster.
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(failure("remove", &found.location, error)),
            }
        }
    }
    Ok(count)
}

async fn list(shared: &Shared, prefixes: &'static [&'static str]) -> Result<Vec<ObjectMeta>> {
    let ingest = shared.path(INGEST);
    let found = shared.store.list(Some(&ingest)).try_filter(|meta| {
        let name = meta.location.filename().unwrap_or_default();
        std::future::ready(prefixes.iter().any(|prefix| name.starts_with(prefix)))
    });
    found.try_collect().await.map_err(|error| failure("list the leases of", &shared.name, error))
}

fn since(lease: &ObjectMeta) -> Option<SystemTime> {
    let (seconds, _) = lease.location.filename()?.strip_prefix(PREFIX)?.split_once('-')?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))
}
