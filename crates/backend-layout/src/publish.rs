//! Storing a manifest: its blob first, then its entry in the index.
//!
//! A replacement of the index costs as much as the index is large. Manifests that arrive while one is under way share the next one.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Digest, Manifest, ManifestRef, RawManifest, Tag};
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};
use tokio::sync::oneshot;

use crate::index::{Added, Additions, Index};
use crate::manifests::Manifests;
use crate::reachable::Reachable;
use crate::storage::{Attempts, Commit, Presence};

const OPERATION: &str = "write manifest";

/// How many missing digests an error names.
const NAMED: usize = 10;

/// Lists manifests in the index.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    reachable: Reachable,
    queue: Queue,
}

/// A manifest to be listed.
#[derive(Debug)]
struct Addition {
    tag: Option<Tag>,
    raw: RawManifest,
    manifest: Manifest,
    /// The blobs and manifests that have to exist, the manifest's own blob included, with their sizes.
    needs: Vec<(Digest, u64)>,
    /// Their presence, where no lock keeps them: asked before the turn, so that nobody waits for it.
    presence: Option<Vec<Presence>>,
}

/// An addition, and the caller who waits for it.
#[derive(Debug)]
struct Waiting {
    addition: Arc<Addition>,
    done: oneshot::Sender<Result<()>>,
}

impl Publisher {
    /// Tells whether a blob exists and stays until a push that relies on it ends.
    pub(crate) async fn keep(&self, manifests: &Manifests, digest: &Digest, size: u64) -> Result<bool> {
        match manifests.storage.renew(digest, size).await? {
            Presence::Absent => Ok(false),
            Presence::Kept => Ok(true),
            Presence::KeptIfReferenced => {
                self.reachable.contains(manifests, &manifests.storage.index().await?, digest).await
            }
        }
    }

    /// Stores a manifest of at most `limit` bytes and lists it.
    pub(crate) async fn publish(
        &self,
        manifests: &Manifests,
        at: &ManifestRef,
        raw: &RawManifest,
        limit: u64,
    ) -> Result<()> {
        let fail = |kind| Error::new(kind, OPERATION, at);
        let size = raw.bytes().len() as u64;
        if size > limit {
            return Err(fail(ErrorKind::TooLarge)
                .because(format!("expected a manifest of at most {limit} bytes, found {size}")));
        }
        let manifest = raw
            .parse()
            .map_err(|error| fail(ErrorKind::Invalid).because(error.to_string()).caused_by(error))?;
        let tag = match at {
            ManifestRef::Tag(tag) => Some(tag),
            ManifestRef::Digest(digest) if digest == raw.digest() => None,
            ManifestRef::Digest(_) => {
                return Err(
                    fail(ErrorKind::Invalid).because(format!("the manifest has the digest {}", raw.digest()))
                );
            }
        };
        if !self.keep(manifests, raw.digest(), size).await? || !is_intact(manifests, raw).await {
            manifests.storage.store(&ManifestSource { raw }).await?;
        }
        let mut addition = Addition::new(tag.cloned(), raw.clone(), manifest);
        if !manifests.storage.update_excludes_others() {
            // Without a lock, a young blob stays long enough.
            addition.presence = Some(manifests.storage.presence(&addition.needs).await?);
        }
        self.queue.pass(addition, |additions| self.list(manifests, additions)).await
    }

    /// Lists the manifests whose content is complete in one replacement of the index, and answers their callers. Returns those that
    /// depend on others of them.
    async fn list(&self, manifests: &Manifests, additions: Vec<Waiting>) -> Result<Vec<Waiting>> {
        let (mut waiting, mut later) = (additions, Vec::new());
        let mut attempts = Attempts::default();
        loop {
            let update = manifests.storage.begin_update().await?;
            let index = Arc::clone(update.index());
            let mut added = Additions::to(&index);
            let (mut listed, mut before) = (Vec::with_capacity(waiting.len()), Vec::new());
            for waiting in waiting {
                match self.add(manifests, &mut added, &index, &waiting.addition).await {
                    Ok(Added::Yes) => listed.push(waiting),
                    Ok(Added::Later) => later.push(waiting),
                    Ok(Added::Before) => before.push(waiting),
                    Err(error) => waiting.answer(Err(error)),
                }
            }
            if !before.is_empty() {
                // The index stays, but their blobs may be new.
                manifests.storage.sync().await?;
                before.into_iter().for_each(|waiting| waiting.answer(Ok(())));
            }
            let Some(first) = listed.first() else { return Ok(later) };
            let target = first.addition.target();
            if update.commit(added.edit()?).await? == Commit::Done {
                listed.into_iter().for_each(|waiting| waiting.answer(Ok(())));
                return Ok(later);
            }
            attempts.lost(OPERATION, target).await?;
            waiting = listed;
        }
    }

