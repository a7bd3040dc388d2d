//! Importing a HashStore: each object is read once, by the upload that proves its name.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bagit::AlgorithmSet;
use d1_model::Checksum;
use d1_package::{SingleFile, SingleFileOptions, object_manifest};
use d1_transfer::parts::{FileSource, Totals, hash_file, run_blocking};
use d1_transfer::{FileToPush, Observer, Silent, with_causes};
use futures::{FutureExt, StreamExt, TryStreamExt};
use registry_backend::{ErrorKind, RegistryBackend};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::channel;

use super::entry::{self, Entry};
use super::layout::HashStore;
use super::objects::{self, StoredContent};
use super::{ImportFault, ImportOptions, ImportReport};
use crate::object::{DeclaredSource, Storing, Verdict, Wanted};
use crate::{Error, Result};

/// Contents that are listed ahead of those that are under way.
const LISTED_AHEAD: usize = 64;

/// Contents that are under way at once. Few of them are sent at the same time; the others ask for what is there, or wait for their
/// manifest to be listed, which a layout does for all of them together.
const UNDER_WAY: usize = 64;

/// After so many failures of the store, one after another, it is taken to be out of order.
const FAILURES_IN_A_ROW: u32 = 16;

/// Imports the objects of a HashStore as artifacts of their own, with their system metadata as referrers.
///
/// The name of an object is the digest of its blob, so that an object that the repository has is not read, and one that it
/// does not have is read once: the store that takes it proves its digest, and a checksum that its system metadata declare by
/// another algorithm is computed meanwhile. An object that is wrong is reported, and does not stop the others.
///
/// # Errors
///
/// [`Error::NotAHashStore`]; [`Error::Io`] if the directory cannot be read; what the repository fails with if it takes nothing
/// at all. What is wrong with single objects is in the report.
pub async fn import_hashstore(
    backend: &dyn RegistryBackend,
    directory: &Path,
    options: &ImportOptions,
    observer: &Arc<dyn Observer>,
) -> Result<ImportReport> {
    let (store, items, bytes) = {
        let (directory, measured) = (directory.to_owned(), options.identifiers.is_empty());
        run_blocking(move || {
            let store = HashStore::open(&directory)?;
            let (items, bytes) = if measured { objects::measure(&store) } else { (0, 0) };
            Ok::<_, Error>((Arc::new(store), items, bytes))
        })
        .await?
    };
    let import = Import {
        store: Arc::clone(&store),
        options,
        storing: Storing::begin(backend, observer, items, bytes),
        sending: Semaphore::new(backend.capabilities().parallel_blobs.max(1)),
        failures: AtomicU32::new(0),
    };
    let report = contents(store, options)
        .map(|listed| import.listed(listed).boxed())
        .buffer_unordered(UNDER_WAY)
        .try_fold(ImportReport::default(), |report, outcomes| async move { Ok(sum(report, outcomes)) });
    let mut report = report.await?;
    report.faults.sort_unstable();
    report.not_public.sort_unstable();
    Ok(report)
}

type Listed = Result<StoredContent, ImportFault>;

/// Returns what there is to import, as it is found.
fn contents(store: Arc<HashStore>, options: &ImportOptions) -> impl futures::Stream<Item = Listed> + use<> {
    let (sender, receiver) = channel(LISTED_AHEAD);
    let identifiers = options.identifiers.clone();
    tokio::task::spawn_blocking(move || {
        let mut send = |listed| sender.blocking_send(listed).is_ok();
        if identifiers.is_empty() {
            objects::all(&store, &mut send);
            return;
        }
        let (found, faults) = objects::some(&store, &identifiers);
        let mut all = faults.into_iter().map(Err).chain(found.into_iter().map(Ok));
        all.all(send);
    });
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|listed| (listed, receiver))
    })
}

/// What became of something that was listed.
enum Outcome {
    Imported {
        totals: Totals,
        system_metadata: bool,
    },
    AlreadyThere {
        totals: Totals,
        system_metadata: bool,
    },
    NotPublic(String),
    Failed(ImportFault),
    /// Something that is wrong, and no object.
    Odd(ImportFault),
}

fn sum(mut report: ImportReport, outcomes: Vec<Outcome>) -> ImportReport {
    for outcome in outcomes {
        let (counter, stored) = match outcome {
            Outcome::Imported { totals, system_metadata } => {
                (&mut report.imported, Some((totals, system_metadata)))
            }
            Outcome::AlreadyThere { totals, system_metadata } => {
                (&mut report.already_there, Some((totals, system_metadata)))
            }
            Outcome::NotPublic(identifier) => {
                report.not_public.push(identifier);
                report.objects += 1;
                continue;
            }
            Outcome::Failed(fault) => {
                report.faults.push(fault);
                (&mut report.failed, None)
            }
            Outcome::Odd(fault) => {
                report.faults.push(fault);
                continue;
            }
        };
        *counter += 1;
        report.objects += 1;
        if let Some((totals, system_metadata)) = stored {
            report.sent_blobs += totals.blobs;
            report.sent_bytes += totals.bytes;
            report.system_metadata += u64::from(system_metadata);
        }
    }
    report
}

struct Import<'a> {
    store: Arc<HashStore>,
    options: &'a ImportOptions,
    storing: Storing<'a>,
    /// A permit for each object whose content may be on its way.
    sending: Semaphore,
    failures: AtomicU32,
}

