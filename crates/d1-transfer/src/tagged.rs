//! Walking the manifests of a repository: those with a tag, and those that are found from there. Each is read once.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend, TagEntry};

use crate::error::{Error, Result};

/// A manifest with a tag. If several tags name it, the first one counts.
#[derive(Clone, Debug)]
pub struct Tagged {
    /// The tag.
    pub tag: Tag,
    /// The manifest, as it is stored.
    pub raw: RawManifest,
    /// The manifest, parsed.
    pub manifest: Manifest,
}

/// An item of a walk.
#[derive(Debug)]
pub enum Met {
    /// A manifest.
    Artifact(Box<Tagged>),
    /// A tag whose manifest is missing or invalid.
    Unreadable {
        /// The tag.
        tag: Tag,
        /// Why the manifest cannot be read.
        error: BackendError,
    },
}

/// An item of a walk that leaves some manifests unread.
#[derive(Debug)]
pub enum Walked {
    /// A manifest that was read, or cannot be read.
    Met(Met),
    /// A manifest as the list of tags describes it, with its first tag.
    Described(Tag, Box<Descriptor>),
}

/// Walks the tags in the order of the store, beginning with the tag `first` if there is one.
///
/// Each manifest is requested by its tag. Asking for its digest first would need another request per tag.
///
/// # Errors
///
/// Fails if the tags cannot be listed, or the store fails.
pub fn walk(backend: &dyn RegistryBackend, first: Option<Tag>) -> BoxStream<'_, Result<Met>> {
    let listed = backend.tags().map_ok(|entry| (entry, None));
    let walked = walk_listed(backend, first, listed.boxed(), |_, _| true);
    let met = walked.try_filter_map(|walked| {
        let met = match walked {
            Walked::Met(met) => Some(met),
            Walked::Described(..) => None,
        };
        std::future::ready(Ok(met))
    });
    met.boxed()
}

/// As [`walk`], but where the list of tags describes a manifest, `reads` decides whether to read it.
///
/// # Errors
///
/// As [`walk`].
pub fn walk_described<'a>(
    backend: &'a dyn RegistryBackend,
    first: Option<Tag>,
    reads: impl Fn(&Tag, &Descriptor) -> bool + Send + 'a,
) -> BoxStream<'a, Result<Walked>> {
    walk_listed(backend, first, backend.described_tags(), reads)
}

/// A list of tags, with the descriptors that it states.
type Listed<'a> = BoxStream<'a, registry_backend::Result<(TagEntry, Option<Descriptor>)>>;

fn walk_listed<'a>(
    backend: &'a dyn RegistryBackend,
    first: Option<Tag>,
    listed: Listed<'a>,
    reads: impl Fn(&Tag, &Descriptor) -> bool + Send + 'a,
) -> BoxStream<'a, Result<Walked>> {
    let parallel = backend.capabilities().manifests_at_once();
    let guess = stream::iter(first.clone()).map(|tag| Ok((tag, true, None)));
    let mut listed_digests = HashSet::new();
    let listed = listed.try_filter(move |(TagEntry { tag, digest, .. }, _)| {
        // A list with digests shows which tags name the same manifest: it is read once.
        let is_new = digest.as_ref().is_none_or(|digest| listed_digests.insert(digest.clone()));
        std::future::ready(is_new && Some(tag) != first.as_ref())
    });
    let listed = listed.map_ok(move |(TagEntry { tag, .. }, described)| {
        let unread = described.filter(|descriptor| !reads(&tag, descriptor));
        (tag, false, unread)
    });
    let mut seen = HashSet::new();
    guess
        .chain(listed.map_err(crate::Error::from))
        .map_ok(move |(tag, is_guess, described)| async move {
            match described {
                Some(descriptor) => Ok(Some(Walked::Described(tag, Box::new(descriptor)))),
                None => Ok(read(backend, tag, is_guess).await?.map(Walked::Met)),
            }
        })
        .try_buffered(parallel)
        .try_filter_map(move |walked| {
            let walked = walked.filter(|walked| match walked {
                Walked::Met(Met::Artifact(tagged)) => seen.insert(tagged.raw.digest().clone()),
                Walked::Met(Met::Unreadable { .. }) => true,
                Walked::Described(_, descriptor) => seen.insert(descriptor.digest.clone()),
            });
            std::future::ready(Ok(walked))
        })
        .boxed()
}

