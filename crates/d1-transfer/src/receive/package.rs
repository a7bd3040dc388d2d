//! Receiving many files at once, and collecting what is wrong with any of them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, Digests, MultiHasher};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Digest, annotations};
use registry_backend::RegistryBackend;

use super::archive_files::{ArchiveFiles, ArchiveOutcome};
use super::file::{FileBlobs, receive_file};
use super::job::{ArchiveJob, Expected, Job, jobs};
use crate::archive::read_archive_layer;
use crate::pull::Staging;
use crate::read::read_file;
use crate::{ContentFault, Error, Event, Observer, OpenPackage, Phase, Result};

/// Where received files go.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// Into a staging directory.
    Staging(Arc<Staging>),
    /// Nowhere: they are only hashed.
    Nowhere,
}

/// What to receive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiving<'a> {
    pub(crate) package: &'a OpenPackage,
    pub(crate) wanted: &'a Wanted<'a>,
    pub(crate) destination: &'a Destination,
    /// Algorithms to compute for each file; SHA-256 is among them.
    pub(crate) algorithms: AlgorithmSet,
    /// Which files' bytes are wanted in memory as well, by path.
    pub(crate) keep: fn(&str) -> bool,
    /// Whether to go on after a file was found damaged.
    pub(crate) keep_going: bool,
}

/// The files that are wanted, by path below the package's directory.
pub(crate) type Wanted<'a> = HashSet<&'a str>;

/// A file that came, with the digests of the bytes that came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) digests: Digests,
}

/// Everything that came.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) files: Vec<Received>,
    pub(crate) kept: BTreeMap<String, Vec<u8>>,
    pub(crate) faults: Vec<ContentFault>,
    /// Number of bytes that were received.
    pub(crate) bytes: u64,
}

/// Receives files, several at once.
///
/// # Errors
///
/// [`Error::Content`] for the first damaged file, unless `keep_going`; what the store or the file system fails with.
pub(crate) async fn receive_package(
    backend: &dyn RegistryBackend,
    receiving: Receiving<'_>,
    observer: &Arc<dyn Observer>,
) -> Result<Arrived> {
    let capabilities = backend.capabilities();
    let jobs = jobs(&receiving.package.view, receiving.wanted, capabilities.range_reads);
    let (items, bytes) = (jobs.iter().map(Job::files).sum(), jobs.iter().map(Job::bytes).sum());
    let phase = Phase::Download;
    observer.event(&Event::Began { phase, items, bytes });
    let receiver = Receiver { backend, receiving, observer };
    let receiver = &receiver;
    let mut outcomes = futures::stream::iter(jobs)
        .map(|job| async move { receiver.receive(job).await })
        .buffer_unordered(capabilities.parallel_blobs.max(1));
    let mut arrived = Arrived { bytes, ..Arrived::default() };
    while let Some(outcome) = outcomes.try_next().await? {
        arrived.files.extend(outcome.files);
        arrived.kept.extend(outcome.kept);
        arrived.faults.extend(outcome.faults);
    }
    drop(outcomes);
    observer.event(&Event::Ended { phase });
    arrived.faults.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(arrived)
}

struct Receiver<'a> {
    backend: &'a dyn RegistryBackend,
    receiving: Receiving<'a>,
    observer: &'a Arc<dyn Observer>,
}

