//! Listing the referrers of a manifest from the index.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, MediaType};
use registry_backend::{ErrorKind, Result};
use tokio::sync::Mutex;

use crate::LayoutBackend;
use crate::index::{Index, SubjectHint};
use crate::manifests::may_refer;
use crate::reach::{PARALLEL, is_of};

/// Who refers to whom in one state of the index without its entry saying so: it is found out once, and not for every subject.
#[derive(Default)]
pub(crate) struct Referring {
    known: Mutex<Option<Known>>,
}

struct Known {
    /// It is told from others by it, and not kept.
    index: Weak<Index>,
    by_subject: BySubject,
}

/// The manifests of which only their bytes say that they refer to a subject, with the places of their entries.
type BySubject = HashMap<Digest, Vec<(usize, Descriptor)>>;

/// The place of a manifest that only other indexes list.
const NESTED: usize = usize::MAX;

impl LayoutBackend {
    pub(crate) fn list_referrers(
        &self,
        subject: Digest,
        artifact_type: Option<MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        let listing = async move {
            let index = self.storage.index().await?;
            let referring = self.referring(&index, &subject).await?;
            let judged = stream::iter(referring)
                .map(move |descriptor| self.judge(descriptor, subject.clone()))
                .buffered(PARALLEL)
                .try_filter_map(move |found| {
                    let fits =
                        |found: &Descriptor| artifact_type.is_none() || found.artifact_type == artifact_type;
                    std::future::ready(Ok(found.filter(fits)))
                });
            Ok(judged)
        };
        stream::once(listing).try_flatten().boxed()
    }

    /// Returns the manifests that say that they refer to the subject, each once, in the order of the index.
    async fn referring(&self, index: &Arc<Index>, subject: &Digest) -> Result<Vec<Descriptor>> {
        let mut found: Vec<_> = index
            .referring(subject)
            .filter(|(_, listed)| listed.may_refer())
            .map(|(position, listed)| (position, listed.descriptor()))
            .collect();
        let mut known = self.referring.known.lock().await;
        let known = match &mut *known {
            Some(known) if is_of(&known.index, index) => known,
            other => {
                let by_subject = self.by_subject(index).await?;
                other.insert(Known { index: Arc::downgrade(index), by_subject })
            }
        };
        found.extend(known.by_subject.get(subject).into_iter().flatten().cloned());
        found.sort_by_key(|(position, _)| *position);
        let mut seen = HashSet::new();
        let found = found.into_iter().map(|(_, descriptor)| descriptor);
        Ok(found.filter(|descriptor| seen.insert(descriptor.digest.clone())).collect())
    }

    async fn by_subject(&self, index: &Arc<Index>) -> Result<BySubject> {
        let mut by_subject = BySubject::new();
        let asked = self.candidates(index).await?;
        let mut answers = stream::iter(asked).map(|candidate| self.subject_of(candidate)).buffered(PARALLEL);
        while let Some(answer) = answers.try_next().await? {
            if let Some((subject, candidate)) = answer {
                by_subject.entry(subject).or_default().push(candidate);
            }
        }
        Ok(by_subject)
    }

    /// Returns the manifests of which only their bytes tell to what they refer, since another program listed them, or an index below
    /// the layout's own.
    async fn candidates(&self, index: &Arc<Index>) -> Result<Vec<(usize, Descriptor)>> {
        let mut candidates: Vec<_> = index
            .listed()
            .filter(|(_, listed)| listed.may_refer() && listed.subject == SubjectHint::Unknown)
            .map(|(position, listed)| (position, listed.descriptor()))
            .collect();
        let indexes = index.listed().filter(|(_, listed)| listed.is_index());
        let mut indexes: Vec<_> = indexes.map(|(_, listed)| listed.descriptor()).collect();
        let mut seen: HashSet<Digest> = indexes.iter().map(|parent| parent.digest.clone()).collect();
        while let Some(parent) = indexes.pop() {
            let Some(links) = self.links(&parent).await? else { continue };
            for child in &links.children {
                let is_listed =
                    index.find(&child.digest.clone().into()).is_some_and(|listed| listed.may_refer());
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

    /// Returns the subject that a candidate's bytes state.
    async fn subject_of(
        &self,
        candidate: (usize, Descriptor),
    ) -> Result<Option<(Digest, (usize, Descriptor))>> {
        let links = match self.links(&candidate.1).await {
            // What is listed and no manifest refers to nothing.
            Err(error) if error.kind() == ErrorKind::TooLarge => None,
            links => links?,
        };
        let subject = links.and_then(|links| links.subject.as_ref().map(|subject| subject.digest.clone()));
        Ok(subject.map(|subject| (subject, candidate)))
    }

    /// Returns the manifest with artifact type and annotations if its bytes say that it refers to the subject.
    async fn judge(&self, descriptor: Descriptor, subject: Digest) -> Result<Option<Descriptor>> {
        let raw = match self.verified_manifest(descriptor.digest.as_str(), &descriptor).await {
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
}

impl fmt::Debug for Referring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Referring")
    }
}
