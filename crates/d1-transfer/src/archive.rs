//! Streaming an archive layer: its blob is read once, hashed, and judged at the end.

use std::io::Read;
use std::sync::Arc;

use oci_model::{Descriptor, DigestHasher};
use oci_pack::{ArchiveError, ArchiveErrorKind, HashingRead, UnpackError};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend};

use crate::blob_reader::read_range;
use crate::byte_stream::blocking_reader;
use crate::copy::title;
use crate::receive::{observed, run_blocking};
use crate::{Error, Observer, Result};

/// What reading an archive can fail with, before it is known whose fault that is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveFailure {
    #[error(transparent)]
    Read(#[from] ArchiveError),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
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
    observer: Option<&Arc<dyn Observer>>,
    work: impl FnOnce(&mut (dyn Read + Send)) -> Result<T, ArchiveFailure> + Send + 'static,
) -> Result<T> {
    let mut stream = read_range(backend, &layer.digest, layer.size, 0..layer.size).await?;
    if let Some(observer) = observer {
        stream = observed(stream, observer);
    }
    let hasher = DigestHasher::matching(&layer.digest).ok_or_else(|| {
        BackendError::new(ErrorKind::Unsupported, "verify", &layer.digest)
            .because("its algorithm is neither sha256 nor sha512")
    })?;
    let (layer, name) = (layer.clone(), title(layer));
    run_blocking(move || {
        let (reader, stream_failure) = blocking_reader(stream);
        let mut reader = HashingRead::with_hasher(reader, hasher);
        let result = work(&mut reader);
        if let Some(error) = stream_failure.take() {
            return Err(error.into());
        }
        if result.as_ref().is_err_and(is_local) {
            return result.map_err(|failure| failed(failure, &name));
        }
        // Whatever is left is read, so that the digest is that of the whole.
        let rest = std::io::copy(&mut reader, &mut std::io::sink());
        if let (Err(_), Some(error)) = (rest, stream_failure.take()) {
            return Err(error.into());
        }
        let (actual, length) = reader.finish();
        match result {
            Err(failure) => Err(failed(failure, &name)),
            Ok(_) if actual != layer.digest || length != layer.size => {
                Err(Error::content(name, format!("the blob {} has the digest {actual}", layer.digest)))
            }
            Ok(value) => Ok(value),
        }
    })
    .await
}

/// Tells whether the archive's bytes are not to blame: the file system refused, or whoever took the files stopped.
fn is_local(failure: &ArchiveFailure) -> bool {
    use UnpackError::{Archive, Exists, Io, NotADirectory, Refused};
    match failure {
        ArchiveFailure::Read(error) | ArchiveFailure::Unpack(Archive(error)) => {
            error.kind() == ArchiveErrorKind::Visitor
        }
        ArchiveFailure::Unpack(Io { .. } | Exists { .. } | NotADirectory { .. } | Refused { .. }) => true,
        ArchiveFailure::Unpack(_) => false,
    }
}

fn failed(failure: ArchiveFailure, layer: &str) -> Error {
    match failure {
        ArchiveFailure::Unpack(UnpackError::Io { operation, path, source }) => {
            Error::Io { operation, path, source }
        }
        ArchiveFailure::Unpack(UnpackError::Refused { path, source }) => {
            Error::content(path, source.to_string())
        }
        other => Error::content(layer, chain(&other)),
    }
}

/// Returns an error with all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text += ": ";
            text += &next;
        }
        cause = inner.source();
    }
    text
}
