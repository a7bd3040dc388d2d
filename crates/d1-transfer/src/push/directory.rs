//! Pushing a directory: a bag, or a plain one.

use std::path::Path;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, BagInfo, Inventory, TagFiles};
use bytes::Bytes;
use d1_package::{
    AssembledPackage, BagRecord, Configuration, DataOneFacts, LayerContent, ManifestOptions, PackageFacts,
    PackageFile, PackageFiles, PlanOptions, PlannedLayer,
};
use oci_model::{ManifestRef, MediaType};
use registry_backend::{BlobSource, BytesSource, ErrorKind, RegistryBackend};

use super::archives::{MadeArchive, make_archives, reusable};
use super::check::{Checked, Checking, check_directory};
use super::publish::{Artifact, Blob, publish};
use super::sources::Sources;
use crate::open::open_package;
use crate::receive::run_blocking;
use crate::{Error, Event, Observer, PushOptions, PushReport, Result};

/// Pushes a directory as a package. A bag is checked first; nothing is stored if it is not valid.
///
/// # Errors
///
/// [`Error::InvalidBag`] with all faults; [`Error::Content`] if files cannot be pushed; if the package does not fit the store's limits; if
/// a file changes while it is pushed; if the store fails. No tag has moved then.
pub async fn push_directory(
    backend: &dyn RegistryBackend,
    directory: &Path,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let prepared = {
        let (directory, options, observer) = (directory.to_owned(), options.clone(), Arc::clone(observer));
        run_blocking(move || prepare(&directory, &options, &observer)).await?
    };
    let mut plan_options = PlanOptions::new(&prepared.directory);
    plan_options.layout = options.layout;
    plan_options.limits = backend.capabilities().into();
    let plan = d1_package::plan(&prepared.files, &plan_options).map_err(d1_package::Error::from)?;

    let options = with_default_tag(options, &prepared.facts);
    let replaced = if options.repack { None } else { replaced_index(backend, &options).await? };
    let reused = reusable(&plan, &prepared.files, replaced.as_ref(), options.compression);
    let max_manifest_bytes = backend.capabilities().max_manifest_bytes;
    let artifact = {
        let (options, observer) = (options.clone(), Arc::clone(observer));
        run_blocking(move || {
            let made = make_archives(&plan, &prepared.files, reused, &prepared.sources, &options, &observer)?;
            artifact(prepared, &plan, made, &options, max_manifest_bytes)
        })
        .await?
    };
    publish(backend, artifact, &options, observer).await
}

/// Everything that is known of a directory before it is laid out.
struct Prepared {
    directory: String,
    files: PackageFiles,
    facts: PackageFacts,
    created: Option<String>,
    sources: Sources,
}

fn prepare(directory: &Path, options: &PushOptions, observer: &Arc<dyn Observer>) -> Result<Prepared> {
    let directory = directory.canonicalize().map_err(|error| Error::io("open", directory, error))?;
    let name = directory.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::NotPushable { path: directory.clone() })?.to_owned();
    let made = options.make_bag && !bagit::is_bag(&directory);
    let algorithms: AlgorithmSet = if made { made_bag_algorithms() } else { AlgorithmSet::EMPTY };
    let checking = Checking { verify: options.verify, accept: options.accept, algorithms };
    let Checked { mut scan, report, documents } = check_directory(&directory, checking, observer)?;
    let mut sources = Sources::directory(directory.clone());
    if made {
        scan = bagit::BagBuilder::new().algorithms(algorithms.iter()).around(&scan.inventory)?;
        let tag_files =
            scan.tag_files.iter().map(|(path, bytes)| (path.to_owned(), Bytes::copy_from_slice(bytes)));
        sources = Sources::payload(directory, tag_files.collect());
    }
    let is_bag = made || report.is_some();
    let mut files = package_files(&scan.inventory, is_bag)?;
    let found = documents.recognise(&files);
    report_oddities(&found, observer)?;
    let bag = is_bag.then(|| bag_record(report.as_ref().and_then(|report| report.version), &scan.tag_files));
    let created = options.created.clone().or_else(|| bagging_date(&scan.tag_files));
    for (position, object) in found.objects {
        files.set_object(position, object);
    }
    let facts = PackageFacts {
        bag,
        identifier: options.identifier.clone().or(found.identifier),
        resource_map: found.resource_map,
        series_id: found.series_id,
        obsoletes: found.obsoletes,
        title: found.title,
    };
    Ok(Prepared { directory: name, files, facts, created, sources })
}

/// The manifests of a bag that is made on the way: what RFC 8493 section 2.4 recommends, and what the layers' digests are.
fn made_bag_algorithms() -> AlgorithmSet {
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().collect()
}

fn package_files(inventory: &Inventory, is_bag: bool) -> Result<PackageFiles> {
    let mut files = Vec::with_capacity(inventory.len());
    for (path, entry) in inventory.files() {
        let sha256 = entry.digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok());
        let sha256 = sha256.ok_or_else(|| Error::content(path, "it could not be hashed"))?;
        let mut file = PackageFile::new(path, entry.size, sha256);
        file.checksums = entry.digests.clone();
        files.push(file);
    }
    let empty = empty_directories(inventory);
    Ok(PackageFiles::new(files, empty, is_bag).map_err(d1_package::Error::from)?)
}

/// Returns the directories in which nothing is.
fn empty_directories(inventory: &Inventory) -> Vec<Box<str>> {
    let parent = |path: &str| path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    let files = inventory.files().filter_map(|(path, _)| parent(path));
    let occupied: std::collections::HashSet<String> =
        files.chain(inventory.directories().filter_map(parent)).collect();
    inventory.directories().filter(|path| !occupied.contains(*path)).map(Into::into).collect()
}

