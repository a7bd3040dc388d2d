//! The blobs that a writer has stored or found young: it need not ask for them again at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oci_model::Digest;
use tokio::time::Instant;

/// How long a blob counts as seen. Nobody prunes a blob that was young, or under a lease, so short a time ago: see
/// [`AGEING`](super::shared::AGEING).
const LIFETIME: Duration = Duration::from_secs(300);

/// The most blobs that are remembered.
const MOST: usize = 100_000;

/// The blobs, with their sizes in bytes and the time at which they were seen.
#[derive(Debug, Default)]
pub(super) struct SeenBlobs(Mutex<HashMap<Digest, (u64, Instant)>>);

impl SeenBlobs {
    /// Remembers a blob.
    pub(super) fn note(&self, digest: &Digest, size: u64) {
        let mut seen = self.lock();
        if seen.len() >= MOST {
            seen.clear();
        }
        seen.insert(digest.clone(), (size, Instant::now()));
    }

    /// Tells whether a blob of this size was seen lately.
    pub(super) fn has(&self, digest: &Digest, size: u64) -> bool {
        self.lock().get(digest).is_some_and(|(known, at)| *known == size && at.elapsed() < LIFETIME)
    }

    /// Forgets all blobs: some of them were removed.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, (u64, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_blob_is_known_for_some_minutes() {
        let (seen, digest) = (SeenBlobs::default(), Digest::sha256_of(b"a"));
        seen.note(&digest, 1);
        assert!(seen.has(&digest, 1) && !seen.has(&digest, 2));
        tokio::time::advance(LIFETIME).await;
        assert!(!seen.has(&digest, 1));
        seen.note(&digest, 1);
        seen.clear();
        assert!(!seen.has(&digest, 1));
    }
}
