//! Receiving the files of a package, several at once: every byte is hashed and compared as it comes.

mod archive_files;
mod damage;
pub(crate) mod file;
pub(crate) mod files;
pub(crate) mod job;
mod proof;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{fs, io};

use bagit::{AlgorithmSet, Digests};
use d1_package::PackageView;
use futures::future::{Either, select};
use futures::{StreamExt, TryStreamExt};
use multi_digest::Lanes;
use oci_model::{Digest, annotations};
use registry_backend::RegistryBackend;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::archive::read_archive_layer;
use crate::blocking::run_blocking;
use crate::error::{ContentFault, Error, Result};
use crate::event::{BlobOutcome, Event, Meter, Observer, Phase, RunningPhase, total};
use crate::names::{join, title};
use crate::package::OpenPackage;
use crate::read::read_counted;
use crate::receive::archive_files::{ArchiveFiles, ArchiveOutcome};
use crate::receive::damage::damaged_files;
use crate::receive::file::{Came, Incoming, Keeping, KeptBytes, Partial, Sink, receive_file};
use crate::receive::files::{CameFiles, Expected, FileSet, lock};
use crate::receive::job::{ArchiveJob, Blob, Job, jobs, position_among};
use crate::receive::proof::Prover;
use crate::staging::Staging;
use crate::upload::is_loss;

/// The target of received files.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// Into a staging directory.
    Staging(Arc<Staging>),
    /// Nowhere. The files are only hashed.
    Nowhere,
}

/// A set of files to receive.
pub(crate) struct Receiving {
    pub(crate) package: Arc<OpenPackage>,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) destination: Destination,
    /// Algorithms for every file. They include SHA-256.
    pub(crate) algorithms: AlgorithmSet,
    /// Whether to continue after a damaged file.
    pub(crate) keep_going: bool,
    /// Directory for large files whose bytes are needed too. Without one, they stay in memory.
    pub(crate) spill: Option<Arc<Path>>,
}

/// The wanted files of a package.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The files.
    pub(crate) files: FileSet,
    /// Positions of the files whose bytes are needed in memory too.
    pub(crate) kept: HashSet<usize>,
    /// Whether archives without known files are wanted.
    pub(crate) unlisted: bool,
}

impl Wanted {
    /// Returns the known properties of a file, whether it is wanted or not.
    pub(crate) fn expected(&self, view: &PackageView, position: usize) -> Option<Expected> {
        Some(Expected::of(position, &view.entry_at(position)?, self.kept.contains(&position)))
    }
}

/// The received files.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) came: CameFiles,
    pub(crate) kept: BTreeMap<String, KeptBytes>,
    pub(crate) faults: Vec<ContentFault>,
    /// Number of received bytes.
    pub(crate) bytes: u64,
}

impl Arrived {
    /// Returns a result with faults only.
    pub(crate) fn with_faults(faults: Vec<ContentFault>) -> Self {
        Self { faults, ..Self::default() }
    }
}

/// Receives files, several at once.
///
/// # Errors
///
/// [`Error::Content`] for the first damaged file, unless `keep_going` is set. Also fails if the store or the
/// file system fails.
pub(crate) async fn receive_package(
    backend: &dyn RegistryBackend,
    receiving: Receiving,
    observer: &Arc<dyn Observer>,
) -> Result<Arrived> {
    let capabilities = backend.capabilities();
    let jobs = jobs(&receiving.package.view, &receiving.wanted, capabilities.range_reads);
    let (items, bytes) = (jobs.iter().map(Job::files).sum(), total(jobs.iter().map(Job::bytes)));
    let _phase = RunningPhase::begin(observer, Phase::Download, items, bytes);
    let (prover, proving) = match &receiving.destination {
        Destination::Staging(staging) => {
            let (prover, proving) = Prover::new(staging);
            (Some(prover), Either::Left(proving))
        }
        Destination::Nowhere => (None, Either::Right(std::future::pending())),
    };
    let parallel = capabilities.parallel_blobs.max(1);
    let receiver = Receiver {
        backend,
        receiving,
        came: Arc::default(),
        meter: Meter::new(observer),
        prover,
        slots: Semaphore::new(parallel),
    };
    let received = std::pin::pin!(receive_all(&receiver, jobs, parallel + Lanes::MOST));
    match select(received, std::pin::pin!(proving)).await {
        Either::Left((arrived, _)) => arrived,
        // The prover has ended, and so every request to it fails.
        Either::Right(((), received)) => received.await,
    }
}

