//! Deleting manifests and tags, by the distribution specification or around its gaps.

use std::hash::{BuildHasher, RandomState};

use async_trait::async_trait;
use http_transfer::{Method, StatusCode};
use oci_model::{Descriptor, Digest, ImageManifest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{BytesSource, ErrorKind, Pruner, RepositoryAdmin, Result, WriteHint};

use crate::context::Context;
use crate::registry::{SMALL_ANSWER, Sent};
use crate::repository::{Doing, Repository};

#[async_trait]
impl RepositoryAdmin for Repository {
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let context = self.context("delete manifest", digest);
        let at = ManifestRef::Digest(digest.clone());
        // Its content names its subject, and is gone afterwards.
        let manifest = match self.read_manifest(&at).await {
            Ok(manifest) => manifest,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(context.error(ErrorKind::NotFound));
            }
            Err(error) => return Err(error),
        };
        let subject = manifest.parse().ok().and_then(|parsed| parsed.subject().map(|own| own.digest.clone()));
        let deleted = self.delete_by_digest(digest, &context).await;
        let may_stay = subject.is_some() && !self.profile().capabilities.deletes_referrers;
        if may_stay && self.stat_manifest(&at).await?.is_some() {
            let reason =
                "the registry keeps a manifest with a subject: only deleting the whole repository removes it";
            return Err(context.error(ErrorKind::Unsupported).because(reason));
        }
        deleted?;
        match subject {
            Some(subject) => self.remove_from_referrers(&subject, digest).await,
            None => Ok(()),
        }
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        let context = self.context("delete tag", tag);
        let at = ManifestRef::Tag(tag.clone());
        if self.stat_manifest(&at).await?.is_none() {
            return Err(context.error(ErrorKind::NotFound));
        }
        if self.deleter().is_some() {
            return self.delete_tag_with_stand_in(tag, &context).await;
        }
        match self.delete(&at, &context).await {
            Err(error) if may_lack_tags(error.kind()) => self.delete_tag_with_stand_in(tag, &context).await,
            other => other,
        }
    }

    fn pruner(&self) -> Option<&dyn Pruner> {
        None
    }
}

impl Repository {
    async fn delete_by_digest(&self, digest: &Digest, context: &Context) -> Result<()> {
        match self.deleter() {
            Some(deleter) => deleter.delete_manifest(digest).await,
            None => self.delete(&ManifestRef::Digest(digest.clone()), context).await,
        }
    }

    async fn delete(&self, at: &ManifestRef, context: &Context) -> Result<()> {
        let call = self.manifest_call(Method::DELETE, at, Doing::Delete, context)?;
        let answer = self.registry().exchange(&call, Sent::Nothing, SMALL_ANSWER, context).await?;
        let good = [StatusCode::ACCEPTED, StatusCode::OK, StatusCode::NO_CONTENT];
        self.registry().expect(answer, &good, context).map(drop)
    }

    /// Deletes a tag where only manifests can be deleted: moves the tag to a stand-in, a manifest that exists for this
    /// purpose alone, and deletes that (as regclient does, scheme/reg/tag.go).
    ///
    /// A first stand-in without the tag shows whether manifests can be deleted at all. Otherwise the tag could end up
    /// at the stand-in.
    async fn delete_tag_with_stand_in(&self, tag: &Tag, context: &Context) -> Result<()> {
        let empty = BytesSource::new(Descriptor::EMPTY_CONTENT);
        self.write_blob(&empty, &WriteHint::default()).await?;
        let first = stand_in(1);
        let first_at = ManifestRef::Digest(first.digest().clone());
        self.put_manifest(&first_at, &first, context).await?;
        self.delete_by_digest(first.digest(), context).await?;
        let second = stand_in(2);
        self.put_manifest(&tag.clone().into(), &second, context).await?;
        self.delete_by_digest(second.digest(), context).await
    }
}

/// Tells whether a registry that refuses to delete a tag may still delete manifests: it answers 405, or 400 because a
/// tag is not a digest.
fn may_lack_tags(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unsupported | ErrorKind::Invalid | ErrorKind::Protocol)
}

/// Returns a unique manifest.
fn stand_in(number: u64) -> RawManifest {
    let media_type = MediaType::from_static("application/vnd.distribution-client.deleted");
    let mut manifest = ImageManifest::new(media_type, Descriptor::empty());
    manifest.layers.push(Descriptor::empty());
    let unique =
        format!("{:016x}{:016x}", RandomState::new().hash_one(number), RandomState::new().hash_one(!number));
    manifest.annotations.insert("distribution-client.unique".to_owned(), unique);
    RawManifest::from_image(&manifest)
}
