//! The blobs that one run has stored in a target, and those that it is sending.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use oci_model::Digest;
use tokio::sync::Notify;

/// The blobs that a store has for certain, shared by the copies of one run.
///
/// Copies that run at once share blobs. The first sends a blob, and the others wait until it is there.
#[derive(Debug, Default)]
pub(crate) struct Known {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    stored: HashSet<Digest>,
    sending: HashSet<Digest>,
}

/// How many blobs are remembered at most.
const MOST_KNOWN: usize = 1_000_000;

/// Blobs that one copy sends. Other copies leave them to it until this value is dropped.
pub(crate) struct Claim<'a> {
    known: &'a Known,
    digests: HashSet<Digest>,
}

impl Known {
    /// Claims those of the blobs that no copy has stored and none is sending.
    pub(crate) fn claim<'a>(&self, blobs: impl IntoIterator<Item = &'a Digest>) -> Claim<'_> {
        let mut state = self.state();
        let mut digests = HashSet::new();
        for digest in blobs {
            if !state.stored.contains(digest) && state.sending.insert(digest.clone()) {
                digests.insert(digest.clone());
            }
        }
        Claim { known: self, digests }
    }

    /// Waits until no copy is sending one of these blobs. Returns whether all of them are stored.
    pub(crate) async fn wait(&self, blobs: &[&Digest]) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                if !blobs.iter().any(|digest| state.sending.contains(*digest)) {
                    return blobs.iter().all(|digest| state.stored.contains(*digest));
                }
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// Tells whether this copy sends the blob.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    /// Notes that the blobs are stored.
    pub(crate) fn stored(self) {
        let mut state = self.known.state();
        if state.stored.len() < MOST_KNOWN {
            state.stored.extend(self.digests.iter().cloned());
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.known.state();
        for digest in &self.digests {
            state.sending.remove(digest);
        }
        drop(state);
        self.known.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests() -> [Digest; 2] {
        [Digest::sha256_of(b"a"), Digest::sha256_of(b"b")]
    }

    #[tokio::test]
    async fn a_blob_is_claimed_once_and_others_wait_for_it() {
        let [a, b] = digests();
        let known = Known::default();
        let first = known.claim([&a]);
        let second = known.claim([&a, &b]);
        assert!(first.has(&a) && !second.has(&a) && second.has(&b));
        second.stored();
        let waits = [&a, &b];
        let mut waiting = Box::pin(known.wait(&waits));
        assert!(futures::poll!(&mut waiting).is_pending());
        first.stored();
        assert!(waiting.await);
    }

    #[tokio::test]
    async fn a_failed_copy_leaves_its_blobs_to_others() {
        let [a, _] = digests();
        let known = Known::default();
        drop(known.claim([&a]));
        assert!(!known.wait(&[&a]).await);
        assert!(known.claim([&a]).has(&a));
    }
}
