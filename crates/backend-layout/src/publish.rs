//! Storing a manifest: its blob first, then its entry in the index.

use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use oci_model::{Digest, ManifestRef, RawManifest};
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};

use crate::LayoutBackend;
use crate::attempts::Attempts;
use crate::index::{Added, Additions, Index};
use crate::queue::{Addition, Waiting};
use crate::storage::{Commit, Presence};

const OPERATION: &str = "write manifest";

/// How many missing digests an error names.
const NAMED: usize = 10;

impl LayoutBackend {
    pub(crate) async fn publish(&self, at: &ManifestRef, raw: &RawManifest) -> Result<()> {
        let fail = |kind| Error::new(kind, OPERATION, at);
        self.check_writable(OPERATION, at)?;
        let (size, limit) = (raw.bytes().len() as u64, self.capabilities.max_manifest_bytes);
        if size > limit {
            return Err(fail(ErrorKind::TooLarge)
                .because(format!("it has {size} bytes, and at most {limit} are taken")));
        }
        let manifest = raw
            .parse()
            .map_err(|error| fail(ErrorKind::Invalid).because(error.to_string()).caused_by(error))?;
        let tag = match at {
            ManifestRef::Tag(tag) => Some(tag),
            ManifestRef::Digest(digest) if digest == raw.digest() => None,
            ManifestRef::Digest(_) => {
                return Err(fail(ErrorKind::Invalid).because(format!("the manifest is {}", raw.digest())));
            }
        };
        if !self.keep(raw.digest(), size).await? {
            self.storage.store(&ManifestSource { raw }).await?;
        }
        let addition = Addition::new(tag.cloned(), raw.clone(), manifest);
        self.queue.pass(addition, |additions| self.list(additions)).await
    }

    /// Lists manifests whose blobs are there, all in one replacement of the index, and answers those who wait for it. Those that
    /// depend on others of them are given back.
    async fn list(&self, additions: Vec<Waiting>) -> Result<Vec<Waiting>> {
        let (mut waiting, mut later) = (additions, Vec::new());
        let mut attempts = Attempts::default();
        loop {
            let update = self.storage.begin_update().await?;
            let index = Arc::clone(update.index());
            let mut added = Additions::to(&index);
            let mut listed = Vec::with_capacity(waiting.len());
            for mut waiting in waiting {
                match self.add(&mut added, &index, &mut waiting).await {
                    Ok(Added::Yes) => listed.push(waiting),
                    Ok(Added::Later) => later.push(waiting),
                    Ok(Added::Before) => waiting.answer(Ok(())),
                    Err(error) => waiting.answer(Err(error)),
                }
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

    /// Adds a manifest if everything that it needs is there.
    async fn add(
        &self,
        added: &mut Additions<'_>,
        index: &Arc<Index>,
        waiting: &mut Waiting,
    ) -> Result<Added> {
        let addition = &waiting.addition;
        // Under a lock nothing can go meanwhile; without one, what is there and young stays long enough.
        if waiting.presence.is_none() || self.storage.update_excludes_others() {
            waiting.presence = Some(self.storage.presence(&addition.needs).await?);
        }
        let presence = waiting.presence.as_deref().unwrap_or_default();
        self.check_complete(&addition.target(), index, &addition.needs, presence).await?;
        added.add(addition.tag.as_ref(), &addition.raw, &addition.manifest)
    }

    async fn check_complete(
        &self,
        at: &ManifestRef,
        index: &Arc<Index>,
        needs: &[(Digest, u64)],
        presence: &[Presence],
    ) -> Result<()> {
        let mut missing = Vec::new();
        for ((digest, _), presence) in needs.iter().zip(presence) {
            let stays = match presence {
                Presence::Absent => false,
                Presence::Kept => true,
                Presence::KeptIfReferenced => self.is_reached(index, digest).await?,
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
            // Writing to a text does not fail.
            let _ = write!(reason, " {digest}");
        }
        if missing.len() > NAMED {
            let _ = write!(reason, " and {} more", missing.len() - NAMED);
        }
        Err(Error::new(ErrorKind::Incomplete, OPERATION, at).because(reason))
    }
}

/// A manifest as a blob; its digest may be of another algorithm than SHA-256.
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
