//! Mirroring a repository: its tags, and everything that they name, into another repository.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use d1_package::ArtifactState;
use d1_package::annotations::{D1_IDENTIFIER, D1_RESOURCE_MAP};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Digest, ManifestRef, RawManifest, RepositoryName, Tag};
use registry_backend::{ErrorKind, RegistryBackend, RegistryBackendExt, Subjects, TagEntry};
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::copy::{CopyOptions, Facts, copy_known, parse, require_public};
use crate::error::{Error, Result, with_causes};
use crate::event::{Event, Observer};
use crate::kept::is_tag_of_digest;
use crate::known::Known;
use crate::tagged::{ReferrerBudget, concerns_content, referrers};
use crate::tombstone::{Tombstones, is_tombstone_tag};

/// Options of a mirror run.
#[derive(Clone)]
#[non_exhaustive]
pub struct MirrorOptions {
    /// Chooses tags; without it, all tags are mirrored.
    pub wanted: Option<TagFilter>,
    /// The referrers to copy.
    pub referrers: MirroredReferrers,
    /// Whether to delete tags of the target that the source lacks. Tags that are derived from digests stay, and so do tombstones.
    pub delete: bool,
    /// Whether to report without changing the target.
    pub dry_run: bool,
    /// The source repository, if both are on one registry. Its blobs are mounted.
    pub mount_from: Option<RepositoryName>,
    /// As [`CopyOptions::include_withdrawn`]. Then tombstones of the target may be deleted too.
    pub include_withdrawn: bool,
    /// As [`CopyOptions::forget_moved`].
    pub forget_moved: bool,
    /// As [`CopyOptions::include_private`]. Without it, such artifacts are left out and reported.
    pub include_private: bool,
    /// Whether a tag of the target stays if it names a package with equal content in the same state.
    pub keep_equal: bool,
    /// How many tags to work on at once.
    pub parallel: usize,
    /// The digests that tags of the target have, from an earlier run. They replace requests to a target whose list of tags has no
    /// digests.
    pub known: HashMap<Tag, Digest>,
}

/// Tells whether a tag is wanted.
pub type TagFilter = Arc<dyn Fn(&Tag) -> bool + Send + Sync>;

/// The referrers that a mirror run copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MirroredReferrers {
    /// None.
    None,
    /// Those of artifacts that the target lacks.
    #[default]
    OfNew,
    /// Those of all mirrored artifacts: one more request for each tag.
    OfAll,
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self {
            wanted: None,
            referrers: MirroredReferrers::default(),
            delete: false,
            dry_run: false,
            mount_from: None,
            include_withdrawn: false,
            forget_moved: false,
            include_private: false,
            keep_equal: false,
            parallel: 8,
            known: HashMap::new(),
        }
    }
}

impl fmt::Debug for MirrorOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { referrers, delete, dry_run, mount_from, forget_moved, .. } = self;
        formatter
            .debug_struct("MirrorOptions")
            .field("referrers", referrers)
            .field("delete", delete)
            .field("dry_run", dry_run)
            .field("mount_from", mount_from)
            .field("forget_moved", forget_moved)
            .field("include_private", &self.include_private)
            .field("keep_equal", &self.keep_equal)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}

/// The result of a mirror run.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MirrorReport {
    /// Whether the target was not changed.
    pub dry_run: bool,
    /// Copied tags. In a dry run, those to copy.
    pub copied: Vec<MirroredTag>,
    /// Number of tags that already named the same manifest.
    pub unchanged: u64,
    /// Number of tags that name another manifest with equal content, and stayed.
    pub equal: u64,
    /// Tags of artifacts with objects that not everybody may read. They were left out.
    pub not_public: Vec<Tag>,
    /// Deleted tags. In a dry run, those to delete.
    pub deleted: Vec<Tag>,
    /// Tags that could not be mirrored.
    pub failed: Vec<FailedTag>,
    /// Number of bytes sent.
    pub sent_bytes: u64,
}

/// A tag that was copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MirroredTag {
    /// The tag.
    pub tag: Tag,
    /// The digest that it names.
    pub digest: Digest,
    /// The digest that the tag of the target named before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former: Option<Digest>,
}

