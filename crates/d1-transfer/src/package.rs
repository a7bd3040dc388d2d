//! An open package: its manifest, its index, and the list of its files.

use std::io::Read;

use d1_model::Identifier;
use d1_package::{Entry, MAX_INDEX_BYTES, PackageIndex, PackageView, ReplacedArchives};
use multi_digest::HashingReader;
use oci_model::{Descriptor, Digest, DigestHasher, ImageManifest, ManifestRef, RawManifest};
use oci_pack::MAX_RATIO;
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend, RegistryBackendExt};
use serde::{Serialize, Serializer};

use crate::archive::{PathList, list_archive, unknown_algorithm};
use crate::blocking::read_blocking;
use crate::error::{Error, Result};
use crate::source::read_range;

/// A package whose manifest and index were read and checked.
#[derive(Clone, Debug)]
pub struct OpenPackage {
    /// The manifest, as it is stored.
    pub raw: RawManifest,
    /// The files of the package.
    pub view: PackageView,
    /// The most bytes of content for each byte of an archive without an index. It stops archives that are made to fill disks.
    pub max_ratio: u64,
}

impl OpenPackage {
    /// Opens a package whose manifest was already read. An index inside the manifest needs no request.
    ///
    /// # Errors
    ///
    /// If the index cannot be read or is not valid.
    pub async fn of_manifest(
        backend: &dyn RegistryBackend,
        raw: RawManifest,
        manifest: ImageManifest,
    ) -> Result<Self> {
        open_read(backend, raw, manifest, IndexCopy::Nearest).await
    }

    /// Returns the package with another bound on the ratio of content to archive, if there is one.
    #[must_use]
    pub fn with_max_ratio(mut self, max_ratio: Option<u64>) -> Self {
        self.max_ratio = max_ratio.unwrap_or(self.max_ratio);
        self
    }
}

/// The copy of a small index to read. The manifest holds one besides the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexCopy {
    /// The copy in the manifest, if there is one. It needs no request.
    Nearest,
    /// The blob. Reading it proves it.
    Blob,
}

/// Reads the manifest of a package, whoever made it, and its index if it has one.
///
/// # Errors
///
/// Fails if the manifest does not exist, or the manifest or the index is not valid.
pub async fn open_package(backend: &dyn RegistryBackend, at: &ManifestRef) -> Result<OpenPackage> {
    let (raw, manifest) = backend.read_image_manifest(at).await?;
    open_read(backend, raw, manifest, IndexCopy::Nearest).await
}

/// Reads the index entries that decide which archives can be reused. Returns `None` without an index.
///
/// # Errors
///
/// As [`open_package`].
pub(crate) async fn open_archives(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
) -> Result<Option<ReplacedArchives>> {
    let (_, manifest) = backend.read_image_manifest(at).await?;
    if !PackageView::has_index(&manifest) {
        return Ok(None);
    }
    read_index(backend, &manifest, IndexCopy::Nearest, |reader, manifest| {
        ReplacedArchives::read(reader, manifest)
    })
    .await
    .map(Some)
}

/// Opens a package and reads the blob of its index, to prove that too.
pub(crate) async fn open_stored(backend: &dyn RegistryBackend, at: &ManifestRef) -> Result<OpenPackage> {
    let (raw, manifest) = backend.read_image_manifest(at).await?;
    open_read(backend, raw, manifest, IndexCopy::Blob).await
}

/// Opens a package whose manifest was already read.
pub(crate) async fn open_read(
    backend: &dyn RegistryBackend,
    raw: RawManifest,
    manifest: ImageManifest,
    copy: IndexCopy,
) -> Result<OpenPackage> {
    let index = match PackageView::has_index(&manifest) {
        true => Some(
            read_index(backend, &manifest, copy, |reader, manifest| PackageIndex::read(reader, manifest))
                .await?,
        ),
        false => None,
    };
    let view = PackageView::new(manifest, index)?;
    Ok(OpenPackage { raw, view, max_ratio: MAX_RATIO })
}

/// Parses an index, or a part of it.
type ReadIndex<T> = fn(&mut dyn Read, &ImageManifest) -> d1_package::Result<T>;

async fn read_index<T: Send + 'static>(
    backend: &dyn RegistryBackend,
    manifest: &ImageManifest,
    copy: IndexCopy,
    read: ReadIndex<T>,
) -> Result<T> {
    let inline = || manifest.config.inline_content();
    match (copy == IndexCopy::Nearest).then(inline).flatten() {
        Some(bytes) => Ok(read(&mut &*bytes, manifest)?),
        None => read_index_blob(backend, manifest, read).await,
    }
}

