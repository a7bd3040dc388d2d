//! Removing the content that the index does not reach.
//!
//! A run marks the reachable content without a lock. Under the lock under which it removes blobs, it marks again as far as the index has
//! changed. Marks are only added: content that was reachable at any moment of the removal stays.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use futures::{StreamExt, TryStreamExt, stream};
use oci_model::{Descriptor, Digest};
use registry_backend::{Error, ErrorKind, PruneOptions, PruneReport, Pruned, Result};

use crate::index::{Index, RefName};
use crate::manifests::{Links, Manifests, PARALLEL};
use crate::reachable::Marks;
use crate::storage::{Attempts, Commit, StoredBlob};

const OPERATION: &str = "prune";

/// How many blobs are removed before others get the lock.
const REMOVED_AT_ONCE: usize = 256;

/// Removes unreachable content that is older than the grace period.
pub(crate) async fn prune(manifests: &Manifests, options: &PruneOptions) -> Result<PruneReport> {
    let storage = &manifests.storage;
    let before = storage.removable_before(options.grace).await?;
    let stored = storage.list().await?;
    let mut hidden = HashSet::new();
    if options.untagged && options.dry_run {
        hidden = unneeded(manifests, &*storage.index().await?, &stored, before).await?;
    } else if options.untagged {
        drop_untagged(manifests, &stored, before).await?;
    }
    let mut marks = Marks::default();
    // After a real run the index no longer lists the dropped manifests. One that it lists again was tagged meanwhile, and stays.
    let index = storage.index().await?;
    mark_index(manifests, &mut marks, &index, &hidden).await?;
    let (mut old, young): (Vec<_>, Vec<_>) = stored
        .into_iter()
        .filter(|blob| !marks.reached.contains(&blob.digest))
        .partition(|blob| blob.modified <= before);
    old.sort_by(|left, right| left.digest.cmp(&right.digest));
    let mut report = PruneReport::default();
    report.kept_young = young.len() as u64;
    let removed =
        if options.dry_run { old } else { remove(manifests, old, index, marks, before, &mut report).await? };
    report.removed =
        removed.into_iter().map(|blob| Pruned { digest: blob.digest, size: blob.size }).collect();
    report.partial_files = storage.remove_partial(before, options.dry_run).await?;
    Ok(report)
}

/// Marks the content of all entries except the hidden ones.
async fn mark_index(
    manifests: &Manifests,
    marks: &mut Marks,
    index: &Index,
    hidden: &HashSet<Digest>,
) -> Result<()> {
    if let Some(number) = index.first_unreadable() {
        return Err(Error::new(ErrorKind::Invalid, OPERATION, &manifests.name).because(format!(
            "entry {number} of its `index.json` is not a descriptor, so the content that it needs is unknown"
        )));
    }
    let roots = index.entries().filter(|(_, entry)| !hidden.contains(&entry.digest));
    let roots = roots.map(|(_, entry)| entry.descriptor()).collect();
    marks.extend(manifests, roots).await
}

/// Removes blobs that are still unreachable and old once the lock is held.
async fn remove(
    manifests: &Manifests,
    candidates: Vec<StoredBlob>,
    mut index: Arc<Index>,
    mut marks: Marks,
    before: SystemTime,
    report: &mut PruneReport,
) -> Result<Vec<StoredBlob>> {
    let mut removed = Vec::new();
    for batch in candidates.chunks(REMOVED_AT_ONCE) {
        let update = manifests.storage.begin_update().await?;
        if !Arc::ptr_eq(update.index(), &index) {
            index = Arc::clone(update.index());
            mark_index(manifests, &mut marks, &index, &HashSet::new()).await?;
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

/// Removes the entries of manifests that have no tag and that nothing needs.
async fn drop_untagged(manifests: &Manifests, stored: &[StoredBlob], before: SystemTime) -> Result<()> {
    let storage = &manifests.storage;
    // Looks without the lock first: nothing to drop must not change a layout.
    if unneeded(manifests, &*storage.index().await?, stored, before).await?.is_empty() {
        return Ok(());
    }
    let mut attempts = Attempts::default();
    loop {
        let update = storage.begin_update().await?;
        // A push may have renewed a manifest since the first listing.
        let stored = storage.list().await?;
        let dropped = unneeded(manifests, update.index(), &stored, before).await?;
        let Some(edit) = update.index().without(&dropped)? else { return Ok(()) };
        if update.commit(edit).await? == Commit::Done {
            return Ok(());
        }
        attempts.lost(OPERATION, &manifests.name).await?;
    }
}

/// Returns the listed manifests that are old and have no name, unless an image index that stays lists them, or they are the subject or
/// a referrer of a manifest that stays.
async fn unneeded(
    manifests: &Manifests,
    index: &Index,
    stored: &[StoredBlob],
    before: SystemTime,
) -> Result<HashSet<Digest>> {
    let old: HashSet<_> =
        stored.iter().filter(|blob| blob.modified <= before).map(|blob| &blob.digest).collect();
    let graph = Graph::read(manifests, index).await?;
    let entries: Vec<_> = index.entries().map(|(_, entry)| entry).collect();
    let mut kept = HashSet::new();
    let mut front: Vec<&Digest> = entries
        .iter()
        // An entry that is not a manifest stays without a tag.
        .filter(|entry| entry.name != RefName::None || !old.contains(&entry.digest) || !entry.may_refer())
        .map(|entry| &entry.digest)
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
    Ok(entries.iter().map(|entry| &entry.digest).filter(|digest| !kept.contains(digest)).cloned().collect())
}

/// How the manifests of an index refer to one another.
#[derive(Default)]
struct Graph {
    links: HashMap<Digest, Arc<Links>>,
    referrers: HashMap<Digest, Vec<Digest>>,
}

impl Graph {
    async fn read(manifests: &Manifests, index: &Index) -> Result<Self> {
        let mut graph = Self::default();
        let mut front: Vec<Descriptor> = index.entries().map(|(_, entry)| entry.descriptor()).collect();
        while !front.is_empty() {
            let mut seen = HashSet::new();
            front.retain(|listed| {
                !graph.links.contains_key(&listed.digest) && seen.insert(listed.digest.clone())
            });
            let read = |listed: Descriptor| async move {
                Ok::<_, Error>((manifests.strict_links(&listed).await?, listed.digest))
            };
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