impl Receiver<'_> {
    /// Receives one job; damage ends everything or is noted.
    async fn receive(&self, job: Job) -> Result<Arrived> {
        let result = match &job {
            Job::File { blobs, expected } => self.file(blobs, expected).await,
            Job::Range { expected } => self.range(expected).await,
            Job::Archive { layer, expected } => self.archive(layer, expected.clone()).await,
        };
        match result {
            Err(Error::Content { faults }) => {
                let faults = self.diagnose(&job, faults).await?;
                if self.receiving.keep_going {
                    return Ok(Arrived { faults, ..Arrived::default() });
                }
                Err(Error::Content { faults })
            }
            result => result,
        }
    }

    async fn file(&self, blobs: &FileBlobs, expected: &[Expected]) -> Result<Arrived> {
        let partial = match self.receiving.destination {
            Destination::Staging(staging) => Some(staging.partial(&blobs.path)),
            Destination::Nowhere => None,
        };
        let resumed = partial.as_ref().is_some_and(|path| path.exists());
        let receive = || {
            receive_file(self.backend, blobs, self.receiving.algorithms, partial.as_deref(), self.observer)
        };
        let mut digests = receive().await?;
        let mut checked = check_all(expected, &digests);
        if let (Err(_), Some(path)) = (&checked, &partial) {
            // What an earlier attempt left may be to blame: it was on disk, unverified.
            fs::remove_file(path).map_err(|error| Error::io("remove", path, error))?;
            if resumed {
                digests = receive().await?;
                checked = check_all(expected, &digests);
            }
        }
        if let Err(error) = checked {
            if let Some(path) = &partial {
                let _ = fs::remove_file(path);
            }
            return Err(error);
        }
        self.place(blobs, expected)?;
        let received =
            |file: &Expected| Received { path: file.path.clone(), size: file.size, digests: digests.clone() };
        let kept = self.keep_placed(expected)?;
        self.observer.event(&Event::Advanced {
            phase: Phase::Download,
            items: expected.len() as u64,
            bytes: 0,
        });
        Ok(Arrived { files: expected.iter().map(received).collect(), kept, ..Arrived::default() })
    }

    /// Gives a received file all the names under which the package has its bytes.
    fn place(&self, blobs: &FileBlobs, expected: &[Expected]) -> Result<()> {
        let Destination::Staging(staging) = self.receiving.destination else { return Ok(()) };
        let partial = staging.partial(&blobs.path);
        for file in expected.iter().skip(1) {
            let copy = staging.partial(&file.path);
            fs::copy(&partial, &copy).map_err(|error| Error::io("write", &copy, error))?;
            staging.finish(&file.path, &self.full_path(&file.path))?;
        }
        match expected.first() {
            Some(file) => staging.finish(&file.path, &self.full_path(&file.path)),
            None => Ok(()),
        }
    }

    fn keep_placed(&self, expected: &[Expected]) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut kept = BTreeMap::new();
        let Destination::Staging(staging) = self.receiving.destination else { return Ok(kept) };
        for file in expected.iter().filter(|file| (self.receiving.keep)(&file.path)) {
            let path = staging.finished(&self.full_path(&file.path));
            kept.insert(file.path.clone(), fs::read(&path).map_err(|error| Error::io("read", path, error))?);
        }
        Ok(kept)
    }

    /// Receives one file out of an archive.
    async fn range(&self, expected: &Expected) -> Result<Arrived> {
        let (output, partial) = match self.receiving.destination {
            Destination::Staging(staging) => {
                let path = staging.partial(&expected.path);
                (
                    Some(fs::File::create(&path).map_err(|error| Error::io("create", &path, error))?),
                    Some(path),
                )
            }
            Destination::Nowhere => (None, None),
        };
        let kept = (self.receiving.keep)(&expected.path).then(Vec::new);
        let sink = Sink { hasher: MultiHasher::new(self.receiving.algorithms), output, kept };
        let result = read_file(self.backend, self.receiving.package, &expected.path, None, sink).await;
        if let (Err(_), Some(path)) = (&result, &partial) {
            let _ = fs::remove_file(path);
        }
        let sink = result?;
        if let Destination::Staging(staging) = self.receiving.destination {
            staging.finish(&expected.path, &self.full_path(&expected.path))?;
        }
        self.observer.event(&Event::Advanced { phase: Phase::Download, items: 1, bytes: expected.size });
        let received =
            Received { path: expected.path.clone(), size: expected.size, digests: sink.hasher.finish() };
        let kept = sink.kept.into_iter().map(|bytes| (expected.path.clone(), bytes)).collect();
        Ok(Arrived { files: vec![received], kept, ..Arrived::default() })
    }

    async fn archive(
        &self,
        layer: &ArchiveJob,
        expected: Option<Arc<std::collections::HashMap<String, Expected>>>,
    ) -> Result<Arrived> {
        let missing = expected.clone();
        let files = ArchiveFiles {
            layer: layer.clone(),
            expected,
            algorithms: self.receiving.algorithms,
            keep: self.receiving.keep,
            observer: Arc::clone(self.observer),
        };
        let directory = match self.receiving.destination {
            Destination::Staging(staging) => Some(staging.finished(&self.full_path(&layer.path))),
            Destination::Nowhere => None,
        };
        let observer = Some(self.observer);
        let outcome =
            read_archive_layer(self.backend, &layer.descriptor, observer, move |reader| match directory {
                Some(directory) => files.unpack(&directory, reader),
                None => files.hash(reader),
            })
            .await?;
        check_tar_digest(layer, &outcome)?;
        if let Some(expected) = missing {
            let came: HashSet<&str> = outcome.files.iter().map(|file| file.path.as_str()).collect();
            if let Some(file) = expected.values().find(|file| !came.contains(file.path.as_str())) {
                return Err(Error::content(
                    &file.path,
                    "it is not in the archive that the index places it in",
                ));
            }
        }
        Ok(Arrived { files: outcome.files, kept: outcome.kept, ..Arrived::default() })
    }

    /// Finds out which files of a damaged archive are affected, by reading each by itself; other damage has its file already.
    async fn diagnose(&self, job: &Job, faults: Vec<ContentFault>) -> Result<Vec<ContentFault>> {
        let Job::Archive { expected: Some(expected), .. } = job else { return Ok(faults) };
        if !self.backend.capabilities().range_reads {
            return Ok(faults);
        }
        let mut found = Vec::new();
        for file in expected.values() {
            match read_file(self.backend, self.receiving.package, &file.path, None, std::io::sink()).await {
                Err(Error::Content { faults }) => found.extend(faults),
                Err(Error::Package(error)) => {
                    found.push(ContentFault { path: file.path.clone(), message: error.to_string() });
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        // Damage may lie where no file is: then the layer is all there is to name.
        Ok(if found.is_empty() { faults } else { found })
    }

    /// Returns a path below the package's directory as a path below the output directory.
    fn full_path(&self, path: &str) -> String {
        join(self.receiving.package.view.directory(), path)
    }
}

/// Joins two relative paths, either of which may be empty.
pub(crate) fn join(directory: &str, path: &str) -> String {
    match (directory, path) {
        ("", path) => path.to_owned(),
        (directory, "") => directory.to_owned(),
        (directory, path) => format!("{directory}/{path}"),
    }
}

/// Compares a file that came with what is known of it.
pub(crate) fn check_file(expected: &Expected, size: u64, digests: &Digests) -> Result<(), String> {
    if size != expected.size {
        return Err(format!("it has {size} bytes, not the {} that the package says", expected.size));
    }
    let Some(wanted) = expected.sha256 else { return Ok(()) };
    match digests.get(Algorithm::Sha256) {
        Some(found) if found == wanted => Ok(()),
        found => {
            let found: Option<[u8; 32]> = found.and_then(|found| found.try_into().ok());
            let found =
                found.map_or_else(|| "none".to_owned(), |found| Digest::from_sha256(found).to_string());
            Err(format!("its bytes have the digest {found}, not {}", Digest::from_sha256(wanted)))
        }
    }
}

fn check_all(expected: &[Expected], digests: &Digests) -> Result<()> {
    let mut faults = Vec::new();
    for file in expected {
        if let Err(message) = check_file(file, file.size, digests) {
            faults.push(ContentFault { path: file.path.clone(), message });
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Content { faults }) }
}

/// Compares the tar archive with the annotation that `oras` writes and checks.
fn check_tar_digest(layer: &ArchiveJob, outcome: &ArchiveOutcome) -> Result<()> {
    let stated = layer.descriptor.annotation(annotations::ORAS_CONTENT_DIGEST);
    let stated: Option<Digest> = stated.and_then(|stated| stated.parse().ok());
    match (stated, &outcome.tar_digest) {
        (Some(stated), Some(actual)) if stated.sha256_bytes().is_some() && stated != *actual => Err(
            Error::content(&layer.title, format!("its tar archive has the digest {actual}, not {stated}")),
        ),
        _ => Ok(()),
    }
}

/// Hashes what is written, and passes it on.
struct Sink {
    hasher: MultiHasher,
    output: Option<fs::File>,
    kept: Option<Vec<u8>>,
}

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(output) = &mut self.output {
            output.write_all(bytes)?;
        }
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(bytes);
        }
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.as_mut().map_or(Ok(()), std::io::Write::flush)
    }
}
