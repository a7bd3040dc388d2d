//! Replication of many packages, several at once. A package that fails does not stop the others.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use d1_model::Identifier;
use d1_transfer::{Event, Observer};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use registry_backend::RegistryBackend;

use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::node::DataOneSource;
use crate::package_finder::PackageFinder;
use crate::replicate::{
    ReplicateOptions, ReplicateReport, Replicating, SharedState, is_done, replicate_with,
};
use crate::store_objects::SpoolRoom;

/// How deep packages may nest.
const DEEPEST: usize = 16;

/// A package to replicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The identifier of any object of the package.
    pub identifier: Identifier,
    /// Whether the identifier is known to be that of a resource map.
    pub is_resource_map: bool,
    /// When the system metadata of the map last changed, if an object list said so.
    pub modified: Option<String>,
}

/// How to replicate many packages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchOptions {
    /// How to replicate each.
    pub replicate: ReplicateOptions,
    /// How many packages are replicated at once.
    pub parallel: usize,
    /// Whether to replicate nested packages too, each as a package of its own.
    pub nested: bool,
    /// The number of this share and the number of shares. The identifier of a package decides which share it
    /// belongs to.
    pub shard: Option<(u64, u64)>,
    /// Whether to skip packages whose map has a tag in the repository, without looking for changes.
    pub skip_existing: bool,
}

impl BatchOptions {
    /// Returns the defaults: all packages, two at once.
    #[must_use]
    pub fn new(replicate: ReplicateOptions) -> Self {
        Self { replicate, parallel: 2, nested: false, shard: None, skip_existing: false }
    }

    /// Tells whether a package belongs to this share. All machines with the same number of shares agree.
    ///
    /// ```
    /// use d1_sync::{BatchOptions, ReplicateOptions};
    ///
    /// let replicate = ReplicateOptions::new(std::env::temp_dir());
    /// let shard = |number| {
    ///     let mut options = BatchOptions::new(replicate.clone());
    ///     options.shard = Some((number, 3));
    ///     options
    /// };
    /// // Exactly one of the processes replicates each package.
    /// let identifier = "resource_map_doi:10.5072/A2MOORING".parse()?;
    /// assert_eq!((0..3).filter(|number| shard(*number).is_ours(&identifier)).count(), 1);
    /// # Ok::<(), d1_model::IdentifierError>(())
    /// ```
    #[must_use]
    pub fn is_ours(&self, identifier: &Identifier) -> bool {
        let Some((number, count)) = self.shard.filter(|(_, count)| *count > 0) else { return true };
        let digest = oci_model::Digest::sha256_of(identifier.as_str().as_bytes());
        let first = digest.sha256_bytes().unwrap_or_default().into_iter().take(8);
        first.fold(0_u64, |value, byte| value << 8 | u64::from(byte)) % count == number % count
    }
}

/// The result for one package.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchOutcome {
    /// The package is in the repository now.
    Replicated(Box<ReplicateReport>),
    /// The package was in the repository, and nothing was requested from the node.
    Skipped,
    /// The replication failed.
    Failed(Error),
}

/// Replicates all packages of a stream, and calls `done` after each one. A failure of one package does not stop
/// the others.
///
/// # Errors
///
/// The error that ends the stream. The packages before it are done.
pub async fn replicate_all(
    backend: &dyn RegistryBackend,
    source: &DataOneSource,
    wanted: BoxStream<'_, Result<Wanted>>,
    options: &BatchOptions,
    journal: Option<&Journal>,
    observer: &Arc<dyn Observer>,
    done: &(dyn Fn(&Identifier, BatchOutcome) + Sync),
) -> Result<()> {
    let batch = Batch::new(backend, source, options, journal, observer, done);
    batch.run_stream(wanted, false).await
}

/// Replication of many packages, and its state.
pub(crate) struct Batch<'a> {
    backend: &'a dyn RegistryBackend,
    pub(crate) finder: PackageFinder<'a>,
    source: &'a DataOneSource,
    options: &'a BatchOptions,
    journal: Option<&'a Journal>,
    observer: Arc<dyn Observer>,
    spool: SpoolRoom,
    shared: SharedState,
    done: &'a (dyn Fn(&Identifier, BatchOutcome) + Sync),
    failed: AtomicU64,
}

impl<'a> Batch<'a> {
    /// Returns a batch without a journal that remembers the members of all packages.
    pub(crate) fn remembering(
        backend: &'a dyn RegistryBackend,
        source: &'a DataOneSource,
        options: &'a BatchOptions,
        observer: &Arc<dyn Observer>,
        done: &'a (dyn Fn(&Identifier, BatchOutcome) + Sync),
    ) -> Self {
        let batch = Self::new(backend, source, options, None, observer, done);
        Self { shared: SharedState::remembering(), ..batch }
    }

    /// Returns the members of all packages, if the batch remembers them.
    pub(crate) fn into_copied(self) -> HashSet<Identifier> {
        self.shared.into_copied()
    }

