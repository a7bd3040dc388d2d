//! Objects that the repository already has: those of the last copy of a package, and of the version before it.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::Path;

use bagit::Digests;
use d1_model::{Identifier, MAX_SYSTEM_METADATA_BYTES, SystemMetadata};
use d1_package::{PackageIndex, Place};
use d1_transfer::parts::{FileInMemory, concerns_content, read_small_files, run_blocking};
use d1_transfer::{OpenPackage, open_package, read_file};
use futures::TryStreamExt;
use oci_model::{Digest, ManifestRef, Tag};
use registry_backend::{ErrorKind, RegistryBackend};

use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::package::{DescribedObject, DescribedPackage, MANIFEST_ALGORITHMS, SkippedMember, has_all};

/// The file that marks a bag (RFC 8493 section 2.1.1).
const DECLARATION: &str = "bagit.txt";

/// Objects that the repository has, according to its indexes or a journal.
#[derive(Debug, Default)]
pub(crate) struct KnownObjects {
    /// Objects with blobs of their own.
    objects: HashMap<Identifier, (u64, Digests)>,
    /// Objects in archives: the number of the package, and the path.
    archived: HashMap<Identifier, (usize, Box<str>)>,
    packages: Vec<OpenPackage>,
}

impl KnownObjects {
    /// Reads the packages that share most with a new copy.
    pub(crate) async fn of_repository(
        backend: &dyn RegistryBackend,
        package: &DescribedPackage,
        journal: Option<&Journal>,
    ) -> Result<Self> {
        let mut known = Self::default();
        let wanted: BTreeSet<&Identifier> =
            package.objects.iter().map(|object| &object.record.identifier).collect();
        for identifier in neighbours(package) {
            known.add_package(backend, identifier, &wanted).await?;
        }
        if let Some(journal) = journal {
            let noted =
                wanted.into_iter().filter_map(|identifier| Some((identifier, journal.object(identifier)?)));
            known.objects.extend(noted.map(|(identifier, noted)| (identifier.clone(), noted)));
        }
        Ok(known)
    }

    /// Notes an object that was just stored.
    pub(crate) fn note(&mut self, object: &DescribedObject, digests: Digests) {
        self.objects.insert(object.record.identifier.clone(), (object.record.size, digests));
    }

    /// Returns the digests of an object, if they match its system metadata.
    pub(crate) fn find(&self, package: &DescribedPackage, object: &DescribedObject) -> Option<&Digests> {
        let (size, digests) = self.objects.get(&object.record.identifier)?;
        let is_right = has_all(digests, package.algorithms) && object.fault(*size, digests).is_none();
        is_right.then_some(digests)
    }

    /// Returns the digest of the package's last copy, if nothing has changed since. It must have the same
    /// objects at the same paths, and the same system metadata. With a directory, documents below it that differ from
    /// those of the copy in volatile parts alone count as the same.
    pub(crate) async fn unchanged(
        &self,
        backend: &dyn RegistryBackend,
        package: &DescribedPackage,
        documents: Option<&Path>,
    ) -> Result<Option<Digest>> {
        for known in &self.packages {
            let Some(index) = known.view.index() else { continue };
            let Some(changed) = changed_documents(index, package) else { continue };
            let is_same = match documents {
                _ if changed.is_empty() => true,
                Some(directory) => are_same_documents(backend, known, changed, directory).await?,
                None => false,
            };
            if is_same {
                return Ok(Some(known.raw.digest().clone()));
            }
        }
        Ok(None)
    }

    /// Returns the other resource maps whose packages in the repository have the same identifier.
    pub(crate) fn other_maps(&self, package: &DescribedPackage) -> Vec<Identifier> {
        let indexes = self.packages.iter().filter_map(|known| known.view.index());
        let rivals = indexes.filter(|index| index.identifier() == Some(&package.identifier));
        let maps = rivals.filter_map(|index| index.resource_map());
        maps.filter(|map| **map != package.resource_map).cloned().collect()
    }

    /// Returns the digest of the package's last copy, if it has members that the new copy would lack, and those members.
    pub(crate) fn richer_copy(&self, package: &DescribedPackage) -> Option<(Digest, Vec<SkippedMember>)> {
        let is_of_map = |index: &PackageIndex| index.resource_map() == Some(&package.resource_map);
        let copy = self.packages.iter().find(|known| known.view.index().is_some_and(is_of_map))?;
        let members: BTreeSet<&str> = copy
            .view
            .index()?
            .entries()
            .filter_map(|(file, _)| file.identifier().map(Identifier::as_str))
            .collect();
        let kept = package.skipped.iter().filter(|skipped| members.contains(&*skipped.identifier));
        let kept: Vec<_> = kept.cloned().collect();
        (!kept.is_empty()).then(|| (copy.raw.digest().clone(), kept))
    }

    /// Copies an object from an archive in the repository to its path below a directory. Returns `false` if a
    /// file exists there, or the archive has no such object.
    pub(crate) async fn copy_archived(
        &self,
        backend: &dyn RegistryBackend,
        object: &DescribedObject,
        directory: &Path,
    ) -> Result<bool> {
        let Some((package, path)) = self.archived.get(&object.record.identifier) else { return Ok(false) };
        let Some(package) = self.packages.get(*package) else { return Ok(false) };
        if package.view.entry(path).is_none_or(|entry| entry.size != object.record.size) {
            return Ok(false);
        }
        let target = directory.join(&object.path);
        let create = {
            let target = target.clone();
            move || create_new(&target).map_err(|error| Error::io("create", &target, error))
        };
        let Some(file) = run_blocking(create).await? else { return Ok(false) };
        match read_file(backend, package, path, None, file).await {
            Ok(_) => Ok(true),
            Err(error) => {
                // The node has it too.
                tracing::info!(%path, %error, "an object cannot be read from the repository");
                let remove =
                    move || fs::remove_file(&target).map_err(|error| Error::io("remove", &target, error));
                run_blocking(remove).await?;
                Ok(false)
            }
        }
    }

