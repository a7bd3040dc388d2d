//! Imports of HashStores: each object is read once, by the upload that proves its name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bagit::{Algorithm, AlgorithmSet};
use d1_model::{Checksum, ChecksumAlgorithm, Identifier, MAX_SYSTEM_METADATA_BYTES};
use d1_package::{SingleFile, SingleFileOptions, object_algorithm, object_file, object_manifest};
use d1_transfer::parts::{FileSource, Totals, hash_file, run_blocking};
use d1_transfer::{FileToPush, Observer, Silent, with_causes};
use futures::{FutureExt, StreamExt, TryStreamExt};
use oci_model::Digest;
use registry_backend::{ErrorKind, RegistryBackend};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::channel;

use crate::error::{Error, Result};
use crate::hash_store::{
    HashStore, ImportFault, StoredContent, find_contents, is_name, list_contents,
    list_documents_without_object, measure,
};
use crate::object::{Document, ObjectToStore, Storing};
use crate::passed::{DeclaredSource, Verdict};

/// The objects to import.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// The identifiers of the objects. Without any, all objects of the store are imported.
    pub identifiers: Vec<Identifier>,
    /// The identifiers of objects to leave out, such as the members of imported packages.
    pub except: HashSet<Identifier>,
    /// Whether to import private objects too.
    pub include_private: bool,
    /// Whether to import objects that were withdrawn from the repository. Their tombstones stay.
    pub include_withdrawn: bool,
}

/// The result of an import.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ImportReport {
    /// Number of objects that were examined: the sum of the next four.
    pub objects: u64,
    /// Number of objects that were stored.
    pub imported: u64,
    /// Number of objects that the repository already had.
    pub already_there: u64,
    /// Identifiers of private objects that were left out.
    pub not_public: Vec<String>,
    /// Identifiers of system metadata without an object, as a store has them of deleted objects.
    pub without_object: Vec<String>,
    /// Number of objects that could not be imported.
    pub failed: u64,
    /// Number of system metadata documents that were stored.
    pub system_metadata: u64,
    /// Number of blobs that were sent.
    pub sent_blobs: u64,
    /// Number of bytes that were sent.
    pub sent_bytes: u64,
    /// Faults of objects that could not be imported, and of files that belong to no object.
    pub faults: Vec<ImportFault>,
}

/// How many contents are listed in advance.
const LISTED_AHEAD: usize = 64;

/// How many contents are imported at once. Most of them only ask for an object or wait for their manifest,
/// which a layout lists for all of them together.
const UNDER_WAY: usize = 64;

/// After so many failures in a row, the store counts as out of order.
const FAILURES_IN_A_ROW: u32 = 16;

/// Imports the objects of a HashStore as artifacts of their own, with their system metadata as referrers.
///
/// The name of an object is the digest of its blob. An object that the repository has is not read. Any other
/// object is read once: the store proves its digest, and a checksum by another algorithm is computed in the
/// same read. A faulty object is reported and does not stop the others.
///
/// # Errors
///
/// [`Error::NotAHashStore`]. [`Error::Transfer`] if the directory cannot be read, or the repository takes no
/// objects at all. Faults of single objects are in the report.
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
            let (items, bytes) = if measured { measure(&store) } else { (0, 0) };
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
    let report = contents(Arc::clone(&store), options)
        .map(|listed| import.listed(listed).boxed())
        .buffer_unordered(UNDER_WAY)
        .try_fold(ImportReport::default(), |report, outcomes| async move { Ok(sum(report, outcomes)) });
    let mut report = report.await?;
    if options.identifiers.is_empty() {
        report.without_object = run_blocking(move || list_documents_without_object(&store)).await;
    }
    report.faults.sort_unstable();
    report.not_public.sort_unstable();
    Ok(report)
}

type Listed = Result<StoredContent, ImportFault>;

/// Returns the objects to import, as they are found.
fn contents(store: Arc<HashStore>, options: &ImportOptions) -> impl futures::Stream<Item = Listed> + use<> {
    let (sender, receiver) = channel(LISTED_AHEAD);
    let identifiers = options.identifiers.clone();
    tokio::task::spawn_blocking(move || {
        let mut send = |listed| sender.blocking_send(listed).is_ok();
        if identifiers.is_empty() {
            list_contents(&store, &mut send);
            return;
        }
        let (found, faults) = find_contents(&store, &identifiers);
        let mut all = faults.into_iter().map(Err).chain(found.into_iter().map(Ok));
        all.all(send);
    });
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|listed| (listed, receiver))
    })
}

/// The result for one listed entry.
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
    /// A fault that concerns no object.
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
    /// A permit for each object whose content may be in transit.
    sending: Semaphore,
    failures: AtomicU32,
}

