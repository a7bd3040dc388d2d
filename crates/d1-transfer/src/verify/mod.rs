//! Verifying a package where it is stored, without keeping any of it.

mod attached;
mod blobs;
mod repository;
mod system_metadata;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use bagit::{Accept, Algorithm, AlgorithmSet, CheckOptions, Report, TagFiles};
use d1_model::MAX_SYSTEM_METADATA_BYTES;
use oci_model::{Digest, ManifestRef};
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::open::open_stored;
use crate::progress::total;
use crate::receive::{Arrived, Destination, Receiving, Wanted, check_kept_size, receive_package};
use crate::{ContentFault, Error, Observer, OpenPackage, Result};

pub use repository::{VerifiedArtifact, verify_all};
pub use system_metadata::{AuditedObject, ObjectVerdict, SystemMetadataAudit};

use attached::{Attached, attached};
use system_metadata::{algorithm_of, is_object};

/// How to verify.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Whether every byte is read; else manifests and tag files are, and of the rest it is checked that it is there.
    pub deep: bool,
    /// Whether every object is read and compared with the checksum and size that its system metadata declare: those in the
    /// package, or those that are attached to an object which is stored by itself.
    pub system_metadata: bool,
    /// Whose faults are tolerated in a bag.
    pub accept: Accept,
    /// Where manifests of more than 1 MiB wait until the bag is judged; without it, they are in memory.
    pub temporary_directory: Option<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VerifyReport {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Whether every byte was read.
    pub deep: bool,
    /// Whether nothing is wrong.
    pub valid: bool,
    /// Number of files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of bytes that were read.
    pub read_bytes: u64,
    /// What is wrong with single files and layers.
    pub faults: Vec<ContentFault>,
    /// What the bag's own manifests say. Unless every byte was read, digests of payload files are those of the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bag: Option<Report>,
    /// What system metadata say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_metadata: Option<SystemMetadataAudit>,
}

/// Verifies a package in a store.
///
/// Without `deep`, archives without an index are not looked into.
///
/// # Errors
///
/// If the package cannot be opened or the store fails; damage is in the report.
pub async fn verify(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    options: &VerifyOptions,
    observer: &Arc<dyn Observer>,
) -> Result<VerifyReport> {
    let package = Arc::new(open_stored(backend, at).await?);
    verify_package(backend, &package, options, observer).await
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
    // A blob that is missing may have been noticed before.
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

/// Reads objects again whose system metadata, once they were read, turned out to use algorithms that the index does not
/// tell of.
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

/// Chooses the files to read, and those to keep: tag files and system metadata, both of which are small. Objects are read
/// if they are to be compared with their system metadata, whatever their size.
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

/// Returns all algorithms that anything in the package is to be compared by.
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
    // A damaged file is reported as such; the bag's manifests would only say the same again.
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
        None => (arrived.came.count(), arrived.came.bytes(view)),
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
    }
}

/// Applies the rules of BagIt to what came, and to what the index says of what did not.
fn check_bag(package: &OpenPackage, arrived: &mut Arrived, accept: Accept) -> Option<Report> {
    let stated = package.view.index()?.files().inventory();
    let mut tag_files = TagFiles::new();
    for (path, kept) in std::mem::take(&mut arrived.kept) {
        if TagFiles::wants(&path) {
            kept.insert_into(&mut tag_files, &path);
        }
    }
    let inventory = arrived.came.inventory(stated);
    Some(bagit::check(&inventory, &tag_files, &CheckOptions::accepting(accept)))
}
