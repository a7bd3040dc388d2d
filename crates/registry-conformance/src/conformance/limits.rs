//! The limits that a store states.

use oci_model::{ManifestRef, MediaType, RawManifest};
use registry_backend::{BlobSource, Capabilities, ErrorKind, RegistryBackend, WriteHint};

use super::failure::{ensure, ensure_equal};
use super::support::{
    Outcome, artifact, at, ensure_kind, ensure_manifest, ensure_names, ensure_no_blob, ensure_no_manifest,
};
use super::{EmptyRepository, Failure};
use crate::TestSource;

pub(super) async fn the_stated_limits_make_sense(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let Capabilities { max_manifest_bytes, max_layers, parallel_blobs, part_bytes, max_blob_bytes, .. } =
        *backend.capabilities();
    ensure!(max_manifest_bytes > 0, "no manifest fits");
    ensure!(max_layers > 0, "no layer fits");
    ensure!(parallel_blobs > 0, "no blob may be moved");
    ensure!(part_bytes != Some(0), "parts have no bytes");
    let parts_fit = part_bytes.zip(max_blob_bytes).is_none_or(|(part, largest)| part <= largest);
    ensure!(parts_fit, "parts of {part_bytes:?} bytes do not fit into blobs of at most {max_blob_bytes:?}");
    let once = backend.capabilities().clone();
    ensure_equal!(*backend.capabilities(), once, "capabilities at the second call");
    Ok(())
}

pub(super) async fn the_backend_names_itself(repository: &EmptyRepository) -> Outcome {
    ensure!(!repository.backend().to_string().is_empty(), "`Display` gives no text");
    ensure!(!format!("{:?}", repository.backend()).is_empty(), "`Debug` gives no text");
    Ok(())
}

pub(super) async fn a_blob_above_the_limit_is_too_large(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let limit = backend.capabilities().max_blob_bytes.unwrap_or(u64::MAX);
    let source = TestSource::new("content").stating_size(limit.saturating_add(1));
    let refused = backend.write_blob(&source, &WriteHint::default()).await;
    let error = ensure_kind(refused, ErrorKind::TooLarge)?;
    ensure_names(&error, source.digest().as_str())?;
    ensure_equal!(source.opened_at(), Vec::<u64>::new(), "offsets at which the source was opened");
    ensure_no_blob(&**backend, source.digest()).await
}

pub(super) async fn a_manifest_above_the_limit_is_too_large(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = manifest_of_size(&**backend, backend.capabilities().max_manifest_bytes + 1).await?;
    let error = ensure_kind(backend.write_manifest(&at("large"), &raw).await, ErrorKind::TooLarge)?;
    ensure_names(&error, "large")?;
    ensure_no_manifest(&**backend, &at("large")).await?;
    ensure_no_manifest(&**backend, &ManifestRef::Digest(raw.digest().clone())).await
}

pub(super) async fn a_manifest_at_the_limit_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = manifest_of_size(&**backend, backend.capabilities().max_manifest_bytes).await?;
    backend.write_manifest(&at("large"), &raw).await?;
    ensure_manifest(&**backend, &at("large"), &raw).await
}

pub(super) async fn a_manifest_with_the_most_layers_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let mut manifest = artifact(&**backend, 1).await?;
    let layer = manifest.layers.first().cloned();
    // More than any registry is known to take would only test the size of the manifest.
    let count = backend.capabilities().max_layers.min(2000);
    manifest.layers = layer.into_iter().cycle().take(count).collect();
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&at("layers"), &raw).await?;
    ensure_manifest(&**backend, &at("layers"), &raw).await
}

/// A valid manifest of exactly this many bytes: white space follows the JSON value.
async fn manifest_of_size(backend: &dyn RegistryBackend, size: u64) -> Result<RawManifest, Failure> {
    let mut bytes = RawManifest::from_image(&artifact(backend, 1).await?).bytes().to_vec();
    bytes.resize(usize::try_from(size).unwrap_or(usize::MAX), b'\n');
    Ok(RawManifest::new(bytes, MediaType::from_static(MediaType::IMAGE_MANIFEST)))
}
