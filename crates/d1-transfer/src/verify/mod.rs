//! Verifying packages where they are stored, one or all of a repository.

mod blobs;
pub(crate) mod system_metadata;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bagit::{Algorithm, AlgorithmSet, Report, TagFiles};
use d1_model::MAX_SYSTEM_METADATA_BYTES;
use d1_package::Accept;
use d1_package::annotations::D1_IDENTIFIER;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, RawManifest, Tag};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend};
use serde::Serialize;

use crate::error::{ContentFault, Error, Result, with_causes};
use crate::event::{Observer, total};
use crate::names::title;
use crate::package::{IndexCopy, OpenPackage, open_read};
use crate::receive::files::check_kept_size;
use crate::receive::{Arrived, Destination, Receiving, Wanted, receive_package};
use crate::tagged::{Extent, Reached, concerns_content, walk_everything};
use crate::upload::is_whole;
use crate::verify::system_metadata::{Attached, SystemMetadataAudit, algorithm_of, attached, is_object};

/// Options of a verification.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Whether to read every byte. Otherwise manifests and tag files are read, and the other blobs must only
    /// exist.
    pub deep: bool,
    /// Whether to compare every object with its system metadata. They are in the package, or attached to an
    /// object that is stored by itself.
    pub system_metadata: bool,
    /// Whose faults in a bag are tolerated.
    pub accept: Accept,
    /// Directory for manifests of more than 1 MiB. Without one, they stay in memory.
    pub temporary_directory: Option<PathBuf>,
    /// The most bytes of content for each byte of an archive without an index. Without it,
    /// [`MAX_RATIO`](oci_pack::MAX_RATIO).
    pub max_ratio: Option<u64>,
}

/// The result of a verification.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VerifyReport {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Whether every byte was read.
    pub deep: bool,
    /// Whether there are no faults.
    pub valid: bool,
    /// Number of files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of bytes that were read.
    pub read_bytes: u64,
    /// Faults of single files and layers.
    pub faults: Vec<ContentFault>,
    /// The result of validating the bag. Unless every byte was read, digests of payload files are those of the
    /// index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bag: Option<Report>,
    /// The result of comparing objects with their system metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_metadata: Option<SystemMetadataAudit>,
    /// The results for the children of an image index. Their files count in this report too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<VerifyReport>,
}

/// Verifies a package in a store, or the children of an image index.
///
/// Without `deep`, archives without an index are not read.
///
/// # Errors
///
/// Fails if the package cannot be opened or the store fails. Damage is in the report.
///
/// ```
/// # use std::sync::Arc;
/// # use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use d1_transfer::{VerifyOptions, verify};
/// # use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("temperature.csv"), "15,7.2\n")?;
/// # let backend = MemoryBackend::new();
/// # let observer: Arc<dyn Observer> = Arc::new(Silent);
/// # let pushed =
/// #     push_directory(&backend, folder.path(), &PushOptions::new(std::env::temp_dir()), &observer).await?;
/// let mut options = VerifyOptions::default();
/// options.deep = true;
/// let report = verify(&backend, &pushed.digest.into(), &options, &observer).await?;
/// assert!(report.valid && report.faults.is_empty());
/// assert_eq!((report.files, report.bytes), (1, 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn verify(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    options: &VerifyOptions,
    observer: &Arc<dyn Observer>,
) -> Result<VerifyReport> {
    let seen = Mutex::default();
    let raw = backend.read_manifest(at).await?;
    verify_raw(backend, raw, Walk { options, depth: 0, seen: &seen }, observer).await
}

/// Verifies a package that was opened already.
async fn verify_package(
    backend: &dyn RegistryBackend,
    package: &Arc<OpenPackage>,
    options: &VerifyOptions,
    observer: &Arc<dyn Observer>,
) -> Result<VerifyReport> {
    let attached = match options.system_metadata {
        true => attached(backend, package, observer).await?,
        false => None,
    };
    let attached = attached.as_ref();
    let wanted = wanted(package, options, attached);
    if let Err(Error::Content { faults }) = check_kept_size(&package.view, &wanted) {
        return Ok(report(package, Arrived::with_faults(faults), options, attached));
    }
    let algorithms = algorithms(package, attached);
    let mut arrived =
        receive_package(backend, receiving(package, wanted, algorithms, options), observer).await?;
    if options.system_metadata {
        hash_again(backend, package, &mut arrived, (algorithms, options), observer).await?;
    }
    let mut faults = match options.deep {
        true => {
            let (damaged, bytes) = blobs::damaged_others(backend, package).await?;
            arrived.bytes = arrived.bytes.saturating_add(bytes);
            damaged
        }
        false => blobs::missing(backend, package).await?,
    };
    // A missing blob may already have a fault.
    faults.retain(|fault| arrived.faults.iter().all(|other| other.path != fault.path));
    arrived.faults.extend(faults);
    Ok(report(package, arrived, options, attached))
}

