//! What can be reached from the index: through nested indexes, subjects and the blobs of manifests.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Weak};

use futures::{StreamExt, TryStreamExt, stream};
use oci_model::{Descriptor, Digest};
use registry_backend::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

use crate::LayoutBackend;
use crate::index::Index;

/// How many manifests are read at once.
pub(crate) const PARALLEL: usize = 16;

/// How many manifests are followed: a bound on what a hostile layout can make one read.
pub(crate) const FOLLOWED: usize = 5_000_000;

/// What was reached so far.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Digests of manifests and blobs.
    pub(crate) reached: HashSet<Digest>,
    /// Manifests whose references are among the reached.
    followed: HashSet<Digest>,
}

/// What a search for blobs has reached in one state of the index; it goes on where the last one ended.
#[derive(Default)]
pub(crate) struct Reached {
    search: Mutex<Option<Search>>,
}

struct Search {
    /// It is told from others by it, and not kept.
    index: Weak<Index>,
    /// How many of its entries are still to be followed, the last of them first.
    left: usize,
    marks: Marks,
}

impl LayoutBackend {
    /// Marks everything that can be reached from these manifests.
    ///
    /// # Errors
    ///
    /// If a manifest cannot be read or is not valid; one that is missing reaches nothing.
    pub(crate) async fn mark(&self, marks: &mut Marks, roots: Vec<Descriptor>) -> Result<()> {
        let mut front = roots;
        while !front.is_empty() {
            front.retain(|listed| marks.followed.insert(listed.digest.clone()));
            if marks.followed.len() > FOLLOWED {
                return Err(too_many(self));
            }
            marks.reached.extend(front.iter().map(|listed| listed.digest.clone()));
            let read = |listed: Descriptor| async move { self.references(&listed).await };
            let mut answers = stream::iter(front).map(read).buffer_unordered(PARALLEL);
            let mut next = Vec::new();
            while let Some(references) = answers.try_next().await? {
                let Some(references) = references else { continue };
                marks.reached.extend(references.blobs);
                next.extend(references.links.children);
                next.extend(references.links.subject);
            }
            front = next;
        }
        Ok(())
    }

    /// Tells whether a blob can be reached in this state of the index. Manifests that cannot be read reach nothing.
    pub(crate) async fn is_reached(&self, index: &Arc<Index>, digest: &Digest) -> Result<bool> {
        let mut search = self.reached.search.lock().await;
        let search = match &mut *search {
            Some(search) if is_of(&search.index, index) => search,
            other => other.insert(Search::new(index)),
        };
        while !search.marks.reached.contains(digest) {
            // The newest entries are the likeliest to have what a push needs.
            let rest = search.left.saturating_sub(PARALLEL);
            let roots = rest..std::mem::replace(&mut search.left, rest);
            if roots.is_empty() {
                return Ok(false);
            }
            for (_, root) in index.listed_at(roots) {
                match self.mark(&mut search.marks, vec![root.descriptor()]).await {
                    Err(error) if error.kind() == ErrorKind::Invalid => {
                        tracing::warn!(%error, "a manifest is passed over");
                    }
                    marked => marked?,
                }
            }
        }
        Ok(true)
    }

    /// Returns the descriptor of a manifest that an index below the layout's own index lists.
    pub(crate) async fn find_nested(&self, index: &Index, digest: &Digest) -> Result<Option<Nested>> {
        let mut seen = HashSet::new();
        let mut front: Vec<_> = index
            .listed()
            .filter(|(_, listed)| listed.is_index())
            .map(|(_, listed)| listed.descriptor())
            .collect();
        while !front.is_empty() {
            front.retain(|listed| seen.insert(listed.digest.clone()));
            if seen.len() > FOLLOWED {
                return Err(too_many(self));
            }
            let mut next = Vec::new();
            for parent in front {
                let Some(links) = self.links(&parent).await? else { continue };
                if let Some(child) = links.children.iter().find(|child| child.digest == *digest) {
                    return Ok(Some(Nested { parent: parent.digest, child: child.clone() }));
                }
                next.extend(links.children.iter().filter(|child| child.media_type.is_index()).cloned());
            }
            front = next;
        }
        Ok(None)
    }
}

/// A manifest that an index lists.
#[derive(Debug)]
pub(crate) struct Nested {
    pub(crate) parent: Digest,
    pub(crate) child: Descriptor,
}

/// Tells whether what was found out is about this state of the index. No other has its place in memory while the reference
/// is there.
pub(crate) fn is_of(known: &Weak<Index>, index: &Arc<Index>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(index))
}

fn too_many(backend: &LayoutBackend) -> Error {
    Error::new(ErrorKind::TooLarge, "follow the manifests of", backend)
        .because(format!("there are more than {FOLLOWED} of them"))
}

impl Search {
    fn new(index: &Arc<Index>) -> Self {
        Self { index: Arc::downgrade(index), left: index.len(), marks: Marks::default() }
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reached")
    }
}
