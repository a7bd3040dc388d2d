//! The content that the index reaches: nested indexes, subjects and the blobs of manifests.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Weak};

use futures::{StreamExt, TryStreamExt, stream};
use oci_model::{Descriptor, Digest};
use registry_backend::{ErrorKind, Result};
use tokio::sync::Mutex;

use crate::index::Index;
use crate::manifests::{FOLLOWED, Manifests, PARALLEL};

/// The content that a search has reached so far.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Digests of manifests and blobs.
    pub(crate) reached: HashSet<Digest>,
    /// Manifests whose references are among the reached.
    followed: HashSet<Digest>,
}

/// Answers whether single blobs are reachable. The search continues where the last one ended.
#[derive(Default)]
pub(crate) struct Reachable {
    search: Mutex<Option<Search>>,
}

struct Search {
    /// Identifies the index without keeping it in memory.
    index: Weak<Index>,
    /// How many of its entries are still to be followed, the last of them first.
    left: usize,
    marks: Marks,
}

impl Marks {
    /// Marks everything that can be reached from these manifests.
    ///
    /// # Errors
    ///
    /// If a manifest cannot be read or is not valid. A missing manifest reaches nothing.
    pub(crate) async fn extend(&mut self, manifests: &Manifests, roots: Vec<Descriptor>) -> Result<()> {
        let mut front = roots;
        while !front.is_empty() {
            front.retain(|listed| self.followed.insert(listed.digest.clone()));
            if self.followed.len() > FOLLOWED {
                return Err(manifests.too_many());
            }
            self.reached.extend(front.iter().map(|listed| listed.digest.clone()));
            let read = |listed: Descriptor| async move { manifests.references(&listed).await };
            let mut answers = stream::iter(front).map(read).buffer_unordered(PARALLEL);
            let mut next = Vec::new();
            while let Some(references) = answers.try_next().await? {
                let Some(references) = references else { continue };
                self.reached.extend(references.blobs);
                next.extend(references.links.children);
                next.extend(references.links.subject);
            }
            front = next;
        }
        Ok(())
    }
}

impl Reachable {
    /// Tells whether the index reaches a blob. Manifests that cannot be parsed reach nothing.
    pub(crate) async fn contains(
        &self,
        manifests: &Manifests,
        index: &Arc<Index>,
        digest: &Digest,
    ) -> Result<bool> {
        let mut search = self.search.lock().await;
        let search = match &mut *search {
            Some(search) if is_of(&search.index, index) => search,
            other => other.insert(Search {
                index: Arc::downgrade(index),
                left: index.len(),
                marks: Marks::default(),
            }),
        };
        while !search.marks.reached.contains(digest) {
            // A push most likely needs the content of the newest entries.
            let rest = search.left.saturating_sub(PARALLEL);
            let roots = rest..std::mem::replace(&mut search.left, rest);
            if roots.is_empty() {
                return Ok(false);
            }
            for (_, root) in index.entries_at(roots) {
                match search.marks.extend(manifests, vec![root.descriptor()]).await {
                    Err(error) if error.kind() == ErrorKind::Invalid => {
                        tracing::warn!(%error, "ignored an invalid manifest");
                    }
                    marked => marked?,
                }
            }
        }
        Ok(true)
    }
}

impl fmt::Debug for Reachable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reachable")
    }
}

/// Tells whether facts that were remembered are about this index. No other index has its address while the reference exists.
pub(crate) fn is_of(known: &Weak<Index>, index: &Arc<Index>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(index))
}
