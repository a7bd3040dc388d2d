//! Opening a package: its manifest and its index, without any of its content.

use std::io::Read;

use multi_digest::HashingReader;
use oci_model::{Descriptor, DigestHasher, ImageManifest, ManifestRef, RawManifest};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend, RegistryBackendExt};

use d1_package::{MAX_INDEX_BYTES, PackageIndex, PackageView, ReplacedArchives};

use crate::archive::unknown_algorithm;
use crate::blob_reader::read_range;
use crate::byte_stream::read_blocking;
use crate::{Error, Result};

/// A package of which manifest and index have been read and checked.
#[derive(Clone, Debug)]
pub struct OpenPackage {
    /// The manifest, as it is stored.
    pub raw: RawManifest,
    /// The files of the package.
    pub view: PackageView,
}

impl OpenPackage {
    /// Opens a package whose manifest was read already. An index in the manifest itself needs no request.
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
}

/// Which copy of a small index is read: the manifest holds one, besides the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexCopy {
    /// The one in the manifest, if there is one: no request is needed.
    Nearest,
    /// The blob: to read it proves it.
    Blob,
}

/// Reads the manifest of a package, whoever made it, and its index if it has one: from the manifest itself if it is there.
///
/// # Errors
///
/// If it is not there, or the manifest or the index is not valid.
pub async fn open_package(backend: &dyn RegistryBackend, at: &ManifestRef) -> Result<OpenPackage> {
    let (raw, manifest) = backend.read_image_manifest(at).await?;
    open_read(backend, raw, manifest, IndexCopy::Nearest).await
}

/// Reads what tells which archives of a package can be taken over; `None` if the package has no index.
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

/// Opens a package of which everything is to be proven, its index as well.
pub(crate) async fn open_stored(backend: &dyn RegistryBackend, at: &ManifestRef) -> Result<OpenPackage> {
    let (raw, manifest) = backend.read_image_manifest(at).await?;
    open_read(backend, raw, manifest, IndexCopy::Blob).await
}

/// Opens a package whose manifest was read already.
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
    Ok(OpenPackage { raw, view })
}

/// Reads an index, or what is wanted of it.
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
            .because(format!("it has {size} bytes, and at most {MAX_INDEX_BYTES} are read"))
            .into());
    }
    let hasher = DigestHasher::matching(&digest).ok_or_else(|| unknown_algorithm(&manifest.config))?;
    let stream = read_range(backend, &digest, size, 0..size).await?;
    let manifest = manifest.clone();
    read_blocking(stream, move |reader| {
        let mut reader = HashingReader::new(reader, hasher);
        let index = read(&mut reader, &manifest);
        // Whatever is left is read, so that the digest is that of the whole.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
        let length = reader.length();
        let actual = reader.into_hasher().finish();
        // A wrong digest explains any other error better than the error itself.
        if (&actual, length) != (&digest, size) {
            return Err(Error::content(digest.to_string(), format!("the index has the digest {actual}")));
        }
        Ok(index?)
    })
    .await?
}