/// What ended the import of an object.
enum Stop {
    /// The object is wrong.
    Fault(ImportFault),
    /// The repository, or something between, failed.
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Import<'_> {
    /// Imports what was listed: the objects of one content one after another, so that it is sent once.
    async fn listed(&self, listed: Listed) -> Result<Vec<Outcome>> {
        let content = match listed {
            Ok(content) => content,
            Err(fault) if fault.identifier.is_some() => return Ok(vec![Outcome::Failed(fault)]),
            Err(fault) => return Ok(vec![Outcome::Odd(fault)]),
        };
        let mut outcomes = Vec::with_capacity(content.identifiers.len());
        for identifier in content.identifiers {
            let entry = {
                let (store, name) = (Arc::clone(&self.store), content.name.clone());
                run_blocking(move || entry::read(&store, &name, &identifier)).await
            };
            outcomes.push(match entry {
                Err(fault) => Outcome::Failed(fault),
                Ok(entry) if !self.options.include_private && !entry.document.says.is_public() => {
                    Outcome::NotPublic(entry.identifier.to_string())
                }
                Ok(entry) => self.judged(&entry).await?,
            });
        }
        Ok(outcomes)
    }

    /// Imports an object, and tells failures of the object from those of the repository.
    async fn judged(&self, entry: &Entry) -> Result<Outcome> {
        let fault = match self.object(entry).await {
            Ok(outcome) => {
                self.failures.store(0, Ordering::Relaxed);
                return Ok(outcome);
            }
            Err(Stop::Fault(fault)) => fault,
            Err(Stop::Error(error)) => {
                if is_of_the_repository(&error)
                    && self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_IN_A_ROW
                    || is_final(&error)
                {
                    return Err(error);
                }
                ImportFault::of(entry.identifier.as_str(), entry.place.clone(), with_causes(&error))
            }
        };
        self.storing.done(entry.file.size);
        Ok(Outcome::Failed(fault))
    }

    async fn object(&self, entry: &Entry) -> Result<Outcome, Stop> {
        let options = SingleFileOptions {
            max_manifest_bytes: self.storing.backend.capabilities().max_manifest_bytes,
            ..SingleFileOptions::default()
        };
        let manifest = object_manifest(&entry.file, Some(&entry.document.says), &options);
        let manifest = manifest.map_err(Error::from)?;
        let wanted = Wanted {
            manifest,
            content: &entry.file.digest,
            identifier: &entry.identifier,
            tags: &[],
            exactly: false,
        };
        let place = self.storing.find(&wanted).await?;
        let mut totals = Totals::default();
        if !place.is_there {
            // Nobody closes it: this waits for a permit, and does not fail.
            let permit = self.sending.acquire().await;
            totals = self.send(entry).await?;
            drop(permit);
            self.storing.publish(&place).await?;
        }
        self.storing.done(entry.file.size.saturating_sub(totals.bytes));
        let attached = self.storing.attach(&place.manifest.descriptor(), &entry.document).await?;
        totals.blobs += attached.totals.blobs;
        totals.bytes += attached.totals.bytes;
        let system_metadata = attached.is_new;
        Ok(match place.is_there {
            true => Outcome::AlreadyThere { totals, system_metadata },
            false => Outcome::Imported { totals, system_metadata },
        })
    }

    /// Sends an object that is as its system metadata declare.
    async fn send(&self, entry: &Entry) -> Result<Totals, Stop> {
        let SingleFile { digest, size, title, .. } = &entry.file;
        let source = FileSource::new(entry.path.clone(), *size, 0..*size, digest.clone());
        let Some(algorithm) = entry.algorithm else {
            return Ok(self.storing.send(&source, title).await?);
        };
        let declared = entry.document.says.checksum.clone();
        let source = DeclaredSource::new(source, algorithm, declared);
        let sent = self.storing.send(&source, title).await;
        match (source.verdict(), sent) {
            (Verdict::Wrong(found), _) => Err(self.mismatch(entry, &found)),
            (_, Err(error)) => Err(error.into()),
            (Verdict::Right, Ok(totals)) => Ok(totals),
            // The repository had the content, of another object: this is its first read.
            (Verdict::Unknown, Ok(totals)) => {
                self.read_through(entry, algorithm).await?;
                Ok(totals)
            }
        }
    }

    async fn read_through(&self, entry: &Entry, algorithm: bagit::Algorithm) -> Result<(), Stop> {
        let file = FileToPush { path: entry.path.clone(), title: String::new(), media_type: None };
        let algorithms: AlgorithmSet = [algorithm].into_iter().collect();
        let silent: Arc<dyn Observer> = Arc::new(Silent);
        let hashed = run_blocking(move || hash_file(file, algorithms, &silent)).await.map_err(Error::from)?;
        if hashed.digest != entry.file.digest {
            let message = format!("its bytes have the digest {}", hashed.digest);
            let fault = ImportFault::of(entry.identifier.as_str(), entry.place.clone(), message);
            return Err(Stop::Fault(fault));
        }
        let declared = &entry.document.says.checksum;
        match hashed.digests.get(algorithm) {
            Some(digest) if declared.matches_digest(digest) => Ok(()),
            found => {
                let found = Checksum::from_digest(declared.algorithm().clone(), found.unwrap_or_default());
                Err(self.mismatch(entry, &found))
            }
        }
    }

    fn mismatch(&self, entry: &Entry, found: &Checksum) -> Stop {
        let declared = &entry.document.says.checksum;
        let message = format!("the system metadata declare {declared}, the object has {found}");
        Stop::Fault(ImportFault::of(entry.identifier.as_str(), entry.place.clone(), message))
    }
}

/// Tells whether the repository is what failed, and not what it was given.
fn is_of_the_repository(error: &Error) -> bool {
    use ErrorKind::{Invalid, TooLarge};
    error.of_store().is_some_and(|error| !matches!(error.kind(), Invalid | TooLarge))
}

/// Tells whether every other object would fail alike.
fn is_final(error: &Error) -> bool {
    use ErrorKind::{Denied, Unsupported};
    error.of_store().is_some_and(|error| matches!(error.kind(), Denied | Unsupported))
}
