//! Opening a package: its manifest and its index, without any of its content.

use oci_model::{Descriptor, DigestHasher, ImageManifest, ManifestRef, RawManifest};
use oci_pack::HashingRead;
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend, RegistryBackendExt};

use d1_package::{MAX_INDEX_BYTES, PackageIndex, PackageView};

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

/// Reads the manifest of a package, whoever made it, and its index if it has one.
///
/// # Errors
///
/// If it is not there, or the manifest or the index is not valid.
pub async fn open_package(backend: &dyn RegistryBackend, at: &ManifestRef) -> Result<OpenPackage> {
    let (raw, manifest) = backend.read_image_manifest(at).await?;
    open_read(backend, raw, manifest).await
}

/// Opens a package whose manifest was read already.
pub(crate) async fn open_read(
    backend: &dyn RegistryBackend,
    raw: RawManifest,
    manifest: ImageManifest,
) -> Result<OpenPackage> {
    let index =
        if PackageView::has_index(&manifest) { Some(read_index(backend, &manifest).await?) } else { None };
    let view = PackageView::new(manifest, index).map_err(d1_package::Error::from)?;
    Ok(OpenPackage { raw, view })
}

async fn read_index(backend: &dyn RegistryBackend, manifest: &ImageManifest) -> Result<PackageIndex> {
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
        let mut reader = HashingRead::with_hasher(reader, hasher);
        let index = PackageIndex::read(&mut reader, &manifest);
        // Whatever is left is read, so that the digest is that of the whole.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
        let (actual, length) = reader.finish();
        // A wrong digest explains any other error better than the error itself.
        if (&actual, length) != (&digest, size) {
            return Err(Error::content(digest.to_string(), format!("the index has the digest {actual}")));
        }
        Ok(index.map_err(d1_package::Error::from)?)
    })
    .await?
}
