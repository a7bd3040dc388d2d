//! Listing the referrers of a manifest from the index.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, MediaType};
use registry_backend::{ErrorKind, Result};
use tokio::sync::Mutex;

use crate::LayoutBackend;
use crate::index::{Index, SubjectHint};
use crate::manifests::may_refer;
use crate::reach::{PARALLEL, as_descriptor};

/// Who refers to whom in one state of the index: it is found out once, and not for every subject.
#[derive(Default)]
pub(crate) struct Referring {
    known: Mutex<Option<Known>>,
}

struct Known {
    index: Arc<Index>,
    by_subject: BySubject,
}

/// The manifests that say that they refer to a subject, in the order of the index.
type BySubject = HashMap<Digest, Vec<Descriptor>>;

/// A manifest that may be a referrer.
struct Candidate {
    descriptor: Descriptor,
    /// The subject that its entry states; without one, only its bytes tell.
    hint: Option<Digest>,
}

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

    /// Returns the manifests that say that they refer to the subject, each once.
    async fn referring(&self, index: &Arc<Index>, subject: &Digest) -> Result<Vec<Descriptor>> {
        let mut known = self.referring.known.lock().await;
        let known = match &mut *known {
            Some(known) if Arc::ptr_eq(&known.index, index) => known,
            other => {
                let by_subject = self.by_subject(index).await?;
                other.insert(Known { index: Arc::clone(index), by_subject })
            }
        };
        Ok(known.by_subject.get(subject).cloned().unwrap_or_default())
    }

    async fn by_subject(&self, index: &Arc<Index>) -> Result<BySubject> {
        let mut by_subject = BySubject::new();
        let asked = self.candidates(index).await?;
        let mut answers = stream::iter(asked).map(|candidate| self.subject_of(candidate)).buffered(PARALLEL);
        while let Some(answer) = answers.try_next().await? {
            if let Some((subject, descriptor)) = answer {
                by_subject.entry(subject).or_default().push(descriptor);
            }
        }
        Ok(by_subject)
    }

    /// Returns the manifests that may refer to others, each once: those whose entries say so, and those of which
    /// only their bytes tell, since another program listed them.
    async fn candidates(&self, index: &Arc<Index>) -> Result<Vec<Candidate>> {
        let mut seen = HashSet::new();
        let mut candidates = Vec::new();
        let mut indexes = Vec::new();
        for (_, listed) in index.listed() {
            if !may_refer(&listed.media_type) || !seen.insert(&listed.digest) {
                continue;
            }
            if listed.media_type.is_index() {
                indexes.push(as_descriptor(listed));
            }
            let hint = match &listed.subject {
                SubjectHint::None => continue,
                SubjectHint::Subject(hint) => Some(hint.clone()),
                SubjectHint::Unknown => None,
            };
            candidates.push(Candidate { descriptor: as_descriptor(listed), hint });
        }
        if indexes.is_empty() {
            return Ok(candidates);
        }
        let mut seen: HashSet<Digest> = seen.into_iter().cloned().collect();
        while let Some(parent) = indexes.pop() {
            let Some(links) = self.links(&parent).await? else { continue };
            for child in &links.children {
                if !may_refer(&child.media_type) || !seen.insert(child.digest.clone()) {
                    continue;
                }
                if child.media_type.is_index() {
                    indexes.push(child.clone());
                }
                candidates.push(Candidate { descriptor: child.clone(), hint: None });
            }
        }
        Ok(candidates)
    }

    /// Returns the subject that a candidate's entry states, or else its bytes.
    async fn subject_of(&self, candidate: Candidate) -> Result<Option<(Digest, Descriptor)>> {
        let Candidate { descriptor, hint } = candidate;
        if let Some(hint) = hint {
            return Ok(Some((hint, descriptor)));
        }
        let links = match self.links(&descriptor).await {
            // What is listed and no manifest refers to nothing.
            Err(error) if error.kind() == ErrorKind::TooLarge => None,
            links => links?,
        };
        let subject = links.and_then(|links| links.subject.as_ref().map(|subject| subject.digest.clone()));
        Ok(subject.map(|subject| (subject, descriptor)))
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