async fn read_index_blob<T: Send + 'static>(
    backend: &dyn RegistryBackend,
    manifest: &ImageManifest,
    read: ReadIndex<T>,
) -> Result<T> {
    let Descriptor { digest, size, .. } = manifest.config.clone();
    if size > MAX_INDEX_BYTES {
        return Err(BackendError::new(ErrorKind::TooLarge, "read the index", &digest)
            .because(format!("expected at most {MAX_INDEX_BYTES} bytes, found {size}"))
            .into());
    }
    let hasher = DigestHasher::matching(&digest).ok_or_else(|| unknown_algorithm(&manifest.config))?;
    let stream = read_range(backend, &digest, size, 0..size).await?;
    let manifest = manifest.clone();
    read_blocking(stream, move |reader| {
        let mut reader = HashingReader::new(reader, hasher);
        let index = read(&mut reader, &manifest);
        // Read to the end, so that the digest covers the whole blob.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
        let length = reader.length();
        let actual = reader.into_hasher().finish();
        // A wrong digest explains any other error better than the error itself.
        if (&actual, length) != (&digest, size) {
            return Err(Error::content(
                digest.to_string(),
                format!("the content of the index has the digest {actual}"),
            ));
        }
        Ok(index?)
    })
    .await?
}

/// One file of a package, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListedFile {
    /// Path below the package's directory.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal, if it is known without reading the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// DataONE identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// DataONE object format identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_id: Option<String>,
    /// Series identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_id: Option<String>,
    /// Identifier of the version that replaces the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obsoleted_by: Option<String>,
    /// Whether the object is archived.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// Whether not everybody may read the object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_public: bool,
}

/// The files of a package. The iterator builds each entry on demand.
#[derive(Clone, Debug)]
pub struct FileListing<'a> {
    package: &'a OpenPackage,
    /// Files in archives without an index.
    unpacked: PathList,
}

/// Lists the files of a package in its order. This reads archives without an index.
///
/// # Errors
///
/// Fails if an archive cannot be read.
///
/// ```
/// # use std::sync::Arc;
/// # use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use d1_transfer::{list_files, open_package};
/// # use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("temperature.csv"), "15,7.2\n")?;
/// # let backend = MemoryBackend::new();
/// # let observer: Arc<dyn Observer> = Arc::new(Silent);
/// # let options = PushOptions::new(std::env::temp_dir());
/// # let pushed = push_directory(&backend, folder.path(), &options, &observer).await?;
/// let package = open_package(&backend, &pushed.digest.into()).await?;
/// let listing = list_files(&backend, &package).await?;
/// let files: Vec<_> = listing.iter().map(|file| (file.path, file.size)).collect();
/// assert_eq!(files, [("temperature.csv".to_owned(), 7)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn list_files<'a>(
    backend: &dyn RegistryBackend,
    package: &'a OpenPackage,
) -> Result<FileListing<'a>> {
    let mut unpacked = PathList::default();
    if package.view.index().is_none() {
        for archive in package.view.archives() {
            unpacked = list_archive(backend, &archive, package.max_ratio, unpacked).await?;
        }
    }
    Ok(FileListing { package, unpacked })
}

impl FileListing<'_> {
    /// Returns the files in order.
    pub fn iter(&self) -> impl Iterator<Item = ListedFile> {
        let entries = self.package.view.entries().map(|entry| ListedFile::from(&entry));
        let unpacked = self.unpacked.iter().map(|(path, size)| ListedFile {
            path,
            size,
            sha256: None,
            identifier: None,
            format_id: None,
            series_id: None,
            obsoleted_by: None,
            archived: false,
            not_public: false,
        });
        entries.chain(unpacked)
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
        let state = object.and_then(|object| object.state.as_deref());
        let text = |identifier: &Option<Identifier>| identifier.as_ref().map(ToString::to_string);
        Self {
            path: entry.path.to_owned(),
            size: entry.size,
            sha256: entry.sha256.map(|sha256| Digest::from_sha256(sha256).encoded().to_owned()),
            identifier: object.and_then(|object| object.identifier.as_ref()).map(ToString::to_string),
            format_id: object.and_then(|object| object.format_id.as_deref()).map(str::to_owned),
            series_id: state.and_then(|state| text(&state.series_id)),
            obsoleted_by: state.and_then(|state| text(&state.obsoleted_by)),
            archived: state.is_some_and(|state| state.archived),
            not_public: state.is_some_and(|state| state.not_public),
        }
    }
}
