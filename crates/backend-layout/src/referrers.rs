//! Listing the referrers of a manifest from the index.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, MediaType};
use registry_backend::{ErrorKind, Result};

use crate::LayoutBackend;
use crate::index::{Index, SubjectHint};
use crate::manifests::may_refer;
use crate::reach::{PARALLEL, as_descriptor};

/// A manifest that may be a referrer.
struct Candidate {
    descriptor: Descriptor,
    /// Whether its entry says that it is one.
    is_hinted: bool,
}

impl LayoutBackend {
    pub(crate) fn list_referrers(
        &self,
        subject: Digest,
        artifact_type: Option<MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        let listing = async move {
            let index = self.storage.index().await?;
            let candidates = self.candidates(&index, &subject).await?;
            let judged = stream::iter(candidates)
                .map(move |candidate| self.judge(candidate, subject.clone()))
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

    /// Returns the manifests that may refer to the subject, each once: those whose entries say so, and those of which
    /// only their bytes tell, since another program listed them.
    async fn candidates(&self, index: &Arc<Index>, subject: &Digest) -> Result<Vec<Candidate>> {
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
            let is_hinted = match &listed.subject {
                SubjectHint::None => continue,
                SubjectHint::Subject(hint) if hint != subject => continue,
                SubjectHint::Subject(_) => true,
                SubjectHint::Unknown => false,
            };
            candidates.push(Candidate { descriptor: as_descriptor(listed), is_hinted });
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
                candidates.push(Candidate { descriptor: child.clone(), is_hinted: false });
            }
        }
        Ok(candidates)
    }

    /// Returns the candidate with artifact type and annotations if its bytes say that it refers to the subject.
    async fn judge(&self, candidate: Candidate, subject: Digest) -> Result<Option<Descriptor>> {
        let Candidate { descriptor, is_hinted } = candidate;
        if !is_hinted {
            let links = match self.links(&descriptor).await {
                // What is listed and no manifest refers to nothing.
                Err(error) if error.kind() == ErrorKind::TooLarge => None,
                links => links?,
            };
            let refers =
                links.is_some_and(|links| links.subject.as_ref().is_some_and(|of| of.digest == subject));
            if !refers {
                return Ok(None);
            }
        }
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
