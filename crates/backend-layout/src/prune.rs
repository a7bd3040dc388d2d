//! Removing what the index does not reach.
//!
//! What is reached is found out without a lock, and again, as far as the index has changed since, under the lock under
//! which blobs are removed. Marks are only added: what was reached at any moment of the run stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use oci_model::{Descriptor, Digest};
use registry_backend::{Error, ErrorKind, PruneOptions, PruneReport, Pruned, Pruner, Result};

use crate::LayoutBackend;
use crate::attempts::Attempts;
use crate::index::{Index, Name};
use crate::manifests::Links;
use crate::reach::{Marks, PARALLEL};
use crate::storage::{Commit, StoredBlob};

const OPERATION: &str = "prune";

/// How many blobs are removed before the lock is given up for others to go on.
const REMOVED_AT_ONCE: usize = 256;

#[async_trait]
impl Pruner for LayoutBackend {
    async fn prune(&self, options: &PruneOptions) -> Result<PruneReport> {
        if !options.dry_run {
            self.check_writable(OPERATION, self)?;
        }
        let before = self.storage.now().checked_sub(options.grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let stored = self.storage.list().await?;
        let dropped = if options.untagged {
            self.drop_untagged(&stored, before, options.dry_run).await?
        } else {
            HashSet::new()
        };
        let mut marks = Marks::default();
        let index = self.storage.index().await?;
        self.mark_index(&mut marks, &index, &dropped).await?;
        let (mut old, young): (Vec<_>, Vec<_>) = stored
            .into_iter()
            .filter(|blob| !marks.reached.contains(&blob.digest))
            .partition(|blob| blob.modified <= before);
        old.sort_by(|left, right| left.digest.cmp(&right.digest));
        let mut report = PruneReport::default();
        report.kept_young = young.len() as u64;
        let removed =
            if options.dry_run { old } else { self.remove(old, index, marks, before, &mut report).await? };
        report.removed =
            removed.into_iter().map(|blob| Pruned { digest: blob.digest, size: blob.size }).collect();
        report.partial_files = self.storage.remove_partial(before, options.dry_run).await?;
        Ok(report)
    }
}

impl LayoutBackend {
    async fn mark_index(&self, marks: &mut Marks, index: &Index, dropped: &HashSet<Digest>) -> Result<()> {
        if let Some(place) = index.first_unreadable() {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, self).because(format!(
                "entry {place} of its `index.json` is no descriptor, so what it needs is not known"
            )));
        }
        let kept = index.listed().filter(|(_, listed)| !dropped.contains(&listed.digest()));
        let roots = kept.map(|(_, listed)| listed.descriptor()).collect();
        self.mark(marks, roots).await
    }

    /// Removes blobs that are still unreached and old when the lock is held.
    async fn remove(
        &self,
        candidates: Vec<StoredBlob>,
        mut index: Arc<Index>,
        mut marks: Marks,
        before: SystemTime,
        report: &mut PruneReport,
    ) -> Result<Vec<StoredBlob>> {
        let mut removed = Vec::new();
        for batch in candidates.chunks(REMOVED_AT_ONCE) {
            let update = self.storage.begin_update().await?;
            if !Arc::ptr_eq(update.index(), &index) {
                index = Arc::clone(update.index());
                self.mark_index(&mut marks, &index, &HashSet::new()).await?;
            }
            let batch: Vec<_> =
                batch.iter().filter(|blob| !marks.reached.contains(&blob.digest)).cloned().collect();
            let count = batch.len();
            let gone = update.remove(batch, before).await?;
            report.kept_young += count.saturating_sub(gone.len()) as u64;
            removed.extend(gone);
        }
        Ok(removed)
    }

    /// Takes manifests off the index that nobody named and nothing needs; returns them.
    async fn drop_untagged(
        &self,
        stored: &[StoredBlob],
        before: SystemTime,
        dry_run: bool,
    ) -> Result<HashSet<Digest>> {
        let index = self.storage.index().await?;
        let dropped = self.unneeded(&index, stored, before).await?;
        if dry_run || dropped.is_empty() {
            return Ok(dropped);
        }
        let mut attempts = Attempts::default();
        loop {
            let update = self.storage.begin_update().await?;
            // A push may have renewed a manifest since.
            let stored = self.storage.list().await?;
            let dropped = self.unneeded(update.index(), &stored, before).await?;
            let Some(edit) = update.index().without(|listed| dropped.contains(&listed.digest()))? else {
                return Ok(dropped);
            };
            if update.commit(edit).await? == Commit::Done {
                return Ok(dropped);
            }
            attempts.lost(OPERATION, self).await?;
        }
    }

    /// Returns the listed manifests that are old, have no name, and are neither listed by an index nor the subject or a
    /// referrer of one that stays.
    async fn unneeded(
        &self,
        index: &Index,
        stored: &[StoredBlob],
        before: SystemTime,
    ) -> Result<HashSet<Digest>> {
        let old: HashSet<_> =
            stored.iter().filter(|blob| blob.modified <= before).map(|blob| &blob.digest).collect();
        let graph = self.graph(index).await?;
        let mut kept = HashSet::new();
        let listed: Vec<_> = index.listed().map(|(_, listed)| (listed.digest(), listed)).collect();
        let mut front: Vec<&Digest> = listed
            .iter()
            // What is no manifest is not judged by having no tag.
            .filter(|(digest, listed)| {
                listed.name != Name::None || !old.contains(digest) || !listed.may_refer()
            })
            .map(|(digest, _)| digest)
            .collect();
        while let Some(digest) = front.pop() {
            if !kept.insert(digest) {
                continue;
            }
            if let Some(links) = graph.links.get(digest) {
                front.extend(links.children.iter().chain(&links.subject).map(|linked| &linked.digest));
            }
            front.extend(graph.referrers.get(digest).into_iter().flatten());
        }
        Ok(listed.iter().map(|(digest, _)| digest).filter(|digest| !kept.contains(digest)).cloned().collect())
    }

    /// Reads what all manifests say of one another.
    async fn graph(&self, index: &Index) -> Result<Graph> {
        let mut graph = Graph::default();
        let mut front: Vec<Descriptor> = index.listed().map(|(_, listed)| listed.descriptor()).collect();
        while !front.is_empty() {
            let mut seen = HashSet::new();
            front.retain(|listed| {
                !graph.links.contains_key(&listed.digest) && seen.insert(listed.digest.clone())
            });
            let read =
                |listed: Descriptor| async move { Ok((self.strict_links(&listed).await?, listed.digest)) };
            let read: Vec<(Arc<Links>, Digest)> =
                stream::iter(front).map(read).buffer_unordered(PARALLEL).try_collect().await?;
            let mut next = Vec::new();
            for (links, digest) in read {
                next.extend(links.children.iter().chain(&links.subject).cloned());
                if let Some(subject) = &links.subject {
                    graph.referrers.entry(subject.digest.clone()).or_default().push(digest.clone());
                }
                graph.links.insert(digest, links);
            }
            front = next;
        }
        Ok(graph)
    }
}

/// What manifests say of one another.
#[derive(Default)]
struct Graph {
    links: HashMap<Digest, Arc<Links>>,
    referrers: HashMap<Digest, Vec<Digest>>,
}