/// Runs the jobs. Those that wait for the hashing of their files do not keep others from receiving.
async fn receive_all(receiver: &Receiver<'_>, jobs: Vec<Job>, at_once: usize) -> Result<Arrived> {
    let mut outcomes = futures::stream::iter(jobs).map(|job| receiver.receive(job)).buffer_unordered(at_once);
    let mut arrived = Arrived::default();
    while let Some(outcome) = outcomes.try_next().await? {
        arrived.kept.extend(outcome.kept);
        arrived.faults.extend(outcome.faults);
    }
    arrived.bytes = receiver.meter.bytes();
    arrived.came = std::mem::take(&mut *lock(&receiver.came));
    arrived.faults.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(arrived)
}

struct Receiver<'a> {
    backend: &'a dyn RegistryBackend,
    receiving: Receiving,
    /// The files that have come so far.
    came: Arc<Mutex<CameFiles>>,
    meter: Meter,
    /// Hashes files in the staging directory.
    prover: Option<Prover>,
    /// As many permits as blobs that are received at once.
    slots: Semaphore,
}

impl Receiver<'_> {
    /// Runs one job. Damage ends everything, or is collected.
    async fn receive(&self, job: Job) -> Result<Arrived> {
        let slot = self.slots.acquire().await;
        let result = match &job {
            Job::Files { blobs, files } => self.files(blobs, files, slot.ok()).await,
            Job::Range { file, .. } => self.range(file).await,
            Job::Archive { layer, files } => self.archive(layer, files.clone()).await,
        };
        match result.map_err(|error| lost(error, &job)) {
            Err(Error::Content { faults }) => {
                let faults = self.diagnose(&job, faults).await?;
                if self.receiving.keep_going {
                    return Ok(Arrived::with_faults(faults));
                }
                Err(Error::Content { faults })
            }
            result => result,
        }
    }

    /// Receives files with blobs of their own. The slot is free again when all bytes have come.
    async fn files(
        &self,
        blobs: &[Blob],
        files: &[Expected],
        slot: Option<SemaphorePermit<'_>>,
    ) -> Result<Arrived> {
        let partial =
            self.partial(&blobs.iter().map(|blob| blob.digest.as_str()).collect::<Vec<_>>().join(" "));
        let size = total(blobs.iter().map(|blob| blob.size));
        let judge_blobs = files.iter().any(|file| file.sha256.is_none());
        let is_kept = files.iter().any(|file| file.kept);
        let later = self.prover.as_ref().zip(partial.as_ref());
        let later = later.filter(|_| !judge_blobs && !is_kept && Prover::takes(size));
        let algorithms = self.receiving.algorithms;
        let incoming = || Incoming {
            blobs,
            algorithms: if later.is_some() { AlgorithmSet::EMPTY } else { algorithms },
            judge_blobs,
            keeping: files.iter().find_map(|file| self.keeping(file)),
            partial: partial.as_ref(),
        };
        let receive = async |slot| {
            let mut came = receive_file(self.backend, incoming(), &self.meter).await?;
            drop(slot);
            if let Some((prover, partial)) = later {
                came.digests = prover.prove(&partial.path, size, algorithms).await?;
            }
            Ok::<_, Error>(came)
        };
        let mut came = receive(slot).await?;
        let mut faults = judge(files, &came);
        if !faults.is_empty() && came.resumed {
            remove(partial.as_ref()).await?;
            came = receive(None).await?;
            faults = judge(files, &came);
        }
        if !faults.is_empty() {
            remove(partial.as_ref()).await?;
            return Err(Error::Content { faults });
        }
        if let Some(partial) = partial {
            let names = files.iter().map(|file| self.full_path(&file.path)).collect();
            run_blocking(move || place(&partial, names)).await?;
        }
        let name = files.first().map_or("", |file| &file.path);
        blobs.iter().for_each(|blob| self.came(name, &blob.digest, blob.size));
        self.meter.advance(files.len() as u64, 0);
        files.iter().for_each(|file| self.note(file, &came.digests));
        let kept = files.iter().filter(|file| file.kept);
        Ok(Arrived {
            kept: kept.filter_map(|file| Some((file.path.clone(), came.kept.clone()?))).collect(),
            ..Arrived::default()
        })
    }

    /// Receives one file of an archive.
    async fn range(&self, file: &Expected) -> Result<Arrived> {
        let partial = self.partial(&file.path);
        let sink = {
            let (algorithms, partial) = (self.receiving.algorithms, partial.clone());
            let keeping = self.keeping(file);
            run_blocking(move || Sink::new(algorithms, keeping, partial.as_ref())).await?
        };
        let package = &self.receiving.package;
        let read = read_counted(self.backend, package, &file.path, None, sink, Some(&self.meter)).await;
        if read.is_err() {
            remove(partial.as_ref()).await?;
        }
        let Sink { hasher, keeping, .. } = read?;
        let kept = keeping.map(Keeping::finish).transpose();
        let kept = kept.map_err(|error| Error::io("write", "a temporary file", error))?;
        if let Some(partial) = partial {
            let names = vec![self.full_path(&file.path)];
            run_blocking(move || place(&partial, names)).await?;
        }
        self.meter.advance(1, 0);
        self.note(file, &hasher.finish());
        Ok(Arrived {
            kept: kept.into_iter().map(|kept| (file.path.clone(), kept)).collect(),
            ..Arrived::default()
        })
    }

    async fn archive(&self, layer: &ArchiveJob, positions: Option<Arc<Vec<u32>>>) -> Result<Arrived> {
        let files = ArchiveFiles {
            layer: layer.clone(),
            package: Arc::clone(&self.receiving.package),
            wanted: Arc::clone(&self.receiving.wanted),
            positions: positions.clone(),
            algorithms: self.receiving.algorithms,
            spill: self.receiving.spill.clone(),
            came: Arc::clone(&self.came),
            meter: self.meter.clone(),
            prover: self.prover.clone(),
        };
        let (destination, place) = (self.receiving.destination.clone(), self.full_path(&layer.path));
        let destination = match destination {
            Destination::Staging(staging) => {
                Some(run_blocking(move || Ok::<_, Error>((staging.directory(&place)?, staging))).await?)
            }
            Destination::Nowhere => None,
        };
        let meter = Some(&self.meter);
        let outcome =
            read_archive_layer(self.backend, &layer.descriptor, meter, move |reader| match destination {
                // The staging directory stays locked while this thread writes.
                Some((directory, _staging)) => files.unpack(&directory, reader),
                None => files.hash(reader),
            })
            .await?;
        check_tar_digest(layer, &outcome)?;
        self.check_complete(positions.as_deref().map(Vec::as_slice).unwrap_or_default())?;
        self.came(title(&layer.descriptor), &layer.descriptor.digest, layer.descriptor.size);
        Ok(Arrived { kept: outcome.kept, ..Arrived::default() })
    }

    /// Finds out which files of a damaged archive are affected.
    async fn diagnose(&self, job: &Job, faults: Vec<ContentFault>) -> Result<Vec<ContentFault>> {
        let Job::Archive { layer, files: Some(positions) } = job else { return Ok(faults) };
        let view = &self.receiving.package.view;
        let is_wanted = |path: &str| position_among(view, positions, path).is_some();
        let is_named = || faults.iter().all(|fault| is_wanted(&fault.path));
        let all = self.receiving.keep_going;
        if !self.backend.capabilities().range_reads || (!all && is_named()) {
            return Ok(faults);
        }
        let expected = |position: &u32| self.receiving.wanted.expected(view, *position as usize);
        let files = positions.iter().filter_map(expected);
        let found = damaged_files(self.backend, &self.receiving.package, layer.layer, files, all);
        match found.await {
            // If the damage is outside all files, the fault names the layer.
            Ok(found) if found.is_empty() => Ok(faults),
            Err(Error::Backend(error)) if is_loss(error.kind()) => Ok(faults),
            found => found,
        }
    }

    /// Checks that every file came that the index places in an archive.
    fn check_complete(&self, positions: &[u32]) -> Result<()> {
        let view = &self.receiving.package.view;
        let came = lock(&self.came);
        let entries = positions.iter().map(|position| *position as usize);
        let entries = entries.filter_map(|position| Some((position, view.entry_at(position)?)));
        let missing = entries.filter(|(position, entry)| !came.has(*position, entry.path));
        let message = "expected it in its archive, found no such entry";
        let mut faults: Vec<ContentFault> = missing
            .map(|(_, entry)| ContentFault { path: entry.path.to_owned(), message: message.to_owned() })
            .collect();
        faults.sort_by(|left, right| left.path.cmp(&right.path));
        if faults.is_empty() { Ok(()) } else { Err(Error::Content { faults }) }
    }

    fn keeping(&self, file: &Expected) -> Option<Keeping> {
        file.kept.then(|| Keeping::new(&file.path, self.receiving.spill.as_ref()))
    }

    /// Adds a received file.
    fn note(&self, file: &Expected, digests: &Digests) {
        if let Some(entry) = self.receiving.package.view.entry_at(file.position) {
            lock(&self.came).note(file.position, &entry, digests);
        }
    }

    fn partial(&self, key: &str) -> Option<Partial> {
        match &self.receiving.destination {
            Destination::Staging(staging) => {
                Some(Partial { path: staging.partial(key), staging: Arc::clone(staging) })
            }
            Destination::Nowhere => None,
        }
    }

    /// Returns a path below the package's directory as a path below the output directory.
    fn full_path(&self, path: &str) -> String {
        join(self.receiving.package.view.directory(), path)
    }

    fn came(&self, title: &str, digest: &Digest, size: u64) {
        let outcome = BlobOutcome::Downloaded;
        self.meter.observer().event(&Event::Blob { title, digest, size, outcome });
    }
}

