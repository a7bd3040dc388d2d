//! Manifests on their way into the index: those that come while it is replaced go into the next replacement together.
//!
//! A replacement costs as much as the index is large. One for each manifest would make a layout that grows by many at once slow.

use std::sync::{Arc, Mutex, PoisonError};

use oci_model::{Digest, Manifest, ManifestRef, RawManifest, Tag};
use registry_backend::Result;
use tokio::sync::oneshot;

use crate::storage::Presence;

/// A manifest that is to be listed.
#[derive(Debug)]
pub(crate) struct Addition {
    pub(crate) tag: Option<Tag>,
    pub(crate) raw: RawManifest,
    pub(crate) manifest: Manifest,
    /// The blobs and manifests that have to be there, the manifest's own blob among them.
    pub(crate) needs: Vec<(Digest, u64)>,
}

/// An addition and those who wait for it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) addition: Arc<Addition>,
    /// What is there of what it needs, once that was looked at.
    pub(crate) presence: Option<Vec<Presence>>,
    done: oneshot::Sender<Result<()>>,
}

/// The additions that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

impl Addition {
    pub(crate) fn new(tag: Option<Tag>, raw: RawManifest, manifest: Manifest) -> Self {
        let own = (raw.digest().clone(), raw.bytes().len() as u64);
        let blobs = manifest.blobs();
        let needed = blobs.into_iter().chain(manifest.children());
        let needs = needed.map(|needed| (needed.digest.clone(), needed.size));
        let needs = std::iter::once(own).chain(needs).collect();
        Self { tag, raw, manifest, needs }
    }

    /// Returns the name that it gets.
    pub(crate) fn target(&self) -> ManifestRef {
        match &self.tag {
            Some(tag) => ManifestRef::Tag(tag.clone()),
            None => ManifestRef::Digest(self.raw.digest().clone()),
        }
    }
}

impl Waiting {
    pub(crate) fn answer(self, result: Result<()>) {
        // Nobody waits any more if the one who asked has given up.
        let _ = self.done.send(result);
    }
}

impl Queue {
    /// Waits until the addition was handled, by this caller or another one whose turn came before. `handle` answers what it is given;
    /// what it gives back is handled next.
    pub(crate) async fn pass<H: Future<Output = Result<Vec<Waiting>>>>(
        &self,
        addition: Addition,
        handle: impl Fn(Vec<Waiting>) -> H,
    ) -> Result<()> {
        let addition = Arc::new(addition);
        let mut answer = self.enter(&addition);
        let _turn = self.turn.lock().await;
        loop {
            match answer.try_recv() {
                Ok(result) => return result,
                Err(oneshot::error::TryRecvError::Empty) => {}
                // Whoever had it gave up, or failed by what may concern it alone.
                Err(oneshot::error::TryRecvError::Closed) => answer = self.enter(&addition),
            }
            let left = handle(self.take()).await?;
            self.lock().splice(0..0, left);
        }
    }

    fn enter(&self, addition: &Arc<Addition>) -> oneshot::Receiver<Result<()>> {
        let (done, answer) = oneshot::channel();
        self.lock().push(Waiting { addition: Arc::clone(addition), presence: None, done });
        answer
    }

    /// Takes all that somebody still waits for.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = std::mem::take(&mut *self.lock());
        waiting.retain(|waiting| !waiting.done.is_closed());
        waiting
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
