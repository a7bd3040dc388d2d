//! Streaming an archive layer: its blob is read once, hashed, and judged at the end.

use std::io::{self, Read};

use multi_digest::HashingReader;
use oci_model::{Descriptor, DigestHasher};
use oci_pack::{ArchiveError, ArchiveErrorKind, UnpackError, VisitError};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend};

use crate::blob_reader::read_range;
use crate::byte_stream::read_blocking;
use crate::error::with_causes;
use crate::names::title;
use crate::progress::Meter;
use crate::{Error, Result};

/// What reading an archive can fail with, before it is known whose fault that is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveFailure {
    #[error(transparent)]
    Read(#[from] ArchiveError),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

/// Why whoever takes the files of an archive stops the reading.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// A file is not what the package says.
    #[error("{message}")]
    Wrong { path: String, message: String },
    /// The file cannot be written to where it is wanted.
    #[error("cannot write `{path}`")]
    Output { path: String, source: io::Error },
}

/// Gives the bytes of an archive layer to `work` in a blocking thread.
///
/// # Errors
///
/// What the store failed with, if that is why `work` failed; [`Error::Content`] if the blob does not have the digest of its
/// descriptor, or `work` found it damaged; [`Error::Io`] if `work` could not write.
pub(crate) async fn read_archive_layer<T: Send + 'static>(
    backend: &dyn RegistryBackend,
    layer: &Descriptor,
    meter: Option<&Meter>,
    work: impl FnOnce(&mut (dyn Read + Send)) -> Result<T, ArchiveFailure> + Send + 'static,
) -> Result<T> {
    let hasher = DigestHasher::matching(&layer.digest).ok_or_else(|| unknown_algorithm(layer))?;
    let mut stream = read_range(backend, &layer.digest, layer.size, 0..layer.size).await?;
    if let Some(meter) = meter {
        stream = meter.count(stream);
    }
    let layer = layer.clone();
    read_blocking(stream, move |reader| {
        let mut reader = HashingReader::new(reader, hasher);
        let value = work(&mut reader).map_err(|failure| failed(failure, title(&layer)))?;
        // An archive is read to the end of its stream.
        let length = reader.length();
        let actual = reader.into_hasher().finish();
        if actual == layer.digest && length == layer.size {
            return Ok(value);
        }
        let message = format!("the blob {} came as {length} bytes with the digest {actual}", layer.digest);
        Err(Error::content(title(&layer), message))
    })
    .await?
}

/// Returns the error of a blob that cannot be verified.
pub(crate) fn unknown_algorithm(blob: &Descriptor) -> Error {
    let error = BackendError::new(ErrorKind::Unsupported, "verify", &blob.digest);
    error.because("its algorithm is neither sha256 nor sha512").into()
}

fn failed(failure: ArchiveFailure, layer: &str) -> Error {
    match failure {
        ArchiveFailure::Unpack(UnpackError::Io { operation, path, source }) => {
            Error::Io { operation, path, source }
        }
        ArchiveFailure::Unpack(UnpackError::Exists { path }) => Error::content(layer, comes_twice(&path)),
        ArchiveFailure::Unpack(UnpackError::Refused { source, .. }) => stopped(source, layer),
        ArchiveFailure::Unpack(UnpackError::Archive(error)) | ArchiveFailure::Read(error) => {
            let text = with_causes(&error);
            match (error.kind(), error.into_source()) {
                (ArchiveErrorKind::Visitor, Some(source)) => stopped(source, layer),
                _ => Error::content(layer, text),
            }
        }
        ArchiveFailure::Unpack(other) => Error::content(layer, with_causes(&other)),
    }
}

fn stopped(source: VisitError, layer: &str) -> Error {
    match source.downcast::<Stop>().map(|stop| *stop) {
        Ok(Stop::Wrong { path, message }) => Error::content(path, message),
        Ok(Stop::Output { path, source }) => Error::io("write", path, source),
        Err(other) => Error::content(layer, with_causes(&*other)),
    }
}

/// Says that two files of a package have one name, or names that the file system takes for one.
pub(crate) fn comes_twice(path: &std::path::Path) -> String {
    format!("it has two files for `{}`, or names that this file system takes for one", path.display())
}
