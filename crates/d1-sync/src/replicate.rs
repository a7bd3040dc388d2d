//! Replication of a package from DataONE straight into a store. Objects stream through; only a bounded spool is on disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use d1_model::{DateTime, Identifier, current_map};
use d1_package::PlanLimits;
use d1_transfer::parts::{Meter, RunningPhase, push_prepared, run_blocking, tombstone_tag, tombstone_tags};
use d1_transfer::{Event, Observer, Phase, PushOptions, PushReport};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use oci_model::{Digest, ManifestRef, Tag};
use registry_backend::{ErrorKind, RegistryBackend};
use safe_files::WorkingDirectory;
use serde::Serialize;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

use crate::describe::{Selection, describe};
use crate::difference::DifferenceKind;
use crate::error::{Error, Result};
use crate::journal::{DatedMember, DonePackage, Journal};
use crate::known_objects::KnownObjects;
use crate::node::{DataOneSource, Downloading, download};
use crate::package::{DescribedObject, DescribedPackage, SkippedMember};
use crate::prepare::{Moved, Preparing, Way, ways};
use crate::store_objects::{ObjectMover, SpoolRoom, StoredObject};

/// How to replicate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReplicateOptions {
    /// Whether to replicate private members too.
    pub include_private: bool,
    /// Whether to leave out members that no node has. Otherwise the package is refused.
    pub skip_missing: bool,
    /// Whether volatile parts of system metadata, such as the list of replicas, make a new package when nothing else changed
    /// (docs/artifact-format.md section 6.5).
    pub volatile_changes: bool,
    /// The layout of packages, the directory for temporary files, and whether to copy objects that were withdrawn from the
    /// repository. Tags and identifiers follow from the packages.
    pub push: PushOptions,
    /// How many objects of a package are read at once.
    pub parallel: usize,
    /// How many bytes of objects may be on disk at once. An object without a declared SHA-256 waits on disk
    /// until its digest is known. An object that is too large for that is read twice.
    pub spool_bytes: u64,
}

impl ReplicateOptions {
    /// Returns the defaults, with a directory for temporary files.
    #[must_use]
    pub fn new(temporary_directory: PathBuf) -> Self {
        Self {
            include_private: false,
            skip_missing: false,
            volatile_changes: false,
            push: PushOptions::new(temporary_directory),
            parallel: 4,
            spool_bytes: 4 << 30,
        }
    }
}

/// Replicates the package of a resource map into a store. Each object is compared with its system metadata
/// while it passes.
///
/// Objects that the store already has are not read from the node. The manifest is that of the bag which
/// [`fetch`](crate::fetch()) makes. The identifiers of the package and of the map become its tags.
///
/// # Errors
///
/// [`Error::Members`] with every member that cannot be read or is wrong. [`Error::Node`] if the map cannot be
/// read. [`Error::NotPublic`] if the map is private. [`Error::Transfer`] if the store fails. After an error, no
/// tag has moved. A second attempt with the same journal does not read the stored objects again.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use d1_client::{ClientOptions, NodeClient, PRODUCTION_COORDINATING_NODE};
/// use d1_sync::{DataOneSource, ReplicateOptions, find_resource_map, replicate};
/// use d1_transfer::{Observer, Silent};
/// use registry_backend::MemoryBackend;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let backend = MemoryBackend::new();
/// let network = NodeClient::new(PRODUCTION_COORDINATING_NODE, &ClientOptions::default())?;
/// let source = DataOneSource::Network(network);
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let map = find_resource_map(&source, &"doi:10.18739/A2D795C92".parse()?).await?;
/// let options = ReplicateOptions::new(std::env::temp_dir());
/// let report = replicate(&backend, &source, &map, &options, None, &observer).await?;
/// println!("{} objects, {}", report.objects, report.digest);
/// # Ok(())
/// # }
/// ```
pub async fn replicate(
    backend: &dyn RegistryBackend,
    source: &DataOneSource,
    map: &Identifier,
    options: &ReplicateOptions,
    journal: Option<&Journal>,
    observer: &Arc<dyn Observer>,
) -> Result<ReplicateReport> {
    let spool = SpoolRoom::new(options.push.temporary_directory.clone(), options.spool_bytes);
    let shared = SharedState::default();
    let replicating =
        Replicating { backend, source, options, journal, observer, spool: &spool, shared: &shared };
    replicate_with(&replicating, map).await
}