fn receiving(
    package: &Arc<OpenPackage>,
    wanted: Wanted,
    algorithms: AlgorithmSet,
    options: &VerifyOptions,
) -> Receiving {
    let (package, wanted) = (Arc::clone(package), Arc::new(wanted));
    let spill = options.temporary_directory.as_deref().map(Into::into);
    Receiving { package, wanted, destination: Destination::Nowhere, algorithms, keep_going: true, spill }
}

/// Reads objects again whose system metadata use an algorithm that the index does not mention.
async fn hash_again(
    backend: &dyn RegistryBackend,
    package: &Arc<OpenPackage>,
    arrived: &mut Arrived,
    (hashed, options): (AlgorithmSet, &VerifyOptions),
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    let (files, algorithms) = system_metadata::not_hashed(package, &arrived.kept, hashed);
    if files.len() == 0 {
        return Ok(());
    }
    let wanted = Wanted { files, ..Wanted::default() };
    let algorithms = algorithms.union([Algorithm::Sha256].into_iter().collect());
    let again = receive_package(backend, receiving(package, wanted, algorithms, options), observer).await?;
    arrived.bytes = arrived.bytes.saturating_add(again.bytes);
    for (position, entry) in package.view.entries().enumerate() {
        if let Some(further) = again.came.digests(position, &entry) {
            arrived.came.note_further(position, &entry, &further);
        }
    }
    Ok(())
}

/// Chooses the files to read, and the files to keep in memory: tag files and system metadata. Objects are read
/// if they are compared with their system metadata.
fn wanted(package: &OpenPackage, options: &VerifyOptions, attached: Option<&Attached>) -> Wanted {
    let mut documents: HashSet<&str> = HashSet::new();
    if options.system_metadata {
        let objects = package.view.entries().filter_map(|entry| entry.object);
        documents.extend(objects.filter_map(|object| object.system_metadata.as_deref()));
    }
    let mut wanted = Wanted { unlisted: options.deep, ..Wanted::default() };
    for (position, entry) in package.view.entries().enumerate() {
        let is_tag_file = TagFiles::wants(entry.path);
        let is_document = documents.contains(entry.path) && entry.size <= MAX_SYSTEM_METADATA_BYTES as u64;
        if is_tag_file || is_document {
            wanted.kept.insert(position);
        }
        let is_audited = options.system_metadata && is_object(&entry, attached);
        if options.deep || is_tag_file || is_document || is_audited {
            wanted.files.insert(position);
        }
    }
    wanted
}

/// Returns all algorithms that the verification needs.
fn algorithms(package: &OpenPackage, attached: Option<&Attached>) -> AlgorithmSet {
    let mut names = TagFiles::new();
    let mut algorithms: AlgorithmSet = [Algorithm::Sha256].into_iter().collect();
    let attached = attached.and_then(|document| document.as_ref().ok());
    let attached = attached.and_then(|document| algorithm_of(&document.checksum));
    attached.into_iter().for_each(|algorithm| algorithms.insert(algorithm));
    for entry in package.view.entries() {
        if TagFiles::wants(entry.path) {
            names.insert(entry.path, Vec::new());
        }
        let declared = entry.object.and_then(|object| object.declared_checksum.as_ref());
        if let Some(algorithm) = declared.and_then(algorithm_of) {
            algorithms.insert(algorithm);
        }
    }
    algorithms.union(bagit::required_algorithms(&names).into_iter().collect())
}

fn report(
    package: &OpenPackage,
    mut arrived: Arrived,
    options: &VerifyOptions,
    attached: Option<&Attached>,
) -> VerifyReport {
    let view = &package.view;
    let is_bag = view.bag().is_some();
    let audit = || system_metadata::audit(package, &arrived.came, &arrived.kept, attached);
    let system_metadata = options.system_metadata.then(audit);
    // A damaged file has its fault already, so the bag's manifests would only repeat it.
    let is_judged = is_bag && arrived.faults.is_empty();
    let bag = is_judged.then(|| check_bag(package, &mut arrived, options.accept)).flatten();
    let valid = arrived.faults.is_empty()
        && bag.as_ref().is_none_or(|bag| bag.valid)
        && system_metadata.as_ref().is_none_or(|audit| audit.faults.is_empty());
    let (files, bytes) = match view.index() {
        Some(index) => {
            let files = index.files();
            (files.len() as u64, total(files.files().map(|file| file.size)))
        }
        None => {
            let (unlisted, unlisted_bytes) = arrived.came.unlisted(view);
            let listed = total(view.entries().map(|entry| entry.size));
            (view.entries().count() as u64 + unlisted, listed.saturating_add(unlisted_bytes))
        }
    };
    VerifyReport {
        digest: package.raw.digest().clone(),
        deep: options.deep,
        valid,
        files,
        bytes,
        read_bytes: arrived.bytes,
        faults: arrived.faults,
        bag,
        system_metadata,
        children: Vec::new(),
    }
}