    /// Adds a manifest if everything that it needs exists.
    async fn add(
        &self,
        manifests: &Manifests,
        added: &mut Additions<'_>,
        index: &Arc<Index>,
        addition: &Addition,
    ) -> Result<Added> {
        match &addition.presence {
            Some(presence) => self.check_complete(manifests, index, addition, presence).await?,
            None => {
                // Under the lock nothing disappears meanwhile.
                let presence = manifests.storage.presence(&addition.needs).await?;
                self.check_complete(manifests, index, addition, &presence).await?;
            }
        }
        added.add(addition.tag.as_ref(), &addition.raw, &addition.manifest)
    }

    async fn check_complete(
        &self,
        manifests: &Manifests,
        index: &Arc<Index>,
        addition: &Addition,
        presence: &[Presence],
    ) -> Result<()> {
        let mut missing = Vec::new();
        for ((digest, _), presence) in addition.needs.iter().zip(presence) {
            let stays = match presence {
                Presence::Absent => false,
                Presence::Kept => true,
                Presence::KeptIfReferenced => self.reachable.contains(manifests, index, digest).await?,
            };
            if !stays {
                missing.push(digest);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut reason = String::from("it refers to content that is missing or has another size:");
        for digest in missing.iter().take(NAMED) {
            // Writing to a string does not fail.
            let _ = write!(reason, " {digest}");
        }
        if missing.len() > NAMED {
            let _ = write!(reason, " and {} more", missing.len() - NAMED);
        }
        Err(Error::new(ErrorKind::Incomplete, OPERATION, addition.target()).because(reason))
    }
}

/// Tells whether the stored blob of a manifest has its bytes. A manifest is small, so a damaged one is never taken for present.
async fn is_intact(manifests: &Manifests, raw: &RawManifest) -> bool {
    let read = async {
        let read = manifests.storage.read(raw.digest(), None).await?;
        let mut stream = read.stream;
        let mut left = raw.bytes();
        while let Some(piece) = stream.try_next().await? {
            match left.strip_prefix(&piece[..]) {
                Some(rest) => left = rest,
                None => return Ok(false),
            }
        }
        Ok::<_, Error>(left.is_empty())
    };
    // A failure shows itself when the blob is stored again.
    read.await.unwrap_or(false)
}

impl Addition {
    fn new(tag: Option<Tag>, raw: RawManifest, manifest: Manifest) -> Self {
        let own = (raw.digest().clone(), raw.bytes().len() as u64);
        let blobs = manifest.blobs();
        let needed = blobs.into_iter().chain(manifest.children());
        let needs = needed.map(|needed| (needed.digest.clone(), needed.size));
        let needs = std::iter::once(own).chain(needs).collect();
        Self { tag, raw, manifest, needs, presence: None }
    }

    fn target(&self) -> ManifestRef {
        match &self.tag {
            Some(tag) => ManifestRef::Tag(tag.clone()),
            None => ManifestRef::Digest(self.raw.digest().clone()),
        }
    }
}

impl Waiting {
    fn answer(self, result: Result<()>) {
        // The caller may have given up.
        let _ = self.done.send(result);
    }
}

/// The additions that wait for their turn.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

impl Queue {
    /// Waits until the addition was handled, by this caller or by one whose turn came earlier. `handle` answers the additions that it
    /// is given; those that it returns are handled next.
    async fn pass<H: Future<Output = Result<Vec<Waiting>>>>(
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
                // The caller that handled it gave up, or failed for a reason of its own.
                Err(oneshot::error::TryRecvError::Closed) => answer = self.enter(&addition),
            }
            let left = handle(self.take()).await?;
            self.waiting().splice(0..0, left);
        }
    }

    fn enter(&self, addition: &Arc<Addition>) -> oneshot::Receiver<Result<()>> {
        let (done, answer) = oneshot::channel();
        self.waiting().push(Waiting { addition: Arc::clone(addition), done });
        answer
    }

    /// Takes all additions whose callers still wait.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = std::mem::take(&mut *self.waiting());
        waiting.retain(|waiting| !waiting.done.is_closed());
        waiting
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A manifest as a blob; the algorithm of its digest may be another than SHA-256.
struct ManifestSource<'a> {
    raw: &'a RawManifest,
}

#[async_trait]
impl BlobSource for ManifestSource<'_> {
    fn digest(&self) -> &Digest {
        self.raw.digest()
    }

    fn size(&self) -> u64 {
        self.raw.bytes().len() as u64
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.raw.bytes().get(start..).unwrap_or_default();
        Ok(stream::iter([Ok(Bytes::copy_from_slice(rest))]).boxed())
    }
}