/// Turns a lost or altered blob into damage of its files.
fn lost(error: Error, job: &Job) -> Error {
    let Error::Backend(failure) = &error else { return error };
    if !is_loss(failure.kind()) {
        return error;
    }
    let message = failure.to_string();
    let faults = match job {
        Job::Files { files, .. } => files.iter().map(|file| file.fault(message.clone())).collect(),
        Job::Range { file, .. } => vec![file.fault(message)],
        Job::Archive { layer, .. } => vec![ContentFault { path: layer.title.clone(), message }],
    };
    Error::Content { faults }
}

fn judge(files: &[Expected], came: &Came) -> Vec<ContentFault> {
    let wrong = |file: &Expected| {
        let message = file.check(file.size, &came.digests).err().or_else(|| came.fault.clone())?;
        Some(file.fault(message))
    };
    files.iter().filter_map(wrong).collect()
}

/// Gives a received file all its names in the package.
fn place(partial: &Partial, names: Vec<String>) -> Result<()> {
    let Some((last, others)) = names.split_last() else { return Ok(()) };
    for name in others {
        let copy = partial.staging.partial(name);
        let mut source = partial.staging.open_partial(&partial.path)?;
        let mut target = partial.staging.open_partial(&copy)?;
        let copied = target.set_len(0).and_then(|()| io::copy(&mut source, &mut target));
        copied.map_err(|error| Error::io("write", &copy, error))?;
        partial.staging.finish(&copy, name)?;
    }
    partial.staging.finish(&partial.path, last)
}

pub(crate) async fn remove(partial: Option<&Partial>) -> Result<()> {
    let Some(partial) = partial.cloned() else { return Ok(()) };
    run_blocking(move || {
        fs::remove_file(&partial.path).map_err(|error| Error::io("remove", &partial.path, error))
    })
    .await
}

/// Compares the tar archive with the annotation that `oras` writes and checks.
fn check_tar_digest(layer: &ArchiveJob, outcome: &ArchiveOutcome) -> Result<()> {
    let stated = layer.descriptor.annotation(annotations::ORAS_CONTENT_DIGEST);
    let stated: Option<Digest> = stated.and_then(|stated| stated.parse().ok());
    match (stated, &outcome.tar_digest) {
        (Some(stated), Some(actual)) if stated.sha256_bytes().is_some() && stated != *actual => {
            Err(Error::content(
                &layer.title,
                format!("expected a tar archive with the digest {stated}, found {actual}"),
            ))
        }
        _ => Ok(()),
    }
}