/// Validates the bag by the received files, and by the index for all others.
fn check_bag(package: &OpenPackage, arrived: &mut Arrived, accept: Accept) -> Option<Report> {
    let stated = package.view.index()?.files().inventory();
    let mut tag_files = TagFiles::new();
    for (path, kept) in std::mem::take(&mut arrived.kept) {
        if TagFiles::wants(&path) {
            kept.insert_into(&mut tag_files, &path);
        }
    }
    let inventory = arrived.came.inventory(stated);
    Some(bagit::check(&inventory, &tag_files, &accept.check_options()))
}

/// How many artifacts are verified at once. The blobs of each are read in parallel too.
const ARTIFACTS_AT_ONCE: usize = 2;

/// How many artifacts are verified at once in a store that takes many requests, if few of their bytes are read.
const MOST_ARTIFACTS_AT_ONCE: usize = 16;

/// The result for one artifact of a repository.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VerifiedArtifact {
    /// A tag that names it. Absent for a child of an index, a referrer, and an artifact without a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Digest of its manifest. Absent if its tag names nothing readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// DataONE identifier that it states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// The result, if the artifact could be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<VerifyReport>,
    /// The reason why it could not be verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl VerifiedArtifact {
    /// Tells whether it was verified and has no faults.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.valid)
    }
}

/// Verifies every artifact that has a tag or another name, and the children of image indexes. With `deep`, it also verifies referrers,
/// and artifacts without a tag if the store lists them. An artifact that cannot be verified is among the results.
///
/// # Errors
///
/// Fails if the repository does not exist, tags or referrers cannot be listed, or the store fails.
pub fn verify_all<'a>(
    backend: &'a dyn RegistryBackend,
    options: &'a VerifyOptions,
    observer: &'a Arc<dyn Observer>,
) -> BoxStream<'a, Result<VerifiedArtifact>> {
    let capabilities = backend.capabilities();
    let at_once = match (options.deep || options.system_metadata, capabilities.parallel_manifests) {
        (false, Some(manifests)) => manifests.clamp(ARTIFACTS_AT_ONCE, MOST_ARTIFACTS_AT_ONCE),
        _ => ARTIFACTS_AT_ONCE,
    };
    walk_everything(backend, Extent { referrers: options.deep, untagged: options.deep })
        .map_ok(move |reached| verify_reached(backend, reached, options, observer))
        .try_buffered(at_once)
        .boxed()
}

async fn verify_reached(
    backend: &dyn RegistryBackend,
    reached: Reached,
    options: &VerifyOptions,
    observer: &Arc<dyn Observer>,
) -> Result<VerifiedArtifact> {
    let Reached { tag, digest, manifest } = reached;
    let (raw, manifest) = match manifest {
        Ok(manifest) => manifest,
        Err(error) => {
            let error = Some(with_causes(&error));
            return Ok(VerifiedArtifact { tag, digest, identifier: None, report: None, error });
        }
    };
    let identifier = manifest.annotations().get(D1_IDENTIFIER).cloned();
    let verified = match manifest {
        // The walk reaches its children too.
        Manifest::Index(_) => Ok(VerifyReport::of_index(raw.digest(), options, Vec::new(), Vec::new())),
        Manifest::Image(image) => match open_read(backend, raw, image, IndexCopy::Blob).await {
            Ok(package) => {
                let package = Arc::new(package.with_max_ratio(options.max_ratio));
                verify_package(backend, &package, options, observer).await
            }
            Err(error) => Err(error),
        },
        other => Ok(verify_blobs(backend, raw.digest(), &other, options).await?),
    };
    let (report, error) = match verified {
        Ok(report) => (Some(report), None),
        Err(error) => (None, Some(with_causes(&error))),
    };
    Ok(VerifiedArtifact { tag, digest, identifier, report, error })
}

/// How deep image indexes may nest.
const DEEPEST_INDEX: usize = 16;

/// How many children of an image index are verified.
const MOST_CHILDREN: usize = 10_000;

