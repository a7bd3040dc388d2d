//! Verifying a package where it is stored, without keeping any of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bagit::{Accept, Algorithm, AlgorithmSet, CheckOptions, Digests, Inventory, Report, TagFiles};
use d1_package::{ObjectFacts, PackageFile};
use oci_model::{Digest, ManifestRef};
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::receive::{Arrived, Destination, Receiving, receive_package};
use crate::{ContentFault, Observer, OpenPackage, Result, open_package};

/// How to verify.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Whether every byte is read; else manifests and tag files are, and of the rest it is checked that it is there.
    pub deep: bool,
    /// Whether every object is compared with the checksum and size that its system metadata declare.
    pub system_metadata: bool,
    /// Whose faults are tolerated in a bag.
    pub accept: Accept,
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

/// Objects compared with their system metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemMetadataAudit {
    /// Number of objects whose size and checksum are as declared.
    pub verified: u64,
    /// Objects that are not what their system metadata declare, or cannot be compared.
    pub faults: Vec<ContentFault>,
}

/// Verifies a package in a store.
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
    let package = open_package(backend, at).await?;
    let documents: HashSet<Box<str>> = package
        .view
        .entries()
        .filter_map(|entry| entry.object.and_then(|object| object.system_metadata.clone()))
        .collect();
    let wanted = |path: &str| {
        options.deep || TagFiles::wants(path) || (options.system_metadata && documents.contains(path))
    };
    let selected: HashSet<&str> =
        package.view.entries().map(|entry| entry.path).filter(|path| wanted(path)).collect();
    let receiving = Receiving {
        package: &package,
        wanted: &selected,
        destination: &Destination::Nowhere,
        algorithms: algorithms(&package),
        keep: is_kept,
        keep_going: true,
    };
    let mut arrived = receive_package(backend, receiving, observer).await?;
    if !options.deep {
        arrived.faults.extend(missing_blobs(backend, &package).await?);
    }
    Ok(report(&package, arrived, options))
}

/// Tag files, and what may be system metadata: both are small.
fn is_kept(path: &str) -> bool {
    TagFiles::wants(path) || path.ends_with(".xml")
}

/// Returns all algorithms that anything in the package is to be compared by.
fn algorithms(package: &OpenPackage) -> AlgorithmSet {
    let mut names = TagFiles::new();
    let mut algorithms: AlgorithmSet = [Algorithm::Sha256].into_iter().collect();
    for entry in package.view.entries() {
        if TagFiles::wants(entry.path) {
            names.insert(entry.path, Vec::new());
        }
        let declared = entry.object.and_then(|object| object.declared_checksum.as_ref());
        if let Some(algorithm) = declared.and_then(|checksum| checksum.algorithm().name().parse().ok()) {
            algorithms.insert(algorithm);
        }
    }
    algorithms.union(bagit::required_algorithms(&names).into_iter().collect())
}

async fn missing_blobs(backend: &dyn RegistryBackend, package: &OpenPackage) -> Result<Vec<ContentFault>> {
    let mut faults = Vec::new();
    for layer in &package.view.manifest().layers {
        let message = match backend.stat_blob(&layer.digest).await? {
            Some(size) if size == layer.size => continue,
            Some(size) => format!("the blob {} has {size} bytes, not {}", layer.digest, layer.size),
            None => format!("the blob {} is missing", layer.digest),
        };
        faults.push(ContentFault { path: crate::copy::title(layer), message });
    }
    Ok(faults)
}

fn report(package: &OpenPackage, arrived: Arrived, options: &VerifyOptions) -> VerifyReport {
    let view = &package.view;
    let is_bag = view.index().is_some_and(|index| index.bag().is_some());
    let damaged: HashSet<&str> = arrived.faults.iter().map(|fault| fault.path.as_str()).collect();
    let came: BTreeMap<&str, &Digests> =
        arrived.files.iter().map(|file| (file.path.as_str(), &file.digests)).collect();
    // A damaged file is reported as such; the bag's manifests would only say the same again.
    let bag =
        (is_bag && damaged.is_empty()).then(|| check_bag(package, &came, &arrived.kept, options.accept));
    let system_metadata = options.system_metadata.then(|| audit(package, &came, &arrived.kept));
    let valid = arrived.faults.is_empty()
        && bag.as_ref().is_none_or(|bag| bag.valid)
        && system_metadata.as_ref().is_none_or(|audit| audit.faults.is_empty());
    let (files, bytes) = match view.index() {
        Some(index) => {
            (index.files().files().len() as u64, index.files().files().iter().map(|file| file.size).sum())
        }
        None => (arrived.files.len() as u64, arrived.files.iter().map(|file| file.size).sum()),
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
fn check_bag(
    package: &OpenPackage,
    came: &BTreeMap<&str, &Digests>,
    kept: &BTreeMap<String, Vec<u8>>,
    accept: Accept,
) -> Report {
    let (mut inventory, mut tag_files) = (Inventory::new(), TagFiles::new());
    inventory.insert_directory("data");
    for entry in package.view.entries() {
        let digests =
            came.get(entry.path).map_or_else(|| stated_digests(&entry), |digests| (*digests).clone());
        inventory.insert_file(entry.path, entry.size, digests);
    }
    for (path, bytes) in kept.iter().filter(|(path, _)| TagFiles::wants(path)) {
        tag_files.insert(path, bytes.clone());
    }
    bagit::check(&inventory, &tag_files, &CheckOptions::accepting(accept))
}

/// Returns the digests that the index states of a file.
fn stated_digests(entry: &d1_package::Entry<'_>) -> Digests {
    let mut digests = entry.checksums.cloned().unwrap_or_default();
    if let Some(sha256) = entry.sha256 {
        digests.insert(Algorithm::Sha256, &sha256);
    }
    digests
}

/// Compares objects with the system metadata in the package: the documents themselves, not what the index says of them.
fn audit(
    package: &OpenPackage,
    came: &BTreeMap<&str, &Digests>,
    kept: &BTreeMap<String, Vec<u8>>,
) -> SystemMetadataAudit {
    let mut audit = SystemMetadataAudit::default();
    let Some(index) = package.view.index() else { return audit };
    for (file, _) in index.entries() {
        let Some(facts) = file.object.as_deref() else { continue };
        let Some(document) = facts.system_metadata.as_deref() else { continue };
        let mut file = file.clone();
        if let Some(digests) = came.get(&*file.path) {
            file.checksums = (*digests).clone();
        }
        match compare(&file, facts, kept.get(document).map(Vec::as_slice)) {
            Ok(()) => audit.verified += 1,
            Err(message) => audit.faults.push(ContentFault { path: file.path.to_string(), message }),
        }
    }
    audit
}

fn compare(file: &PackageFile, facts: &ObjectFacts, document: Option<&[u8]>) -> Result<(), String> {
    let document = document.ok_or("its system metadata could not be read")?;
    let parsed = d1_model::SystemMetadata::parse(document).map_err(|error| error.to_string())?.value;
    if facts.identifier.as_ref().is_some_and(|identifier| *identifier != parsed.identifier) {
        return Err(format!("its system metadata are those of `{}`", parsed.identifier));
    }
    let mismatches = d1_package::system_metadata_mismatches(parsed.size, &parsed.checksum, file);
    match mismatches.first() {
        None => Ok(()),
        Some(mismatch) => Err(mismatch.to_string()),
    }
}