/// Values that all packages of a replication share.
#[derive(Clone, Copy)]
pub(crate) struct Replicating<'a> {
    pub(crate) backend: &'a dyn RegistryBackend,
    pub(crate) source: &'a DataOneSource,
    pub(crate) options: &'a ReplicateOptions,
    pub(crate) journal: Option<&'a Journal>,
    pub(crate) observer: &'a Arc<dyn Observer>,
    pub(crate) spool: &'a SpoolRoom,
    pub(crate) shared: &'a SharedState,
}

/// State that all packages of a replication change.
#[derive(Debug, Default)]
pub(crate) struct SharedState {
    /// The members of all packages that were compared with the node, with the dates of their system metadata.
    members: Mutex<HashMap<Identifier, Option<Box<str>>>>,
    /// A lock for each package identifier. Several maps can describe one package, and compete for its tag.
    turns: Mutex<HashMap<Identifier, Arc<AsyncMutex<()>>>>,
    /// The tags of the repository's tombstones.
    tombstones: OnceCell<HashSet<Tag>>,
    /// The members of all packages that the repository has now, if the caller asked for them.
    copied: Option<Mutex<HashSet<Identifier>>>,
}

impl SharedState {
    /// Returns a state that remembers the members of all packages that the repository has.
    pub(crate) fn remembering() -> Self {
        Self { copied: Some(Mutex::default()), ..Self::default() }
    }

    /// Returns the members of all packages that the repository has, if they were remembered.
    pub(crate) fn into_copied(self) -> HashSet<Identifier> {
        let copied = self.copied.map(|copied| copied.into_inner().unwrap_or_else(PoisonError::into_inner));
        copied.unwrap_or_default()
    }

    fn note_copied(&self, package: &DescribedPackage) {
        if let Some(copied) = &self.copied {
            let members = package.objects.iter().map(|object| object.record.identifier.clone());
            copied.lock().unwrap_or_else(PoisonError::into_inner).extend(members);
        }
    }

    /// Tells whether a package with the object, in the state of this date, was compared with the node.
    pub(crate) fn has_copied(&self, object: &Identifier, modified: Option<&str>) -> bool {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.get(object).is_some_and(|noted| noted.as_deref() == modified)
    }

    fn note_members(&self, members: &[DatedMember]) {
        let mut all = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(members.iter().cloned());
    }

    /// Returns the lock of a package.
    fn turn(&self, package: &Identifier) -> Arc<AsyncMutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(package.clone()).or_default())
    }
}

impl Replicating<'_> {
    /// Tells whether an object was withdrawn from the repository, and should stay away.
    async fn is_withdrawn(&self, identifier: &Identifier) -> Result<bool> {
        if self.options.push.include_withdrawn {
            return Ok(false);
        }
        let tombstones = self.shared.tombstones.get_or_try_init(|| tombstone_tags(self.backend)).await?;
        Ok(tombstone_tag(identifier).is_some_and(|tag| tombstones.contains(&tag)))
    }
}

pub(crate) async fn replicate_with(
    replicating: &Replicating<'_>,
    map: &Identifier,
) -> Result<ReplicateReport> {
    let temporary = replicating.options.push.temporary_directory.clone();
    let create = move || {
        let made = WorkingDirectory::create(&temporary, ".d1oci-replicate-");
        made.map_err(|error| Error::io("create a directory in", &temporary, error))
    };
    let staging = run_blocking(create).await?;
    let result = replicate_through(replicating, map, staging.path()).await;
    // It may hold many files.
    run_blocking(move || drop(staging)).await;
    result
}

/// Replicates a package through an empty directory.
async fn replicate_through(
    replicating: &Replicating<'_>,
    map: &Identifier,
    staging: &Path,
) -> Result<ReplicateReport> {
    let meter = Meter::new(replicating.observer);
    let ReplicateOptions { include_private, skip_missing, .. } = *replicating.options;
    let selection = Selection { include_private, skip_missing };
    let shared = replicating.shared;
    if replicating.is_withdrawn(map).await? {
        return Err(Error::Withdrawn { identifier: map.clone() });
    }
    let mut package = describe(replicating.source, map, selection, staging, &meter).await?;
    leave_out_withdrawn(replicating, &mut package, staging).await?;
    package.warn_of_skipped(&**replicating.observer);
    let turn = replicating.shared.turn(&package.identifier);
    let _turn = turn.lock().await;
    let known = KnownObjects::of_repository(replicating.backend, &package, replicating.journal).await?;
    let package = Arc::new(package);
    let mut one =
        OnePackage { all: *replicating, staging, meter, package, known, tags: Vec::new(), is_again: false };
    one.tags = one.choose_tags().await?;
    if let Some(report) = one.kept() {
        shared.note_copied(&one.package);
        return Ok(report);
    }
    let report = match one.unchanged().await? {
        Some(report) => report,
        None => {
            let objects = one.objects().await?;
            one.publish(objects).await?
        }
    };
    let members = one.package.dated_members();
    if let Some(journal) = replicating.journal {
        let modified = one.package.modified().map(str::to_owned);
        journal.note_package(map, DonePackage { digest: report.digest.clone(), modified }, &members)?;
    }
    shared.note_members(&members);
    shared.note_copied(&one.package);
    Ok(report)
}