/// A tag that could not be mirrored.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailedTag {
    /// The tag.
    pub tag: Tag,
    /// The reason, with its causes.
    pub message: String,
    /// The error.
    #[serde(skip)]
    pub error: Error,
}

/// The outcome for one tag.
enum Outcome {
    Copied(MirroredTag, u64),
    Unchanged(u64),
    /// The target has a package with equal content in the same state.
    Equal,
    /// Not everybody may read the objects of the artifact.
    NotPublic,
    /// The tag was deleted at the source meanwhile.
    Gone,
}

/// How many tags of one repository are mirrored at most.
const MOST_TAGS: usize = 10_000_000;

/// Mirrors the tags of one repository into another: only those whose manifest is missing or differs. `done` is called with
/// each tag that the target has.
///
/// A tag whose content cannot be read or stored is reported, and the run goes on. A failure of a whole store ends the run.
///
/// # Errors
///
/// Fails if the tags cannot be listed. [`Error::Options`] if tags are to be deleted and the source has none: an empty answer
/// must not empty the target.
pub async fn mirror(
    from: &dyn RegistryBackend,
    to: &dyn RegistryBackend,
    options: &MirrorOptions,
    observer: &Arc<dyn Observer>,
    done: &(dyn Fn(&Tag, &Digest) + Sync),
) -> Result<MirrorReport> {
    let sources = wanted(list(from.tags(), from).await?, options);
    if options.delete && sources.is_empty() {
        return Err(Error::Options { reason: "the source has no such tags: nothing is deleted" });
    }
    let mut others = from.other_names();
    while let Some((name, digest)) = others.try_next().await? {
        let text = format!(
            "not mirrored: {digest} has the name `{name}`, which cannot be a tag; `copy` takes it by digest"
        );
        observer.event(&Event::Warning(&text));
    }
    let targets = list(to.tags_if_any(), to).await?;
    let tombstones =
        targets.iter().map(|entry| &entry.tag).filter(|tag| is_tombstone_tag(tag)).cloned().collect();
    let targets = wanted(targets, options).into_iter().map(|entry| (entry.tag, entry.digest)).collect();
    let names: HashSet<Tag> = sources.iter().map(|entry| entry.tag.clone()).collect();
    let run = Run {
        from,
        to,
        options,
        observer,
        targets,
        tombstones,
        known: Known::default(),
        subjects: OnceCell::new(),
    };
    let mut report = MirrorReport { dry_run: options.dry_run, ..MirrorReport::default() };
    let is_complete = run.all(sources, &mut report, done).await;
    if options.delete && is_complete {
        run.delete(&names, &mut report).await;
    }
    report.copied.sort_by(|left, right| left.tag.cmp(&right.tag));
    report.not_public.sort();
    Ok(report)
}

fn wanted(mut entries: Vec<TagEntry>, options: &MirrorOptions) -> Vec<TagEntry> {
    entries.retain(|entry| options.wanted.as_ref().is_none_or(|wanted| wanted(&entry.tag)));
    entries
}

async fn list(
    mut listed: BoxStream<'_, registry_backend::Result<TagEntry>>,
    backend: &dyn RegistryBackend,
) -> Result<Vec<TagEntry>> {
    let mut found = Vec::new();
    while let Some(entry) = listed.try_next().await? {
        found.push(entry);
        if found.len() > MOST_TAGS {
            return Err(registry_backend::Error::new(ErrorKind::TooLarge, "mirror", backend)
                .because(format!("expected at most {MOST_TAGS} tags"))
                .into());
        }
    }
    Ok(found)
}

struct Run<'a> {
    from: &'a dyn RegistryBackend,
    to: &'a dyn RegistryBackend,
    options: &'a MirrorOptions,
    observer: &'a Arc<dyn Observer>,
    /// The tags of the target, with their digests if its list states them.
    targets: HashMap<Tag, Option<Digest>>,
    /// The tags of its tombstones.
    tombstones: HashSet<Tag>,
    /// The blobs that the target has for certain.
    known: Known,
    /// The manifests of the source that may have referrers, once a copy asked for them.
    subjects: OnceCell<Option<Subjects>>,
}

