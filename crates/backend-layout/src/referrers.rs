//! Listing the referrers of a manifest from the index.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, MediaType};
use registry_backend::{ErrorKind, Result};
use tokio::sync::Mutex;

use crate::index::{Index, SubjectHint};
use crate::manifests::{Manifests, PARALLEL, may_refer};
use crate::reachable::is_of;

/// Finds referrers. Remembers for one index which manifests refer to a subject without an entry that says so, so that they are read
/// once and not for every subject.
#[derive(Default)]
pub(crate) struct Referrers {
    unstated: Mutex<Option<Unstated>>,
}

struct Unstated {
    /// Identifies the index without keeping it in memory.
    index: Weak<Index>,
    by_subject: BySubject,
}

/// Manifests by their subject, with the positions of their entries.
type BySubject = HashMap<Digest, Vec<(usize, Descriptor)>>;

/// The position of a manifest that only other image indexes list.
const NESTED: usize = usize::MAX;

impl Referrers {
    /// Lists the referrers of a subject in the order of the index, each once, with artifact type and annotations.
    pub(crate) fn list<'a>(
        &'a self,
        manifests: &'a Manifests,
        subject: Digest,
        artifact_type: Option<MediaType>,
    ) -> BoxStream<'a, Result<Descriptor>> {
        let listing = async move {
            let index = manifests.storage.index().await?;
            let candidates = self.candidates(manifests, &index, &subject).await?;
            let referrers = stream::iter(candidates)
                .map(move |descriptor| verify(manifests, descriptor, subject.clone()))
                .buffered(PARALLEL)
                .try_filter_map(move |found| {
                    let fits =
                        |found: &Descriptor| artifact_type.is_none() || found.artifact_type == artifact_type;
                    std::future::ready(Ok(found.filter(fits)))
                });
            Ok(referrers)
        };
        stream::once(listing).try_flatten().boxed()
    }

    /// Returns the manifests that refer to the subject by their entry or their bytes, each once, in the order of the index.
    async fn candidates(
        &self,
        manifests: &Manifests,
        index: &Arc<Index>,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>> {
        let mut found: Vec<_> = index
            .referring(subject)
            .filter(|(_, entry)| entry.may_refer())
            .map(|(position, entry)| (position, entry.descriptor()))
            .collect();
        let mut unstated = self.unstated.lock().await;
        let unstated = match &mut *unstated {
            Some(unstated) if is_of(&unstated.index, index) => unstated,
            other => {
                let by_subject = read_subjects(manifests, index).await?;
                other.insert(Unstated { index: Arc::downgrade(index), by_subject })
            }
        };
        found.extend(unstated.by_subject.get(subject).into_iter().flatten().cloned());
        found.sort_by_key(|(position, _)| *position);
        let mut seen = HashSet::new();
        let found = found.into_iter().map(|(_, descriptor)| descriptor);
        Ok(found.filter(|descriptor| seen.insert(descriptor.digest.clone())).collect())
    }
}

/// Reads the subjects of all manifests whose entries do not state them.
async fn read_subjects(manifests: &Manifests, index: &Arc<Index>) -> Result<BySubject> {
    let mut by_subject = BySubject::new();
    let unknown = without_hint(manifests, index).await?;
    let mut answers =
        stream::iter(unknown).map(|candidate| with_subject(manifests, candidate)).buffered(PARALLEL);
    while let Some(answer) = answers.try_next().await? {
        if let Some((subject, candidate)) = answer {
            by_subject.entry(subject).or_default().push(candidate);
        }
    }
    Ok(by_subject)
}

/// Returns the manifests whose subject only their bytes tell: other programs listed them, or image indexes below the layout's own do.
async fn without_hint(manifests: &Manifests, index: &Arc<Index>) -> Result<Vec<(usize, Descriptor)>> {
    let mut candidates: Vec<_> = index
        .entries()
        .filter(|(_, entry)| entry.may_refer() && entry.subject == SubjectHint::Unknown)
        .map(|(position, entry)| (position, entry.descriptor()))
        .collect();
    let mut indexes: Vec<_> = index.indexes().map(|(_, entry)| entry.descriptor()).collect();
    let mut seen: HashSet<Digest> = indexes.iter().map(|parent| parent.digest.clone()).collect();
    while let Some(parent) = indexes.pop() {
        let Some(links) = manifests.links(&parent).await? else { continue };
        for child in &links.children {
            let is_listed = index.find(&child.digest.clone().into()).is_some_and(|entry| entry.may_refer());
            if is_listed || !may_refer(&child.media_type) || !seen.insert(child.digest.clone()) {
                continue;
            }
            if child.media_type.is_index() {
                indexes.push(child.clone());
            }
            candidates.push((NESTED, child.clone()));
        }
    }
    Ok(candidates)
}

/// Returns a candidate with the subject that its bytes state.
async fn with_subject(
    manifests: &Manifests,
    candidate: (usize, Descriptor),
) -> Result<Option<(Digest, (usize, Descriptor))>> {
    let links = match manifests.links(&candidate.1).await {
        // An entry too large to be a manifest refers to nothing.
        Err(error) if error.kind() == ErrorKind::TooLarge => None,
        links => links?,
    };
    let subject = links.and_then(|links| links.subject.as_ref().map(|subject| subject.digest.clone()));
    Ok(subject.map(|subject| (subject, candidate)))
}

/// Returns the manifest with artifact type and annotations if its bytes refer to the subject.
async fn verify(
    manifests: &Manifests,
    descriptor: Descriptor,
    subject: Digest,
) -> Result<Option<Descriptor>> {
    let raw = match manifests.read(descriptor.digest.as_str(), &descriptor).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        raw => raw?,
    };
    let Ok(manifest) = raw.parse() else { return Ok(None) };
    if manifest.subject().is_none_or(|of| of.digest != subject) {
        return Ok(None);
    }
    let mut found = raw.descriptor();
    found.artifact_type = manifest.effective_artifact_type().cloned();
    found.annotations = manifest.annotations().clone();
    Ok(Some(found))
}

impl fmt::Debug for Referrers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Referrers")
    }
}