/// Leaves out members that were withdrawn from the repository.
///
/// # Errors
///
/// [`Error::Withdrawn`] if the object was withdrawn that gives the package its identifier.
async fn leave_out_withdrawn(
    replicating: &Replicating<'_>,
    package: &mut DescribedPackage,
    staging: &Path,
) -> Result<()> {
    let mut kept = Vec::with_capacity(package.objects.len());
    for object in std::mem::take(&mut package.objects) {
        let identifier = &object.record.identifier;
        if !replicating.is_withdrawn(identifier).await? {
            kept.push(object);
            continue;
        }
        if *identifier == package.identifier {
            return Err(Error::Withdrawn { identifier: identifier.clone() });
        }
        let path = staging.join(&*object.record.path);
        run_blocking(move || std::fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error)))
            .await?;
        let reason = "it was withdrawn from this repository".to_owned();
        package.skipped.push(SkippedMember { identifier: identifier.to_string(), reason, state: None });
    }
    package.objects = kept;
    Ok(())
}

struct OnePackage<'a> {
    all: Replicating<'a>,
    staging: &'a Path,
    meter: Meter,
    package: Arc<DescribedPackage>,
    known: KnownObjects,
    tags: Vec<Tag>,
    /// Whether the objects move for the second time, so that the staging directory has those of the first.
    is_again: bool,
}