    pub(crate) fn new(
        backend: &'a dyn RegistryBackend,
        source: &'a DataOneSource,
        options: &'a BatchOptions,
        journal: Option<&'a Journal>,
        observer: &Arc<dyn Observer>,
        done: &'a (dyn Fn(&Identifier, BatchOutcome) + Sync),
    ) -> Self {
        let push = &options.replicate.push;
        Self {
            backend,
            finder: PackageFinder::new(source),
            source,
            options,
            journal,
            observer: Arc::new(WithoutPhases(Arc::clone(observer))),
            spool: SpoolRoom::new(push.temporary_directory.clone(), options.replicate.spool_bytes),
            shared: SharedState::default(),
            done,
            failed: AtomicU64::new(0),
        }
    }

    /// Replicates these packages. If `is_changed`, a member of each has changed, and the journal does not count.
    pub(crate) async fn run(
        &self,
        wanted: impl IntoIterator<Item = Wanted, IntoIter: Send>,
        is_changed: bool,
    ) {
        let wanted = stream::iter(wanted).map(Ok).boxed();
        // Only the stream itself can fail.
        _ = self.run_stream(wanted, is_changed).await;
    }

    async fn run_stream(&self, wanted: BoxStream<'_, Result<Wanted>>, is_changed: bool) -> Result<()> {
        let ours = wanted.filter(|wanted| {
            let is_ours = wanted.as_ref().map_or(true, |wanted| self.options.is_ours(&wanted.identifier));
            std::future::ready(is_ours)
        });
        let pass = Pass { batch: self, is_changed, seen: Mutex::default() };
        let work = ours.map(|wanted| pass.one(wanted, 0));
        let mut work = std::pin::pin!(work.buffer_unordered(self.options.parallel.max(1)));
        let mut ended = Ok(());
        while let Some(result) = work.next().await {
            if ended.is_ok() {
                ended = result;
            }
        }
        ended
    }

    /// Reports that the packages of an object could not be replicated.
    pub(crate) fn fail(&self, identifier: &Identifier, error: Error) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        (self.done)(identifier, BatchOutcome::Failed(error));
    }

    /// Returns how many packages failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Tells whether an object, in the state of this date, is a member of a package that this batch compared with the
    /// node.
    pub(crate) fn has_copied(&self, object: &Identifier, modified: Option<&str>) -> bool {
        self.shared.has_copied(object, modified)
    }

    fn replicating(&self) -> Replicating<'_> {
        Replicating {
            backend: self.backend,
            source: self.source,
            options: &self.options.replicate,
            journal: self.journal,
            observer: &self.observer,
            spool: &self.spool,
            shared: &self.shared,
        }
    }
}

/// One pass over a list of packages.
struct Pass<'a> {
    batch: &'a Batch<'a>,
    /// Whether a member of each package has changed.
    is_changed: bool,
    /// The maps that were handled.
    seen: Mutex<HashSet<Identifier>>,
}

impl Pass<'_> {
    fn one(&self, wanted: Result<Wanted>, depth: usize) -> BoxFuture<'_, Result<()>> {
        async move {
            let wanted = wanted?;
            let outcome = self.package(&wanted).await;
            let nested = match &outcome {
                Ok(Some(BatchOutcome::Replicated(report))) if self.batch.options.nested => {
                    report.nested.clone()
                }
                _ => Vec::new(),
            };
            match outcome {
                Ok(Some(outcome)) => (self.batch.done)(&wanted.identifier, outcome),
                // The package was handled under another identifier.
                Ok(None) => {}
                Err(error) => self.batch.fail(&wanted.identifier, error),
            }
            if depth < DEEPEST {
                for identifier in nested {
                    let wanted = Wanted { identifier, is_resource_map: true, modified: None };
                    self.one(Ok(wanted), depth + 1).await?;
                }
            }
            Ok(())
        }
        .boxed()
    }

    async fn package(&self, wanted: &Wanted) -> Result<Option<BatchOutcome>> {
        let map = match wanted.is_resource_map {
            true => wanted.identifier.clone(),
            false => self.batch.finder.only(&wanted.identifier).await?,
        };
        if !self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(map.clone()) {
            return Ok(None);
        }
        let replicating = self.batch.replicating();
        let is_there = !self.is_changed
            && (is_done(&replicating, &map, wanted.modified.as_deref()).await?
                || (self.batch.options.skip_existing && self.is_tagged(&map).await?));
        if is_there {
            return Ok(Some(BatchOutcome::Skipped));
        }
        let report = replicate_with(&replicating, &map).await?;
        Ok(Some(BatchOutcome::Replicated(Box::new(report))))
    }

    async fn is_tagged(&self, map: &Identifier) -> Result<bool> {
        let Ok(tag) = map.tag().parse() else { return Ok(false) };
        let at = oci_model::ManifestRef::Tag(tag);
        Ok(self.batch.backend.stat_manifest(&at).await?.is_some())
    }
}

/// Drops phases, because those of several packages at once mean nothing to a reader.
struct WithoutPhases(Arc<dyn Observer>);

impl Observer for WithoutPhases {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Blob { .. } | Event::Warning(_)) {
            self.0.event(event);
        }
    }
}