    async fn add_package(
        &mut self,
        backend: &dyn RegistryBackend,
        identifier: &Identifier,
        wanted: &BTreeSet<&Identifier>,
    ) -> Result<()> {
        let Ok(tag) = identifier.tag().parse::<Tag>() else { return Ok(()) };
        let at = ManifestRef::Tag(tag);
        let Some(found) = backend.stat_manifest(&at).await? else { return Ok(()) };
        // Several tags name one package.
        if self.packages.iter().any(|known| *known.raw.digest() == found.digest) {
            return Ok(());
        }
        let package = match open_package(backend, &ManifestRef::Digest(found.digest)).await {
            Ok(package) => package,
            Err(d1_transfer::Error::Backend(error)) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(d1_transfer::Error::Backend(error)) => return Err(error.into()),
            Err(error) => {
                // The tag names another artifact, or the package is damaged. Everything is read again.
                let error: &dyn std::error::Error = &error;
                tracing::info!(%identifier, error, "this package is not reused");
                return Ok(());
            }
        };
        let Some(index) = package.view.index() else { return Ok(()) };
        let number = self.packages.len();
        for (file, place) in index.entries() {
            let Some(identifier) = file.identifier().filter(|identifier| wanted.contains(identifier)) else {
                continue;
            };
            match place {
                Place::Object { .. } => {
                    self.objects.insert(identifier.clone(), (file.size, file.digests()));
                }
                Place::Archive { .. } => {
                    self.archived.insert(identifier.clone(), (number, file.path.into()));
                }
                Place::Parts { .. } => {}
            }
        }
        self.packages.push(package);
        Ok(())
    }
}

/// Creates a file and the directories above it. Returns `None` if the file exists.
fn create_new(path: &Path) -> io::Result<Option<File>> {
    let created = match (File::create_new(path), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent)?;
            File::create_new(path)
        }
        (created, _) => created,
    };
    match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        created => created.map(Some),
    }
}

/// Tells whether the documents of a copy differ from those below a directory in volatile parts alone.
async fn are_same_documents(
    backend: &dyn RegistryBackend,
    copy: &OpenPackage,
    changed: Vec<&DescribedObject>,
    directory: &Path,
) -> Result<bool> {
    let size = |object: &DescribedObject| copy.view.entry(&object.record.path).map(|entry| entry.size);
    let is_small =
        |object: &&DescribedObject| size(object).is_some_and(|size| size <= MAX_SYSTEM_METADATA_BYTES as u64);
    if !changed.iter().all(is_small) {
        return Ok(false);
    }
    let paths = changed.iter().map(|object| object.record.path.to_string()).collect();
    let mut read = read_small_files(backend, copy, paths);
    loop {
        match read.try_next().await {
            Ok(Some(documents)) => {
                let directory = directory.to_owned();
                if !run_blocking(move || are_same_as_below(&directory, &documents)).await? {
                    return Ok(false);
                }
            }
            Ok(None) => return Ok(true),
            Err(error) if error.of_store().is_none_or(|error| concerns_content(error.kind())) => {
                // The copy is damaged, so it is made again.
                tracing::info!(%error, "a document of the copy cannot be read");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn are_same_as_below(directory: &Path, documents: &[FileInMemory]) -> Result<bool> {
    for (path, old) in documents {
        let file = directory.join(path);
        let new = fs::read(&file).map_err(|error| Error::io("read", &file, error))?;
        if !is_same_document(old, &new) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_same_document(old: &[u8], new: &[u8]) -> bool {
    match (SystemMetadata::parse(old), SystemMetadata::parse(new)) {
        (Ok(old), Ok(new)) => old.value.without_volatile_parts() == new.value.without_volatile_parts(),
        _ => false,
    }
}

/// Returns the objects whose system metadata differ from those of a copy, if the index is that of a copy with the same
/// objects at the same paths.
fn changed_documents<'p>(
    index: &PackageIndex,
    package: &'p DescribedPackage,
) -> Option<Vec<&'p DescribedObject>> {
    let files = index.files();
    let at = |path: &str| files.position(path).and_then(|position| files.file(position));
    let is_same = |object: &DescribedObject| {
        let content = at(&object.path).is_some_and(|file| {
            file.identifier() == Some(&object.record.identifier)
                && object.fault(file.size, &file.digests()).is_none()
        });
        content && at(&object.record.path).is_some()
    };
    let is_changed = |object: &&DescribedObject| {
        at(&object.record.path).is_none_or(|file| file.sha256 != object.record.sha256)
    };
    let documents = [DECLARATION, "bag-info.txt"].len() + 2 * MANIFEST_ALGORITHMS.len();
    let is_copy = files.len() == 2 * package.objects.len() + documents
        && at(DECLARATION).is_some()
        && *index.directory() == *package.directory
        && package.objects.iter().all(is_same);
    is_copy.then(|| package.objects.iter().filter(is_changed).collect())
}

/// Returns the identifiers whose tags may name packages with the same objects: older versions first.
fn neighbours(package: &DescribedPackage) -> Vec<&Identifier> {
    let of_package = |object: &&DescribedObject| {
        [&package.identifier, &package.resource_map].contains(&&object.record.identifier)
    };
    let before =
        package.objects.iter().filter(of_package).filter_map(|object| object.record.obsoletes.as_ref());
    let mut neighbours: Vec<&Identifier> = before.collect();
    neighbours.push(&package.resource_map);
    neighbours.push(&package.identifier);
    neighbours.dedup();
    neighbours
}
