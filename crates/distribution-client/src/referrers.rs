//! Referrers: listed by the registry's API, or kept under the fallback tag (distribution-spec, "Listing Referrers" and
//! "Referrers Tag Schema").

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http_transfer::{Answer, HeaderValue, Method, StatusCode, jittered};
use oci_model::{Descriptor, Digest, ImageIndex, Manifest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{ErrorKind, Result, Subjects};
use reqwest::header::{ACCEPT, CONTENT_TYPE};

use crate::context::Context;
use crate::lists::{Pages, unreadable};
use crate::profile::ReferrersMode;
use crate::registry::ReferrersApi;
use crate::repository::{Doing, Repository};

/// The most referrers of one subject that are listed.
const MOST_REFERRERS: usize = 200_000;

/// The most manifests that are read because a list of referrers lacks their artifact types.
const MOST_READ_FOR_TYPES: usize = 100;

/// The operation of a writer of the fallback tag, in errors.
const UPDATING: &str = "update the referrers of";

/// How often the index is read, at most, until a change is there to stay.
const MOST_ROUNDS: u32 = 30;

/// How often in a row a writer with rivals must find its change.
const CONFIRMATIONS: u32 = 3;

/// The wait before a writer reads its change back. No registry honours `If-Match`, so a writer that read the old index may still
/// write. The wait is several times as long as a writer takes from reading to writing.
const SETTLING: Duration = Duration::from_millis(250);

/// How many times as long as this writer others may take from reading to writing.
const SLOWNESS: u32 = 4;

/// The longest wait before a change is read back.
const LONGEST_SETTLING: Duration = Duration::from_secs(10);

impl Repository {
    /// Lists the manifests whose `subject` is this digest, each once; only those of one artifact type if it is given.
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'static, Result<Descriptor>> {
        let (repository, subject, artifact_type) = (self.clone(), subject.clone(), artifact_type.cloned());
        let listed = async move {
            let context = repository.context("list referrers of", &subject);
            let found = repository.find_referrers(&subject, artifact_type.as_ref(), &context).await?;
            Ok(stream::iter(found.into_iter().map(Ok)))
        };
        let listed: Pin<Box<dyn Future<Output = Result<_>> + Send>> = Box::pin(listed);
        stream::once(listed).try_flatten().boxed()
    }

    /// Tells which manifests may have referrers, if the registry keeps referrers under tags.
    ///
    /// # Errors
    ///
    /// As [`tags`](Self::tags).
    pub async fn subjects(&self) -> Result<Option<Subjects>> {
        if self.profile().referrers != ReferrersMode::FallbackTag {
            if self.registry().referrers_api() == ReferrersApi::Unknown {
                let any = Digest::sha256_of(b"");
                self.referrers_by_api(&any, None, &self.context("list referrers of", &any)).await?;
            }
            if self.registry().referrers_api() != ReferrersApi::Absent {
                return Ok(None);
            }
        }
        let tags = self.fallback_tags().await?;
        Ok(Some(Box::new(move |subject| fallback_tag(subject).is_none_or(|tag| tags.contains(&tag)))))
    }

    async fn find_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        context: &Context,
    ) -> Result<Vec<Descriptor>> {
        let by_api = match self.profile().referrers {
            ReferrersMode::FallbackTag => None,
            _ if self.registry().referrers_api() == ReferrersApi::Absent => None,
            _ => self.referrers_by_api(subject, artifact_type, context).await?,
        };
        let mut found = match by_api {
            Some(found) => found,
            None => {
                self.fallback_index(subject, context).await?.map(|index| index.manifests).unwrap_or_default()
            }
        };
        self.add_types(&mut found).await?;
        let mut seen = HashSet::new();
        found.retain(|descriptor| {
            // A registry may ignore the filter (distribution-spec, "Listing Referrers").
            let fits = artifact_type.is_none() || descriptor.artifact_type.as_ref() == artifact_type;
            fits && seen.insert(descriptor.digest.clone())
        });
        Ok(found)
    }

    /// Adds the artifact types that a list lacks. Quay states none for a manifest whose type is that of its configuration
    /// (distribution-spec, "Listing Referrers", asks for it).
    async fn add_types(&self, found: &mut [Descriptor]) -> Result<()> {
        let lacking = found.iter_mut().filter(|descriptor| descriptor.artifact_type.is_none());
        for descriptor in lacking.take(MOST_READ_FOR_TYPES) {
            match self.read_manifest(&descriptor.digest.clone().into()).await {
                Ok(raw) => {
                    let parsed = raw.parse().ok();
                    descriptor.artifact_type =
                        parsed.and_then(|manifest| manifest.effective_artifact_type().cloned());
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Asks the API; `None` if the registry has none.
    async fn referrers_by_api(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        context: &Context,
    ) -> Result<Option<Vec<Descriptor>>> {
        let mut call = self.call(Method::GET, format_args!("referrers/{subject}"), Doing::Read, context)?;
        if let Some(artifact_type) = artifact_type {
            call = call.with_parameter("artifactType", artifact_type.as_str());
        }
        let call = call.with_header(ACCEPT, HeaderValue::from_static(MediaType::IMAGE_INDEX));
        let mut pages = Pages::new(self.registry().clone(), call, context.clone());
        let mut found: Vec<Descriptor> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let page = match pages.next_page().await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(Some(found)),
                // Quay answers 400 for an unknown subject. Registries without the API answer as to any unknown path.
                Err(error) if found.is_empty() && is_no_support(error.kind()) => {
                    if error.kind() != ErrorKind::Invalid {
                        self.registry().note_referrers_api(false);
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            match read_page(&page, context)? {
                Page::Referrers(more) => {
                    let new = more.iter().filter(|descriptor| seen.insert(descriptor.digest.clone())).count();
                    pages.note(new)?;
                    found.extend(more);
                }
                Page::NoRepository => return Ok(None),
                Page::NoSupport => {
                    self.registry().note_referrers_api(false);
                    return Ok(None);
                }
            }
            self.registry().note_referrers_api(true);
            if found.len() > MOST_REFERRERS {
                return Err(context.protocol(format!("it has more than {MOST_REFERRERS} referrers")));
            }
        }
    }

    /// Reads the index under the fallback tag; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if something else is there: GitLab's registry serves the subject itself.
    pub(crate) async fn fallback_index(
        &self,
        subject: &Digest,
        context: &Context,
    ) -> Result<Option<ImageIndex>> {
        let Some(tag) = fallback_tag(subject) else { return Ok(None) };
        let raw = match self.read_manifest(&tag.clone().into()).await {
            Ok(raw) => raw,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match raw.parse() {
            Ok(oci_model::Manifest::Index(index)) => Ok(Some(index)),
            // A reader finds no referrers there. A writer must not overwrite it.
            Ok(_) if context.operation != UPDATING => Ok(None),
            Ok(_) => {
                let reason = format!("expected an index under the fallback tag {tag}, found something else");
                Err(context.error(ErrorKind::Conflict).because(reason))
            }
            Err(error) => Err(context
                .error(ErrorKind::Invalid)
                .because(format!("the tag {tag}: {error}"))
                .caused_by(error)),
        }
    }
}

enum Page {
    Referrers(Vec<Descriptor>),
    NoRepository,
    NoSupport,
}

fn is_no_support(kind: ErrorKind) -> bool {
    // GHCR redirects to a page of a web site, which counts as a protocol error.
    matches!(kind, ErrorKind::Unsupported | ErrorKind::Invalid | ErrorKind::Protocol | ErrorKind::NotFound)
}

/// Reads a page. Only an index is an answer of the API.
fn read_page(answer: &Answer, context: &Context) -> Result<Page> {
    if answer.status == StatusCode::NOT_FOUND {
        let body = String::from_utf8_lossy(&answer.body);
        return Ok(if body.contains("NAME_UNKNOWN") { Page::NoRepository } else { Page::NoSupport });
    }
    let content_type = answer.header(CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next());
    if content_type.map(str::trim) != Some(MediaType::IMAGE_INDEX) {
        return Ok(Page::NoSupport);
    }
    let index: ImageIndex = serde_json::from_slice(&answer.body)
        .map_err(|error| unreadable(answer, "an index of referrers", error, context))?;
    // Manifests are read leniently. Here a damaged answer must not look like one that lists no referrers.
    if index.schema_version != 2 {
        return Err(context.protocol("expected an index of referrers with schema version 2, found none"));
    }
    Ok(Page::Referrers(index.manifests))
}

/// Returns the tag for the referrers of a subject: the algorithm cut to 32 characters and the encoded part cut to 64,
/// with `-` for characters that a tag cannot have (distribution-spec, "Referrers Tag Schema").
fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let fitting = |text: &str, limit| -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        text.chars().take(limit).map(|c| if allowed(c) { c } else { '-' }).collect()
    };
    let text = format!("{}-{}", fitting(subject.algorithm_name(), 32), fitting(subject.encoded(), 64));
    text.parse().ok()
}

impl Repository {
    /// Lists a manifest that was stored under the fallback tag of its subject, unless the registry lists it itself
    /// (distribution-spec, "Pushing Manifests with Subject").
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

    /// Removes a manifest that was deleted from the fallback tag of its subject.
    pub(crate) async fn remove_from_referrers(&self, subject: &Digest, referrer: &Digest) -> Result<()> {
        if self.registry().referrers_api() == ReferrersApi::Present {
            return Ok(());
        }
        self.change_fallback(subject, &Change::Remove(referrer)).await
    }

    async fn is_listed(&self, subject: &Digest, referrer: &Digest) -> Result<bool> {
        let mut listed = self.referrers(subject, None);
        while let Some(descriptor) = listed.try_next().await? {
            if descriptor.digest == *referrer {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Changes the index under the fallback tag until the change is there to stay.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if other writers keep overwriting it.
    async fn change_fallback(&self, subject: &Digest, change: &Change<'_>) -> Result<()> {
        let context = self.context(UPDATING, subject);
        let tag = fallback_tag(subject).ok_or_else(|| {
            context.error(ErrorKind::Unsupported).because("its digest does not fit into a tag")
        })?;
        let lock = self.registry().subject_locks().of(&format!("{}@{subject}", self.name()));
        let _turn = lock.lock().await;
        let mut settling = self.settling();
        let mut seen = Seen::default();
        let (mut written, mut has_rivals, mut confirmations) = (None, false, 0);
        for _ in 0..MOST_ROUNDS {
            let began = Instant::now();
            let index = self.fallback_index(subject, &context).await?;
            let lost = self.dropped(&mut seen, index.as_ref(), change).await?;
            let is_restored = !lost.is_empty();
            let restored = restore(index, lost);
            let changed = match change.applied(restored.clone()) {
                None if !is_restored => {
                    let Some(written) = &written else { return Ok(()) };
                    has_rivals |= restored.as_ref().map(digests) != Some(Vec::clone(written));
                    confirmations += 1;
                    if !has_rivals || confirmations >= CONFIRMATIONS {
                        return Ok(());
                    }
                    tokio::time::sleep(settling).await;
                    continue;
                }
                changed => changed.or(restored).unwrap_or_else(|| ImageIndex::new(Vec::new())),
            };
            has_rivals |= written.is_some();
            confirmations = 0;
            written = Some(digests(&changed));
            self.put_index(&tag, changed, &context).await?;
            // A slow network makes other writers slow too.
            settling = settling.max(began.elapsed() * SLOWNESS).min(LONGEST_SETTLING);
            tokio::time::sleep(if has_rivals { jittered(settling * 2) } else { settling }).await;
        }
        Err(context.error(ErrorKind::Conflict).because("other writers keep overwriting the list"))
    }

    /// Returns entries that were in the index before, are not in it now, and whose manifests exist. A writer that had read an
    /// older index dropped them, and their own writers may have left.
    async fn dropped(
        &self,
        seen: &mut Seen,
        index: Option<&ImageIndex>,
        change: &Change<'_>,
    ) -> Result<Vec<Descriptor>> {
        let entries = index.map(|index| index.manifests.as_slice()).unwrap_or_default();
        let present: HashSet<&Digest> = entries.iter().map(|entry| &entry.digest).collect();
        let mut lost = Vec::new();
        for (digest, entry) in &seen.0 {
            let is_removed = matches!(change, Change::Remove(removed) if *removed == digest);
            if !is_removed
                && !present.contains(digest)
                && self.stat_manifest(&digest.clone().into()).await?.is_some()
            {
                lost.push(entry.clone());
            }
        }
        seen.0.extend(entries.iter().map(|entry| (entry.digest.clone(), entry.clone())));
        Ok(lost)
    }

    /// Stores the index. Some registries refuse entries whose manifests were deleted: these are removed.
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
        // A registry on this machine answers in a millisecond. The first wait between tries reflects that.
        SETTLING.min(self.profile().retry.first_wait)
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

/// The entries of an index that a writer has seen, by digest.
#[derive(Default)]
struct Seen(BTreeMap<Digest, Descriptor>);

/// Adds entries at the end of an index.
fn restore(index: Option<ImageIndex>, lost: Vec<Descriptor>) -> Option<ImageIndex> {
    if lost.is_empty() {
        return index;
    }
    let mut index = index.unwrap_or_else(|| ImageIndex::new(Vec::new()));
    index.media_type = Some(MediaType::from_static(MediaType::IMAGE_INDEX));
    index.manifests.extend(lost);
    Some(index)
}

fn digests(index: &ImageIndex) -> Vec<Digest> {
    index.manifests.iter().map(|entry| entry.digest.clone()).collect()
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
    use crate::lists::is_fallback_tag;

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
    fn the_tag_is_that_of_the_specification() {
        let sha256 = Digest::sha256_of(b"");
        let tag = fallback_tag(&sha256).unwrap();
        assert_eq!(tag.as_str(), format!("sha256-{}", sha256.encoded()));
        assert!(is_fallback_tag(&tag));
        let sha512: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        let tag = fallback_tag(&sha512).unwrap();
        assert_eq!(tag.as_str(), format!("sha512-{}", "ab".repeat(32)));
        assert!(is_fallback_tag(&tag));
        let odd: Digest =
            format!("test+algorithm+using+algorithm+separators+and+lots+of+characters:{}", "=".repeat(90))
                .parse()
                .unwrap();
        let expected = format!("test-algorithm-using-algorithm-s-{}", "-".repeat(64));
        assert_eq!(fallback_tag(&odd).unwrap().as_str(), expected);
    }

    #[test]
    fn tags_of_signatures_are_tags_like_any_other() {
        for text in [format!("sha256-{}.sig", "a".repeat(64)), "sha256-abc".to_owned(), "latest".to_owned()] {
            assert!(!is_fallback_tag(&text.parse().unwrap()), "{text}");
        }
    }
}