impl OnePackage<'_> {
    /// Returns the report if all tags of the package already name exactly this package.
    async fn unchanged(&self) -> Result<Option<ReplicateReport>> {
        let documents = (!self.all.options.volatile_changes).then_some(self.staging);
        let unchanged = self.known.unchanged(self.all.backend, &self.package, documents).await?;
        let Some(digest) = unchanged else { return Ok(None) };
        for tag in &self.tags {
            let found = self.all.backend.stat_manifest(&ManifestRef::Tag(tag.clone())).await?;
            if found.is_none_or(|found| found.digest != digest) {
                return Ok(None);
            }
        }
        let report = self.report(digest, self.tags.clone());
        Ok(Some(ReplicateReport { unchanged: true, kept_objects: report.objects, ..report }))
    }

    /// Returns the report before any object has moved.
    fn report(&self, digest: Digest, tags: Vec<Tag>) -> ReplicateReport {
        ReplicateReport {
            identifier: self.package.identifier.clone(),
            resource_map: self.package.resource_map.clone(),
            digest,
            tags,
            unchanged: false,
            objects: self.package.objects.len() as u64,
            bytes: self.package.bytes(),
            received_objects: 0,
            received_bytes: self.meter.bytes(),
            kept_objects: 0,
            sent_bytes: 0,
            skipped: self.package.skipped.clone(),
            nested: self.package.nested.clone(),
            states: self.package.states(),
            kept: Vec::new(),
        }
    }

    /// Returns the report if the repository has a copy with members that the new copy would lack. That copy stays.
    fn kept(&self) -> Option<ReplicateReport> {
        let (digest, kept) = self.known.richer_copy(&self.package)?;
        let observer = &self.all.observer;
        for SkippedMember { identifier, reason, .. } in &kept {
            let package = &self.package.identifier;
            let warning =
                format!("`{package}` stays as it was, because its copy has `{identifier}`: {reason}");
            observer.event(&Event::Warning(&warning));
        }
        let report = self.report(digest, Vec::new());
        Some(ReplicateReport { unchanged: true, kept, ..report })
    }

    /// Moves all objects into the staging directory or the store.
    async fn objects(&mut self) -> Result<Vec<Moved>> {
        let ways = self.ways().await?;
        let began = Instant::now();
        let moved = self.move_all(&ways).await?;
        let lifetime = self.all.backend.capabilities().unreferenced_blob_lifetime;
        if lifetime.is_none_or(|lifetime| began.elapsed() <= lifetime / 2) {
            return Ok(moved);
        }
        // The store may have removed the first objects, which no manifest names yet, while the last ones came.
        for (object, moved) in self.package.objects.iter().zip(&moved) {
            if moved.stored.is_some() {
                self.known.note(object, moved.digests.clone());
            }
        }
        self.is_again = true;
        let mut again = self.move_all(&ways).await?;
        for (first, second) in moved.iter().zip(&mut again) {
            second.received |= first.received;
            second.sent_bytes += first.sent_bytes;
        }
        Ok(again)
    }

    async fn move_all(&self, ways: &[Way]) -> Result<Vec<Moved>> {
        let (items, bytes) = (ways.len() as u64, self.package.bytes());
        let phase = RunningPhase::begin(self.all.observer, Phase::Download, items, bytes);
        let phase = &phase;
        let moves = (0..ways.len()).filter_map(|number| {
            Some(self.move_counted(self.package.objects.get(number)?, ways.get(number)?, phase).boxed())
        });
        let parallel = self.all.options.parallel.max(1);
        let moved: Vec<_> = stream::iter(moves).buffered(parallel).try_collect().await?;
        Error::gather_members(moved)
    }

    /// Moves one object. Faults of members are collected; any other error ends the replication.
    async fn move_counted(
        &self,
        object: &DescribedObject,
        way: &Way,
        phase: &RunningPhase,
    ) -> Result<Result<Moved>> {
        let result = self.move_one(object, way).await;
        phase.advance(1, 0);
        Error::unless_of_member(result)
    }

    async fn move_one(&self, object: &DescribedObject, way: &Way) -> Result<Moved> {
        let mover = ObjectMover {
            backend: self.all.backend,
            source: self.all.source,
            package: &self.package,
            known: &self.known,
            meter: &self.meter,
            spool: self.all.spool,
        };
        let StoredObject { digests, parts, received, sent_bytes } = match way {
            Way::Staged => {
                let (source, algorithms) = (self.all.source, self.package.algorithms);
                let from_store = self.known.copy_archived(self.all.backend, object, self.staging).await?;
                // The map has been downloaded before.
                let is_map = object.record.identifier == self.package.resource_map;
                let is_new = !from_store && !is_map && !self.is_again;
                let (staging, meter) = (self.staging, &self.meter);
                let downloading = Downloading { source, staging, algorithms, meter, is_new };
                let digests = download(&downloading, object).await?;
                return Ok(Moved { digests, stored: None, received: !from_store, sent_bytes: 0 });
            }
            Way::Blob => mover.object(object).await?,
            Way::Parts(ranges) => mover.in_parts(object, ranges).await?,
        };
        if let (Some(journal), Way::Blob) = (self.all.journal, way) {
            journal.note_object(&object.record.identifier, object.record.size, &digests)?;
        }
        Ok(Moved { digests, stored: Some(parts), received, sent_bytes })
    }

    /// Decides which objects become blobs of their own.
    async fn ways(&self) -> Result<Vec<Way>> {
        let (package, options) = (Arc::clone(&self.package), self.all.options.push.clone());
        let limits = PlanLimits::from(self.all.backend.capabilities());
        let staging = self.staging.to_owned();
        run_blocking(move || ways(&package, &options, limits, &staging)).await
    }

    /// Stores the package after its objects.
    async fn publish(&self, moved: Vec<Moved>) -> Result<ReplicateReport> {
        let received_objects = moved.iter().filter(|moved| moved.received).count() as u64;
        let kept_objects = moved.len() as u64 - received_objects;
        let sent_bytes: u64 = moved.iter().map(|moved| moved.sent_bytes).sum();
        let moved = Arc::new(moved);
        let mut options = self.all.options.push.clone();
        options.tags = self.tags.clone();
        options.identifier = Some(self.package.identifier.clone());
        // The members were chosen before.
        options.include_private = true;
        let pushed = match self.push(&moved, &options).await {
            Err(error) if is_incomplete(&error) && !options.repack => {
                let warning = format!("{error}; all archives are packed again");
                self.all.observer.event(&Event::Warning(&warning));
                options.repack = true;
                self.push(&moved, &options).await?
            }
            pushed => pushed?,
        };
        let report = self.report(pushed.digest, pushed.tags);
        let (unchanged, sent_bytes) = (pushed.unchanged, sent_bytes + pushed.sent_bytes);
        Ok(ReplicateReport { unchanged, received_objects, kept_objects, sent_bytes, ..report })
    }

    async fn push(&self, moved: &Arc<Vec<Moved>>, options: &PushOptions) -> Result<PushReport> {
        let preparing = Preparing {
            package: Arc::clone(&self.package),
            moved: Arc::clone(moved),
            staging: self.staging.to_owned(),
            options: options.clone(),
            limits: self.all.backend.capabilities().into(),
            observer: Arc::clone(self.all.observer),
        };
        let prepared = run_blocking(move || preparing.prepare()).await?;
        Ok(push_prepared(self.all.backend, prepared, options, self.all.observer).await?)
    }

    /// Returns the tags of the package: one for its map, and one for its identifier if no other map is current.
    async fn choose_tags(&self) -> Result<Vec<Tag>> {
        let DescribedPackage { identifier, resource_map, .. } = &*self.package;
        let identifiers: &[&Identifier] =
            if self.is_current().await? { &[identifier, resource_map] } else { &[resource_map] };
        let mut seen = HashSet::new();
        let tags = identifiers.iter().filter_map(|identifier| identifier.tag().parse::<Tag>().ok());
        Ok(tags.filter(|tag| seen.insert(tag.clone())).collect())
    }

    /// Tells whether the map is the current one of all maps of this package that the repository and the node have.
    async fn is_current(&self) -> Result<bool> {
        let own = &self.package.map;
        let mut maps = vec![own.clone()];
        for other in self.known.other_maps(&self.package) {
            match self.all.source.system_metadata(&other).await {
                Ok(document) => maps.push(document.value),
                Err(error) if is_withdrawn(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(current) = current_map(&maps) else { return Ok(true) };
        if !current.is_only {
            let names: Vec<_> = maps.iter().map(|map| format!("`{}`", map.identifier)).collect();
            let warning = format!(
                "several current resource maps describe `{}`: {}; its tag names the package of `{}`",
                self.package.identifier,
                names.join(", "),
                current.map.identifier,
            );
            self.all.observer.event(&Event::Warning(&warning));
        }
        Ok(current.map.identifier == own.identifier)
    }
}

/// Tells whether the store lacks a blob that it was expected to have.
fn is_incomplete(error: &Error) -> bool {
    error.of_store().is_some_and(|error| error.kind() == ErrorKind::Incomplete)
}

/// Tells whether a node no longer gives an object to everybody.
fn is_withdrawn(error: &d1_client::Error) -> bool {
    use d1_client::ErrorKind::{InvalidToken, NotAuthorized, NotFound};
    matches!(error.kind(), NotFound | NotAuthorized | InvalidToken)
}

/// Tells whether journal, repository and node agree that a package is complete and current. `modified` is the date of
/// the map's system metadata, if a list said so; otherwise the node is asked.
pub(crate) async fn is_done(
    replicating: &Replicating<'_>,
    map: &Identifier,
    modified: Option<&str>,
) -> Result<bool> {
    let Some(done) = replicating.journal.and_then(|journal| journal.package(map)) else { return Ok(false) };
    let Ok(tag) = map.tag().parse::<Tag>() else { return Ok(false) };
    let found = replicating.backend.stat_manifest(&ManifestRef::Tag(tag)).await?;
    if found.is_none_or(|found| found.digest != done.digest) {
        return Ok(false);
    }
    if modified.is_some() {
        return Ok(done.modified.as_deref() == modified);
    }
    let now = replicating.source.system_metadata(map).await?.value.date_modified;
    Ok(done.modified.as_deref() == now.as_ref().map(DateTime::text))
}

/// The result of a replication.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReplicateReport {
    /// Identifier of the package.
    pub identifier: Identifier,
    /// Identifier of its resource map.
    pub resource_map: Identifier,
    /// Digest of the manifest.
    pub digest: Digest,
    /// The tags that name it.
    pub tags: Vec<Tag>,
    /// Whether all tags already named exactly this package.
    pub unchanged: bool,
    /// Number of objects in the package, the map included.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of objects that came from nodes.
    pub received_objects: u64,
    /// Number of bytes that came from nodes.
    pub received_bytes: u64,
    /// Number of objects that the repository already had.
    pub kept_objects: u64,
    /// Number of bytes that were sent to the repository.
    pub sent_bytes: u64,
    /// Members that were left out.
    pub skipped: Vec<SkippedMember>,
    /// Resource maps of packages within this one.
    pub nested: Vec<Identifier>,
    /// How many members are gone, private, archived or obsoleted at the node. Each counts once, in this order.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub states: BTreeMap<DifferenceKind, u64>,
    /// Members that the repository has and the node no longer gives. If there are any, the repository keeps its copy
    /// as it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<SkippedMember>,
}