/// Warns of what does not fit together in the DataONE documents, and refuses content that contradicts them.
fn report_oddities(found: &DataOneFacts, observer: &Arc<dyn Observer>) -> Result<()> {
    for oddity in &found.oddities {
        observer.event(&Event::Warning(&oddity.to_string()));
    }
    Ok(())
}

fn bag_record(version: Option<bagit::Version>, tag_files: &TagFiles) -> BagRecord {
    BagRecord {
        version: version.unwrap_or(bagit::Version::V1_0),
        algorithms: bagit::payload_algorithms(tag_files),
    }
}

/// Returns the bag's `Bagging-Date` as a time, for a manifest that is the same whenever it is made.
fn bagging_date(tag_files: &TagFiles) -> Option<String> {
    let text = std::str::from_utf8(tag_files.get("bag-info.txt")?).ok()?;
    let (info, _) = BagInfo::parse(text, bagit::Version::V1_0);
    let date = info.get_unfolded("Bagging-Date")?;
    bagit::is_date(&date).then(|| format!("{date}T00:00:00Z"))
}

/// Returns the options with the tag that follows from the identifier, if no other is given.
fn with_default_tag(options: &PushOptions, facts: &PackageFacts) -> PushOptions {
    let mut options = options.clone();
    if options.tags.is_empty() {
        options.tags.extend(facts.identifier.as_ref().and_then(|identifier| identifier.tag().parse().ok()));
    }
    options
}

/// Reads the index of the package that the first tag names; that there is none, or that it cannot be read, only means more work.
async fn replaced_index(
    backend: &dyn RegistryBackend,
    options: &PushOptions,
) -> Result<Option<d1_package::PackageIndex>> {
    let Some(tag) = options.tags.first() else { return Ok(None) };
    match open_package(backend, &ManifestRef::Tag(tag.clone())).await {
        Ok(package) => Ok(package.view.index().cloned()),
        Err(Error::Backend(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            tracing::info!(%tag, error = &error as &dyn std::error::Error, "nothing is taken over from what is replaced");
            Ok(None)
        }
    }
}

/// Puts the package together: index, manifest, and the blobs that have to be stored.
fn artifact(
    prepared: Prepared,
    plan: &d1_package::Plan,
    made: Vec<MadeArchive>,
    options: &PushOptions,
    max_manifest_bytes: u64,
) -> Result<Artifact> {
    let Prepared { files, facts, created, sources, .. } = prepared;
    let (file_count, bytes) = (files.files().len() as u64, files.files().iter().map(|file| file.size).sum());
    let mut blobs: Vec<Blob> = Vec::new();
    let mut contents = Vec::with_capacity(plan.layers.len());
    let mut made = made.into_iter();
    for layer in &plan.layers {
        match layer {
            PlannedLayer::Archive(_) => {
                let Some(archive) = made.next() else { continue };
                contents.push(archive.content);
                blobs.extend(archive.source.map(|source| Blob::new(Box::new(source))));
            }
            PlannedLayer::Object { file } => {
                if let Some(file) = files.files().get(*file) {
                    let digest = oci_model::Digest::from_sha256(file.sha256);
                    blobs.push(Blob::new(sources.blob(&file.path, 0..file.size, digest)));
                }
                contents.push(LayerContent::Object);
            }
            PlannedLayer::Part { file, range, .. } => {
                let Some(file) = files.files().get(*file) else { continue };
                let digest = super::publish::hash_range(&sources, &file.path, range)?;
                blobs.push(Blob::new(sources.blob(&file.path, range.clone(), digest.clone())));
                contents.push(LayerContent::Part { digest });
            }
        }
    }
    let assembled = d1_package::assemble(plan, files, contents, facts).map_err(d1_package::Error::from)?;
    blobs.push(Blob::new(configuration(&assembled, options.index)?));
    let manifest_options = manifest_options(&assembled, options, created, max_manifest_bytes);
    let manifest = assembled.manifest(&manifest_options).map_err(d1_package::Error::from)?;
    Ok(Artifact {
        manifest,
        blobs,
        files: file_count,
        bytes,
        identifier: assembled.facts.identifier.map(|identifier| identifier.to_string()),
    })
}

fn configuration(assembled: &AssembledPackage, index: bool) -> Result<Box<dyn BlobSource>> {
    if !index {
        return Ok(Box::new(BytesSource::new(oci_model::Descriptor::EMPTY_CONTENT)));
    }
    let mut bytes = Vec::new();
    assembled.index.write(&mut bytes).map_err(|error| Error::io("write", "the index", error))?;
    Ok(Box::new(BytesSource::new(bytes)))
}

fn manifest_options(
    assembled: &AssembledPackage,
    options: &PushOptions,
    created: Option<String>,
    max_manifest_bytes: u64,
) -> ManifestOptions {
    let artifact_type = options.artifact_type.clone().unwrap_or_else(|| match &assembled.facts.bag {
        Some(bag) => d1_package::bag_artifact_type(bag.version),
        None => MediaType::from_static(d1_package::UNKNOWN_ARTIFACT_TYPE),
    });
    let mut manifest_options = ManifestOptions::new(artifact_type);
    manifest_options.configuration = if options.index { Configuration::Index } else { Configuration::Empty };
    manifest_options.created = created;
    manifest_options.annotations = options.annotations.clone();
    manifest_options.max_manifest_bytes = max_manifest_bytes;
    manifest_options
}