/// Reads the manifest that a tag names. A guessed tag need not exist.
async fn read(backend: &dyn RegistryBackend, tag: Tag, is_guess: bool) -> Result<Option<Met>> {
    let at = ManifestRef::Tag(tag.clone());
    let error = match backend.read_manifest(&at).await {
        Ok(raw) => match raw.parse() {
            Ok(manifest) => return Ok(Some(Met::Artifact(Box::new(Tagged { tag, raw, manifest })))),
            Err(error) => BackendError::new(ErrorKind::Invalid, "read manifest", &at).caused_by(error),
        },
        Err(error) if is_guess && error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if concerns_content(error.kind()) => error,
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Met::Unreadable { tag, error }))
}

/// A manifest that a walk over a whole repository reached.
#[derive(Debug)]
pub(crate) struct Reached {
    /// A tag that names it, if the walk reached it by a tag.
    pub(crate) tag: Option<Tag>,
    /// Its digest. Unknown only if its tag names nothing readable.
    pub(crate) digest: Option<Digest>,
    /// The manifest, or why it cannot be read.
    pub(crate) manifest: registry_backend::Result<(RawManifest, Manifest)>,
}

/// Manifests to follow besides those with a tag and the children of indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Whether to follow referrers, and referrers of referrers.
    pub(crate) referrers: bool,
    /// Whether to include manifests without a tag, if the store lists them.
    pub(crate) untagged: bool,
}

/// How many manifests a walk over a whole repository reaches at most.
const MOST_MANIFESTS: usize = 1_000_000;

/// Walks all manifests of a repository, each once: those with a tag or another name, the children of indexes, and those that `extent`
/// adds.
///
/// # Errors
///
/// Fails if tags or referrers cannot be listed, or the store fails. An unreadable manifest is among the results.
pub(crate) fn walk_everything(
    backend: &dyn RegistryBackend,
    extent: Extent,
) -> BoxStream<'_, Result<Reached>> {
    let pruner = backend.admin().filter(|_| extent.untagged).and_then(|admin| admin.pruner());
    let listed = pruner.map_or_else(|| stream::empty().boxed(), |pruner| pruner.listed());
    let others = backend.other_names().map_ok(|(_, digest)| digest);
    let walk = Everything {
        backend,
        extent,
        tags: walk(backend, None),
        listed: others.chain(listed.map_ok(|listed| listed.digest)).boxed(),
        lists_all: pruner.is_some(),
        pending: VecDeque::new(),
        seen: HashSet::new(),
        budget: ReferrerBudget::default(),
    };
    stream::try_unfold(walk, |mut walk| async move { Ok(walk.next().await?.map(|reached| (reached, walk))) })
        .boxed()
}

struct Everything<'a> {
    backend: &'a dyn RegistryBackend,
    extent: Extent,
    tags: BoxStream<'a, Result<Met>>,
    /// Manifests under names that are not tags, and those that the store lists.
    listed: BoxStream<'a, registry_backend::Result<Digest>>,
    /// Whether `listed` has all manifests.
    lists_all: bool,
    /// Children and referrers that are still to be read.
    pending: VecDeque<Digest>,
    seen: HashSet<Digest>,
    budget: ReferrerBudget,
}