/// The reason why the import of an object ended.
enum Stop {
    /// The object is faulty.
    Fault(ImportFault),
    /// The repository or the connection failed.
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Import<'_> {
    /// Imports one listed content. Its objects follow one another, so that the content is sent once.
    async fn listed(&self, listed: Listed) -> Result<Vec<Outcome>> {
        let content = match listed {
            Ok(content) => content,
            Err(fault) if fault.identifier.is_some() => return Ok(vec![Outcome::Failed(fault)]),
            Err(fault) => return Ok(vec![Outcome::Odd(fault)]),
        };
        let mut outcomes = Vec::with_capacity(content.identifiers.len());
        let wanted = content.identifiers.into_iter();
        for identifier in wanted.filter(|identifier| !self.options.except.contains(identifier)) {
            let entry = {
                let (store, name) = (Arc::clone(&self.store), content.name.clone());
                run_blocking(move || read_entry(&store, &name, &identifier)).await
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

    /// Imports an object, and separates faults of the object from failures of the repository.
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
        if !self.options.include_withdrawn {
            self.storing.refuse_withdrawn(&entry.identifier).await?;
        }
        let options = SingleFileOptions {
            max_manifest_bytes: self.storing.backend.capabilities().max_manifest_bytes,
            ..SingleFileOptions::default()
        };
        let manifest = object_manifest(&entry.file, Some(&entry.document.says), &options);
        let manifest = manifest.map_err(Error::from)?;
        let wanted = ObjectToStore {
            manifest,
            content: &entry.file.digest,
            identifier: &entry.identifier,
            tags: &[],
            exactly: false,
        };
        let place = self.storing.find(&wanted).await?;
        let mut totals = Totals::default();
        if !place.is_there {
            // The semaphore is never closed, so this only waits.
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

    /// Sends an object, and compares it with its declared checksum.
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
            // The repository had the content from another object, so nothing has read this one yet.
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
        let hashed =
            run_blocking(move || hash_file(file, algorithms, None, &silent)).await.map_err(Error::from)?;
        if hashed.digest != entry.file.digest {
            let message = format!("its content has the digest {}", hashed.digest);
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

/// Tells whether the repository failed, and not the object.
fn is_of_the_repository(error: &Error) -> bool {
    use ErrorKind::{Invalid, TooLarge};
    error.of_store().is_some_and(|error| !matches!(error.kind(), Invalid | TooLarge))
}

/// Tells whether every other object would fail in the same way.
fn is_final(error: &Error) -> bool {
    use ErrorKind::{Denied, Unsupported};
    error.of_store().is_some_and(|error| matches!(error.kind(), Denied | Unsupported))
}

/// An object that can be imported.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) identifier: Identifier,
    /// Path of the object in the store, and on disk.
    pub(crate) place: String,
    pub(crate) path: PathBuf,
    pub(crate) document: Document,
    pub(crate) file: SingleFile,
    /// The algorithm to hash it by, if its name does not prove the declared checksum.
    pub(crate) algorithm: Option<Algorithm>,
}

/// Reads the files of an object. It blocks.
///
/// # Errors
///
/// If its references, its system metadata and its content contradict each other.
fn read_entry(store: &HashStore, name: &str, identifier: &Identifier) -> Result<Entry, ImportFault> {
    let text = identifier.as_str();
    check_reference(store, name, text)?;
    let document = system_metadata(store, identifier)?;
    let place = store.object(name);
    let fault = |message: String| ImportFault::of(text, place.clone(), message);
    // The name comes from the store, so check it before it becomes part of a path.
    let digest = format!("sha256:{name}").parse::<Digest>().ok().filter(|_| is_name(name));
    let digest = digest.ok_or_else(|| fault("its name is not a SHA-256".to_owned()))?;
    let (_, size) = store.open_file(&place).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => fault("its object does not exist".to_owned()),
        _ => fault(error.to_string()),
    })?;
    let says = &document.says;
    if size != says.size {
        let message = format!("the system metadata declare {} bytes, the object has {size}", says.size);
        return Err(fault(message));
    }
    let file = object_file(says, digest, size);
    if *says.checksum.algorithm() == ChecksumAlgorithm::Sha256 && !says.checksum.matches_hex(name) {
        let named = Checksum::new(ChecksumAlgorithm::Sha256, name);
        return Err(fault(format!(
            "the system metadata declare {}, the object is named {named}",
            says.checksum
        )));
    }
    let (identifier, path) = (identifier.clone(), store.root().join(&place));
    Ok(Entry { identifier, path, algorithm: object_algorithm(says), place, document, file })
}

fn check_reference(store: &HashStore, name: &str, identifier: &str) -> Result<(), ImportFault> {
    let path = store.reference(identifier);
    let fault = |message: String| ImportFault::of(identifier, path.clone(), message);
    match store.read_reference(&path) {
        Ok(Some(named)) if named == name => Ok(()),
        Ok(Some(named)) => {
            Err(fault(format!("{} lists it, but this reference names the object {named}", store.list(name))))
        }
        Ok(None) => Err(fault(format!("{} lists it, but this reference does not exist", store.list(name)))),
        Err(error) => Err(fault(error.to_string())),
    }
}

fn system_metadata(store: &HashStore, identifier: &Identifier) -> Result<Document, ImportFault> {
    let path = store.system_metadata(identifier.as_str());
    let fault = |message: String| ImportFault::of(identifier.as_str(), path.clone(), message);
    let bytes = store.read_file(&path, MAX_SYSTEM_METADATA_BYTES as u64);
    let bytes = bytes.map_err(|error| fault(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| fault("it has no system metadata".to_owned()))?;
    let document = Document::parse(bytes).map_err(|error| fault(error.to_string()))?;
    match document.says.identifier == *identifier {
        true => Ok(document),
        false => Err(fault(format!("its system metadata are those of `{}`", document.says.identifier))),
    }
}