/// The state of a walk through image indexes.
#[derive(Clone, Copy)]
struct Walk<'a> {
    options: &'a VerifyOptions,
    depth: usize,
    /// The children that were verified. Each is verified once, because indexes can name one child many times.
    seen: &'a Mutex<HashSet<Digest>>,
}

impl Walk<'_> {
    /// Tells whether a child is met for the first time.
    fn is_new(&self, child: &Digest) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(child.clone())
    }
}

/// Verifies the children of an image index, one after the other.
fn verify_index<'a>(
    backend: &'a dyn RegistryBackend,
    raw: RawManifest,
    index: Manifest,
    walk: Walk<'a>,
    observer: &'a Arc<dyn Observer>,
) -> BoxFuture<'a, Result<VerifyReport>> {
    Box::pin(async move {
        let (mut children, mut faults) = (Vec::new(), Vec::new());
        let all = index.children();
        if walk.depth >= DEEPEST_INDEX || all.len() > MOST_CHILDREN {
            return Err(Error::TooDeep { digest: raw.digest().clone() });
        }
        for child in all.iter().filter(|child| walk.is_new(&child.digest)) {
            match verify_child(backend, child, walk, observer).await {
                Ok(report) => children.push(report),
                Err(error) if error.of_store().is_none_or(|error| concerns_content(error.kind())) => {
                    let (path, message) = (child.digest.to_string(), with_causes(&error));
                    faults.push(ContentFault { path, message });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(VerifyReport::of_index(raw.digest(), walk.options, children, faults))
    })
}

async fn verify_child(
    backend: &dyn RegistryBackend,
    child: &Descriptor,
    walk: Walk<'_>,
    observer: &Arc<dyn Observer>,
) -> Result<VerifyReport> {
    let raw = backend.read_manifest(&ManifestRef::Digest(child.digest.clone())).await?;
    let size = raw.bytes().len() as u64;
    if size != child.size {
        let message = format!("the index states {} bytes, the manifest has {size}", child.size);
        return Err(Error::content(child.digest.to_string(), message));
    }
    verify_raw(backend, raw, Walk { depth: walk.depth + 1, ..walk }, observer).await
}

async fn verify_raw(
    backend: &dyn RegistryBackend,
    raw: RawManifest,
    walk: Walk<'_>,
    observer: &Arc<dyn Observer>,
) -> Result<VerifyReport> {
    let at = ManifestRef::Digest(raw.digest().clone());
    let options = walk.options;
    let parsed = raw
        .parse()
        .map_err(|error| BackendError::new(ErrorKind::Invalid, "read manifest", &at).caused_by(error))?;
    match parsed {
        Manifest::Image(image) => {
            let package = open_read(backend, raw, image, IndexCopy::Blob).await?;
            let package = Arc::new(package.with_max_ratio(options.max_ratio));
            verify_package(backend, &package, options, observer).await
        }
        index @ Manifest::Index(_) => verify_index(backend, raw, index, walk, observer).await,
        other => verify_blobs(backend, raw.digest(), &other, options).await,
    }
}

/// Verifies the blobs of a manifest that is neither an image nor an index.
async fn verify_blobs(
    backend: &dyn RegistryBackend,
    digest: &Digest,
    manifest: &Manifest,
    options: &VerifyOptions,
) -> Result<VerifyReport> {
    let mut report = VerifyReport::of_index(digest, options, Vec::new(), Vec::new());
    for blob in manifest.blobs() {
        let is_right = match options.deep {
            true => is_whole(backend, &blob.digest, blob.size).await?,
            false => backend.stat_blob(&blob.digest).await? == Some(blob.size),
        };
        report.files += 1;
        report.bytes = report.bytes.saturating_add(blob.size);
        if !is_right {
            let message = format!("the blob {} is missing or damaged", blob.digest);
            report.faults.push(ContentFault { path: title(blob).to_owned(), message });
        }
    }
    report.read_bytes = if options.deep { report.bytes } else { 0 };
    report.valid = report.faults.is_empty();
    Ok(report)
}

impl VerifyReport {
    /// Returns the report of an image index with these children, and with faults of children that cannot be opened.
    fn of_index(
        digest: &Digest,
        options: &VerifyOptions,
        children: Vec<Self>,
        faults: Vec<ContentFault>,
    ) -> Self {
        Self {
            digest: digest.clone(),
            deep: options.deep,
            valid: faults.is_empty() && children.iter().all(|child| child.valid),
            files: total(children.iter().map(|child| child.files)),
            bytes: total(children.iter().map(|child| child.bytes)),
            read_bytes: total(children.iter().map(|child| child.read_bytes)),
            faults,
            bag: None,
            system_metadata: None,
            children,
        }
    }
}