impl Everything<'_> {
    async fn next(&mut self) -> Result<Option<Reached>> {
        loop {
            let digest = match self.pending.pop_front() {
                Some(digest) => digest,
                None => match self.tags.try_next().await? {
                    Some(Met::Artifact(tagged)) => {
                        let Tagged { tag, raw, manifest } = *tagged;
                        if !self.see(raw.digest())? {
                            continue;
                        }
                        self.follow(raw.digest(), Some(&manifest)).await?;
                        let digest = Some(raw.digest().clone());
                        return Ok(Some(Reached { tag: Some(tag), digest, manifest: Ok((raw, manifest)) }));
                    }
                    Some(Met::Unreadable { tag, error }) => {
                        return Ok(Some(Reached { tag: Some(tag), digest: None, manifest: Err(error) }));
                    }
                    None => match self.listed.try_next().await? {
                        Some(digest) => digest,
                        None => return Ok(None),
                    },
                },
            };
            if !self.see(&digest)? {
                continue;
            }
            let at = ManifestRef::Digest(digest.clone());
            let parsed = |raw: RawManifest| match raw.parse() {
                Ok(manifest) => Ok((raw, manifest)),
                Err(error) => {
                    Err(BackendError::new(ErrorKind::Invalid, "read manifest", &at).caused_by(error))
                }
            };
            let manifest = self.backend.read_manifest(&at).await.and_then(parsed);
            if let Err(error) = &manifest
                && !concerns_content(error.kind())
            {
                return manifest.map(|_| None).map_err(Into::into);
            }
            self.follow(&digest, manifest.as_ref().ok().map(|(_, manifest)| manifest)).await?;
            return Ok(Some(Reached { tag: None, digest: Some(digest), manifest }));
        }
    }

    /// Notes a manifest. Returns `false` if the walk has reached it before.
    fn see(&mut self, digest: &Digest) -> Result<bool> {
        if self.seen.len() >= MOST_MANIFESTS {
            return Err(Error::TooDeep { digest: digest.clone() });
        }
        Ok(self.seen.insert(digest.clone()))
    }

    async fn follow(&mut self, digest: &Digest, manifest: Option<&Manifest>) -> Result<()> {
        self.pending
            .extend(manifest.into_iter().flat_map(Manifest::children).map(|child| child.digest.clone()));
        if self.extent.referrers {
            match referrers(self.backend, digest, None, &self.budget).await {
                // A damaged manifest keeps a layout from listing referrers. The layout lists the manifest itself, which is reported.
                Err(Error::Backend(error)) if self.lists_all && concerns_content(error.kind()) => {}
                found => self.pending.extend(found?.into_iter().map(|referrer| referrer.digest)),
            }
        }
        Ok(())
    }
}

/// A bound on the lists of referrers that one operation reads, all of them together. A hostile store can list referrers of
/// referrers without end.
#[derive(Debug)]
pub struct ReferrerBudget {
    referrers: AtomicUsize,
    bytes: AtomicUsize,
}

impl ReferrerBudget {
    /// Returns a budget of so many referrers with so many bytes of annotations.
    #[must_use]
    pub fn new(referrers: usize, bytes: usize) -> Self {
        Self { referrers: referrers.into(), bytes: bytes.into() }
    }

    /// Takes a referrer out of the budget. Returns `false` if the budget is spent.
    fn take(&self, referrer: &Descriptor) -> bool {
        let annotations = referrer.annotations.iter().map(|(key, value)| key.len() + value.len());
        let bytes = annotations.fold(0, usize::saturating_add);
        let spend = |left: &AtomicUsize, count: usize| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count)).is_ok()
        };
        spend(&self.referrers, 1) && spend(&self.bytes, bytes)
    }
}

impl Default for ReferrerBudget {
    fn default() -> Self {
        Self::new(MOST_MANIFESTS, 1 << 30)
    }
}

/// How many referrers of one manifest are listed at most, and how many bytes their annotations may have.
const MOST_REFERRERS: usize = 100_000;
const MOST_ANNOTATION_BYTES: usize = 64 << 20;

/// Lists the referrers of a manifest, within the budget of the operation and a budget for each manifest.
///
/// # Errors
///
/// Fails with [`TooLarge`](ErrorKind::TooLarge) beyond a budget, or if the store fails.
pub async fn referrers(
    backend: &dyn RegistryBackend,
    subject: &Digest,
    artifact_type: Option<&MediaType>,
    budget: &ReferrerBudget,
) -> Result<Vec<Descriptor>> {
    let of_this = ReferrerBudget::new(MOST_REFERRERS, MOST_ANNOTATION_BYTES);
    let mut found = Vec::new();
    let mut listed = backend.referrers(subject, artifact_type);
    while let Some(referrer) = listed.try_next().await? {
        let reason = if !of_this.take(&referrer) {
            format!(
                "expected at most {MOST_REFERRERS} referrers with {MOST_ANNOTATION_BYTES} bytes of annotations"
            )
        } else if !budget.take(&referrer) {
            "the referrers and those that refer to them are too many".to_owned()
        } else {
            found.push(referrer);
            continue;
        };
        return Err(BackendError::new(ErrorKind::TooLarge, "list referrers", subject).because(reason).into());
    }
    Ok(found)
}

/// Tells whether a failure concerns only the artifact, and not the whole store.
pub fn concerns_content(kind: ErrorKind) -> bool {
    use ErrorKind::{Incomplete, Invalid, NotFound, TooLarge, Unsupported};
    matches!(kind, NotFound | Invalid | Incomplete | TooLarge | Unsupported)
}
