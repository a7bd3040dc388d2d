//! Listing the files of a package, also of one that has no index.

use std::collections::HashMap;

use d1_package::{ArchiveLayer, Entry};
use oci_model::Digest;
use oci_pack::{
    ArchiveVisitor, ArchiveWarning, EntryContent, NameClashes, ReadOptions, VisitError, read_archive,
};
use registry_backend::RegistryBackend;
use serde::{Serialize, Serializer};

use crate::archive::read_archive_layer;
use crate::names::join;
use crate::{OpenPackage, Result};

/// One file of a package, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListedFile {
    /// Path below the package's directory.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal, where it is known without reading the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// DataONE identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// DataONE object format identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_id: Option<String>,
}

/// The files of a package; each is put together when its turn comes.
#[derive(Clone, Debug)]
pub struct FileListing<'a> {
    package: &'a OpenPackage,
    /// Those in archives of which no index tells.
    unpacked: Vec<ListedFile>,
}

/// Lists the files of a package in its order. Archives without an index are read to be listed.
///
/// # Errors
///
/// If an archive cannot be read.
pub async fn list_files<'a>(
    backend: &dyn RegistryBackend,
    package: &'a OpenPackage,
) -> Result<FileListing<'a>> {
    let mut unpacked = Vec::new();
    if package.view.index().is_none() {
        for archive in package.view.archives() {
            unpacked.extend(list_archive(backend, &archive).await?);
        }
    }
    Ok(FileListing { package, unpacked })
}

impl FileListing<'_> {
    /// Returns the files in order.
    pub fn iter(&self) -> impl Iterator<Item = ListedFile> {
        let entries = self.package.view.entries().map(|entry| ListedFile::from(&entry));
        entries.chain(self.unpacked.iter().cloned())
    }
}

impl Serialize for FileListing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl From<&Entry<'_>> for ListedFile {
    fn from(entry: &Entry<'_>) -> Self {
        let object = entry.object;
        Self {
            path: entry.path.to_owned(),
            size: entry.size,
            sha256: entry.sha256.map(|sha256| Digest::from_sha256(sha256).encoded().to_owned()),
            identifier: object.and_then(|object| object.identifier.as_ref()).map(ToString::to_string),
            format_id: object.and_then(|object| object.format_id.as_deref()).map(str::to_owned),
        }
    }
}

async fn list_archive(backend: &dyn RegistryBackend, archive: &ArchiveLayer<'_>) -> Result<Vec<ListedFile>> {
    let options = names_only(archive.title);
    let place = archive.path.to_owned();
    read_archive_layer(backend, archive.descriptor, None, move |reader| {
        let mut lister = Lister { place, files: Vec::new(), sizes: HashMap::new() };
        read_archive(reader, &options, &mut lister)?;
        Ok(lister.files)
    })
    .await
}

/// Returns how to read an archive of which nothing is written to disk: names that some file systems take for one are fine.
pub(crate) fn names_only(title: &str) -> ReadOptions {
    ReadOptions { name_clashes: NameClashes::Warn, tar_digest: false, ..ReadOptions::new(title) }
}

/// Notes what an archive holds.
struct Lister {
    place: String,
    files: Vec<ListedFile>,
    /// Sizes by path in the archive, for hard links.
    sizes: HashMap<String, u64>,
}

impl Lister {
    fn add(&mut self, path: &str, size: u64) {
        self.sizes.insert(path.to_owned(), size);
        let path = join(&self.place, path);
        self.files.push(ListedFile { path, size, sha256: None, identifier: None, format_id: None });
    }
}

impl ArchiveVisitor for Lister {
    fn directory(&mut self, _path: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
        self.add(path, content.size());
        Ok(())
    }

    fn symbolic_link(&mut self, path: &str, _target: &str) -> Result<(), VisitError> {
        self.add(path, 0);
        Ok(())
    }

    fn hard_link(&mut self, path: &str, target: &str) -> Result<(), VisitError> {
        let size = self.sizes.get(target).copied().unwrap_or_default();
        self.add(path, size);
        Ok(())
    }

    fn warning(&mut self, _warning: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}