/// A tag of the source, as far as it is known.
struct Source {
    tag: Tag,
    digest: Digest,
    /// The manifest, if it has been read.
    raw: Option<RawManifest>,
}

impl Run<'_> {
    /// Mirrors all tags. Returns `false` if the run ended early.
    async fn all(
        &self,
        sources: Vec<TagEntry>,
        report: &mut MirrorReport,
        done: &(dyn Fn(&Tag, &Digest) + Sync),
    ) -> bool {
        let work = sources.into_iter().map(|entry| {
            let tag = entry.tag.clone();
            async move { (tag, self.one(entry, done).await) }
        });
        let mut results = futures::stream::iter(work).buffer_unordered(self.options.parallel.max(1));
        while let Some((tag, result)) = results.next().await {
            match result {
                Ok(Outcome::Copied(copied, bytes)) => {
                    report.copied.push(copied);
                    report.sent_bytes += bytes;
                }
                Ok(Outcome::Unchanged(bytes)) => {
                    report.unchanged += 1;
                    report.sent_bytes += bytes;
                }
                Ok(Outcome::Equal) => report.equal += 1,
                Ok(Outcome::NotPublic) => report.not_public.push(tag),
                Ok(Outcome::Gone) => {}
                Err(error) => {
                    let goes_on = concerns_tag(&error);
                    report.failed.push(FailedTag { tag, message: with_causes(&error), error });
                    if !goes_on {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Looks at a tag of the source. Returns `None` if it is gone.
    ///
    /// The digest is enough if the target has the tag too. Otherwise the manifest is needed, which has the digest.
    async fn look(&self, entry: TagEntry) -> Result<Option<Source>> {
        let TagEntry { tag, digest, .. } = entry;
        if let Some(digest) = digest {
            return Ok(Some(Source { tag, digest, raw: None }));
        }
        let at = ManifestRef::Tag(tag.clone());
        if self.targets.contains_key(&tag) {
            let found = self.from.stat_manifest(&at).await?;
            return Ok(found.map(|found| Source { tag, digest: found.digest, raw: None }));
        }
        match self.from.read_manifest(&at).await {
            Ok(raw) => Ok(Some(Source { tag, digest: raw.digest().clone(), raw: Some(raw) })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the digest that a tag of the target names.
    async fn former(&self, tag: &Tag, digest: &Digest) -> Result<Option<Digest>> {
        Ok(match self.targets.get(tag) {
            None => None,
            Some(Some(listed)) => Some(listed.clone()),
            Some(None) => match self.options.known.get(tag) {
                Some(known) if known == digest => Some(known.clone()),
                _ => self.to.stat_manifest(&tag.clone().into()).await?.map(|found| found.digest),
            },
        })
    }

    async fn one(&self, entry: TagEntry, done: &(dyn Fn(&Tag, &Digest) + Sync)) -> Result<Outcome> {
        let Some(Source { tag, digest, raw }) = self.look(entry).await? else { return Ok(Outcome::Gone) };
        let former = self.former(&tag, &digest).await?;
        if former.as_ref() == Some(&digest) {
            let sent = match self.options.referrers {
                MirroredReferrers::OfAll if !self.options.dry_run => self.new_referrers(&digest).await?,
                _ => 0,
            };
            done(&tag, &digest);
            return Ok(Outcome::Unchanged(sent));
        }
        let raw = match raw {
            Some(raw) => raw,
            None => self.from.read_manifest(&ManifestRef::Digest(digest.clone())).await?,
        };
        if let (true, Some(former)) = (self.options.keep_equal, &former)
            && self.is_equal(&raw, former).await?
        {
            return Ok(Outcome::Equal);
        }
        let copied = MirroredTag { tag: tag.clone(), digest: digest.clone(), former };
        let result = match self.options.dry_run {
            // A copy would refuse this first.
            true => parse(&raw)
                .and_then(|manifest| require_public(&raw, &manifest, self.options.include_private))
                .map(|()| 0),
            false => self.copy(raw, vec![tag.clone()]).await,
        };
        match result {
            Ok(sent_bytes) => {
                if !self.options.dry_run {
                    done(&tag, &digest);
                }
                Ok(Outcome::Copied(copied, sent_bytes))
            }
            Err(Error::NotPublic { .. }) => Ok(Outcome::NotPublic),
            Err(error) => Err(error),
        }
    }

    /// Copies a manifest of the source with everything below it. Returns how many bytes were sent.
    async fn copy(&self, raw: RawManifest, tags: Vec<Tag>) -> Result<u64> {
        let mut options = CopyOptions::default();
        options.tags = tags;
        options.referrers = self.options.referrers != MirroredReferrers::None;
        options.mount_from.clone_from(&self.options.mount_from);
        options.forget_moved = self.options.forget_moved;
        options.include_private = self.options.include_private;
        let subjects = if options.referrers { self.subjects().await? } else { None };
        let facts = Facts { known: &self.known, tombstones: self.tombstones(), subjects };
        let copied = copy_known(self.from, raw, self.to, &options, self.observer, facts).await?;
        Ok(copied.sent_bytes)
    }

    /// Tells whether the source's artifact and that of the target are packages with equal content in the same state.
    async fn is_equal(&self, source: &RawManifest, former: &Digest) -> Result<bool> {
        let target = match self.to.read_manifest(&ManifestRef::Digest(former.clone())).await {
            Ok(target) => target,
            Err(error) if concerns_content(error.kind()) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let (Ok(source), Ok(target)) = (source.parse(), target.parse()) else { return Ok(false) };
        let (source, target) = (source.annotations(), target.annotations());
        let names_same =
            [D1_IDENTIFIER, D1_RESOURCE_MAP].iter().all(|key| source.get(*key) == target.get(*key));
        Ok(names_same
            && ArtifactState::of(source).is_equal_content_in_equal_state(&ArtifactState::of(target)))
    }

    fn tombstones(&self) -> Tombstones<'_> {
        if self.options.include_withdrawn {
            Tombstones::Ignored
        } else {
            Tombstones::Listed(&self.tombstones)
        }
    }

    async fn subjects(&self) -> Result<Option<&Subjects>> {
        Ok(self.subjects.get_or_try_init(|| self.from.subjects()).await?.as_ref())
    }

    /// Copies the referrers that the target lacks of an artifact that it has. Returns how many bytes were sent.
    async fn new_referrers(&self, subject: &Digest) -> Result<u64> {
        if self.subjects().await?.is_some_and(|may_be_one| !may_be_one(subject)) {
            return Ok(0);
        }
        let mut sent = 0;
        for referrer in referrers(self.from, subject, None, &ReferrerBudget::default()).await? {
            let at = ManifestRef::Digest(referrer.digest);
            if self.to.stat_manifest(&at).await?.is_none() {
                sent += self.copy(self.from.read_manifest(&at).await?, Vec::new()).await?;
            }
        }
        Ok(sent)
    }

    /// Deletes the tags of the target that the source lacks.
    async fn delete(&self, names: &HashSet<Tag>, report: &mut MirrorReport) {
        let keeps = |tag: &Tag| {
            let is_kept = !self.to.capabilities().keeps_moved_digests && is_tag_of_digest(tag);
            let is_tombstone = !self.options.include_withdrawn && self.tombstones.contains(tag);
            names.contains(tag) || is_kept || is_tombstone
        };
        let mut surplus: Vec<&Tag> = self.targets.keys().filter(|tag| !keeps(tag)).collect();
        surplus.sort();
        for tag in surplus {
            let deleted = match self.to.admin() {
                _ if self.options.dry_run => Ok(()),
                Some(admin) => admin.delete_tag(tag).await,
                None => Err(registry_backend::Error::new(ErrorKind::Unsupported, "delete tag", tag)),
            };
            match deleted {
                Ok(()) => report.deleted.push(tag.clone()),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let error = Error::from(error);
                    let message = with_causes(&error);
                    report.failed.push(FailedTag { tag: tag.clone(), message, error });
                }
            }
        }
    }
}

/// Tells whether a failure concerns one artifact, so that others may succeed.
fn concerns_tag(error: &Error) -> bool {
    match error {
        Error::Backend(source) | Error::Upload { source, .. } => concerns_content(source.kind()),
        _ => true,
    }
}
