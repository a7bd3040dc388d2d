//! Keeping the fallback tag up to date, though registries offer no way to do that safely.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_transfer::jittered;
use oci_model::{Descriptor, Digest, ImageIndex, Manifest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{ErrorKind, Result};

use crate::context::Context;
use crate::fallback_tag::fallback_tag;
use crate::profile::ReferrersMode;
use crate::registry::{Answer, ReferrersApi};
use crate::repository::Repository;

/// The operation in errors.
pub(super) const KEEPING: &str = "update the referrers of";

/// How often a change is made again after another writer overwrote it.
const MOST_ROUNDS: u32 = 8;

/// How long to wait before looking whether another writer overwrote a change: no registry honours `If-Match`, so that
/// one who read the old index may still write. It is several times what a reader takes to become a writer.
const SETTLING: Duration = Duration::from_millis(250);

/// One lock for each subject whose fallback tag is being changed, so that writers of one process take turns.
#[derive(Debug, Default)]
pub(crate) struct SubjectLocks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl SubjectLocks {
    fn of(&self, subject: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(subject.to_owned()).or_default().clone()
    }
}

impl Repository {
    /// After a manifest was stored: lists it under the fallback tag of its subject, unless the registry has taken note
    /// by itself (distribution-spec, "Pushing Manifests with Subject").
    pub(crate) async fn list_among_referrers(
        &self,
        manifest: &RawManifest,
        parsed: &Manifest,
        answer: &Answer,
    ) -> Result<()> {
        let Some(subject) = parsed.subject() else { return Ok(()) };
        if answer.header("oci-subject").is_some() {
            self.registry().note_referrers_api(true);
            return Ok(());
        }
        let subject = &subject.digest;
        if self.profile().referrers == ReferrersMode::ApiWithoutSubjectHeader
            && self.is_listed(subject, manifest.digest()).await?
        {
            return Ok(());
        }
        let mut entry = manifest.descriptor();
        entry.artifact_type = parsed.effective_artifact_type().cloned();
        entry.annotations = parsed.annotations().clone();
        self.change_fallback(subject, &Change::Add(&entry)).await
    }

    /// After a manifest was deleted: removes it from the fallback tag of its subject, if it is listed there.
    pub(crate) async fn remove_from_referrers(&self, subject: &Digest, referrer: &Digest) -> Result<()> {
        if self.registry().referrers_api() == ReferrersApi::Present {
            return Ok(());
        }
        self.change_fallback(subject, &Change::Remove(referrer)).await
    }

    async fn is_listed(&self, subject: &Digest, referrer: &Digest) -> Result<bool> {
        use futures::TryStreamExt;
        let mut listed = self.referrers(subject, None);
        while let Some(descriptor) = listed.try_next().await? {
            if descriptor.digest == *referrer {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn change_fallback(&self, subject: &Digest, change: &Change<'_>) -> Result<()> {
        let context = self.context(KEEPING, subject);
        let tag = fallback_tag(subject)
            .ok_or_else(|| context.error(ErrorKind::Unsupported).because("its digest fits into no tag"))?;
        let lock = self.registry().subject_locks().of(&format!("{}@{subject}", self.name()));
        let _turn = lock.lock().await;
        for round in 0..MOST_ROUNDS {
            let index = self.fallback_index(subject, &context).await?;
            let Some(changed) = change.applied(index) else {
                if round == 0 {
                    return Ok(());
                }
                // It was written in the round before; it has to be there still when others have had their turn.
                tokio::time::sleep(self.settling()).await;
                let index = self.fallback_index(subject, &context).await?;
                if change.applied(index).is_none() {
                    return Ok(());
                }
                continue;
            };
            if round > 0 {
                tokio::time::sleep(jittered(self.settling())).await;
            }
            self.put_index(&tag, changed, &context).await?;
        }
        Err(context.error(ErrorKind::Conflict).because("other writers keep overwriting the list"))
    }

    /// Stores the index. A registry that looks for what it lists refuses entries whose manifests were deleted by others:
    /// they are taken out.
    async fn put_index(&self, tag: &Tag, mut index: ImageIndex, context: &Context) -> Result<()> {
        let at = ManifestRef::Tag(tag.clone());
        let raw = RawManifest::from_index(&index);
        self.check_index_size(&raw, context)?;
        match self.put_manifest(&at, &raw, context).await {
            Err(error) if error.kind() == ErrorKind::Incomplete => {}
            other => return other.map(drop),
        }
        let mut present = Vec::new();
        for entry in index.manifests {
            if self.stat_manifest(&entry.digest.clone().into()).await?.is_some() {
                present.push(entry);
            }
        }
        index.manifests = present;
        self.put_manifest(&at, &RawManifest::from_index(&index), context).await.map(drop)
    }

    fn settling(&self) -> Duration {
        // A registry on this machine answers in a millisecond; the first wait between tries is the profile's measure.
        SETTLING.min(self.rules().first_wait)
    }

    fn check_index_size(&self, raw: &RawManifest, context: &Context) -> Result<()> {
        let limit = self.profile().capabilities.max_manifest_bytes;
        if raw.bytes().len() as u64 <= limit {
            return Ok(());
        }
        Err(context
            .error(ErrorKind::TooLarge)
            .because(format!("the list would have more than {limit} bytes")))
    }
}

/// A change of the index under a fallback tag.
enum Change<'a> {
    Add(&'a Descriptor),
    Remove(&'a Digest),
}

impl Change<'_> {
    /// Returns the changed index, `None` if there is nothing to change.
    fn applied(&self, index: Option<ImageIndex>) -> Option<ImageIndex> {
        match self {
            Self::Add(entry) => {
                let mut index = index.unwrap_or_else(|| ImageIndex::new(Vec::new()));
                if index.manifests.iter().any(|listed| listed.digest == entry.digest) {
                    return None;
                }
                index.media_type = Some(MediaType::from_static(MediaType::IMAGE_INDEX));
                index.manifests.push((*entry).clone());
                Some(index)
            }
            Self::Remove(digest) => {
                let mut index = index?;
                let before = index.manifests.len();
                index.manifests.retain(|listed| listed.digest != **digest);
                (index.manifests.len() < before).then_some(index)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &[u8]) -> Descriptor {
        let media_type = MediaType::from_static(MediaType::IMAGE_MANIFEST);
        Descriptor::new(media_type, Digest::sha256_of(content), 1)
    }

    #[test]
    fn an_entry_is_listed_once() {
        let one = entry(b"1");
        let index = Change::Add(&one).applied(None).unwrap();
        assert_eq!(index.manifests, std::slice::from_ref(&one));
        assert!(Change::Add(&one).applied(Some(index.clone())).is_none());
        let two = entry(b"2");
        let both = Change::Add(&two).applied(Some(index)).unwrap();
        assert_eq!(both.manifests, [one.clone(), two.clone()]);
        let left = Change::Remove(&one.digest).applied(Some(both)).unwrap();
        assert_eq!(left.manifests, [two]);
        assert!(Change::Remove(&one.digest).applied(Some(left)).is_none());
        assert!(Change::Remove(&one.digest).applied(None).is_none());
    }

    #[test]
    fn one_subject_has_one_lock() {
        let locks = SubjectLocks::default();
        let one = locks.of("a");
        assert!(Arc::ptr_eq(&one, &locks.of("a")));
        assert!(!Arc::ptr_eq(&one, &locks.of("b")));
    }
}
