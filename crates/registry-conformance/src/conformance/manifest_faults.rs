//! Manifests that are refused, and leave nothing behind.

use oci_model::{Descriptor, ImageIndex, ManifestRef, MediaType, RawManifest};
use registry_backend::{ErrorKind, RegistryBackend};

use super::EmptyRepository;
use super::failure::ensure_equal;
use super::support::{
    Outcome, absent_digest, artifact, at, by_digest, ensure_kind, ensure_manifest, ensure_names,
    ensure_no_manifest, sorted_tags, store_artifact,
};

const IMAGE: &str = MediaType::IMAGE_MANIFEST;

pub(super) async fn bytes_that_are_no_json_are_invalid(repository: &EmptyRepository) -> Outcome {
    garbage(repository, b"not a manifest", IMAGE).await
}

pub(super) async fn an_empty_manifest_is_invalid(repository: &EmptyRepository) -> Outcome {
    garbage(repository, b"", IMAGE).await
}

pub(super) async fn a_manifest_without_a_configuration_is_invalid(repository: &EmptyRepository) -> Outcome {
    garbage(repository, b"{\"schemaVersion\":2,\"layers\":[]}", IMAGE).await
}

pub(super) async fn a_manifest_of_another_type_is_invalid(repository: &EmptyRepository) -> Outcome {
    garbage(repository, b"{\"schemaVersion\":2}", "text/csv").await
}

pub(super) async fn a_manifest_that_contradicts_its_type_is_invalid(repository: &EmptyRepository) -> Outcome {
    let bytes = RawManifest::from_image(&artifact(&**repository.backend(), 1).await?).bytes().to_vec();
    garbage(repository, &bytes, MediaType::IMAGE_INDEX).await
}

async fn garbage(repository: &EmptyRepository, bytes: &[u8], media_type: &'static str) -> Outcome {
    let raw = RawManifest::new(bytes.to_vec(), MediaType::from_static(media_type));
    refused(&**repository.backend(), &at("bad"), &raw, ErrorKind::Invalid).await
}

pub(super) async fn a_manifest_at_another_digest_is_invalid(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = RawManifest::from_image(&artifact(&**backend, 1).await?);
    refused(&**backend, &ManifestRef::Digest(absent_digest()), &raw, ErrorKind::Invalid).await
}

pub(super) async fn a_manifest_without_its_layer_is_incomplete(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let mut manifest = artifact(&**backend, 1).await?;
    manifest.layers.push(Descriptor::new(MediaType::from_static("text/csv"), absent_digest(), 26));
    let raw = RawManifest::from_image(&manifest);
    refused(&**backend, &at("bad"), &raw, ErrorKind::Incomplete).await
}

pub(super) async fn a_manifest_without_its_configuration_is_incomplete(
    repository: &EmptyRepository,
) -> Outcome {
    let backend = repository.backend();
    let mut manifest = artifact(&**backend, 1).await?;
    manifest.config = Descriptor::new(MediaType::from_static(MediaType::EMPTY), absent_digest(), 26);
    let raw = RawManifest::from_image(&manifest);
    refused(&**backend, &at("bad"), &raw, ErrorKind::Incomplete).await
}

pub(super) async fn an_untagged_manifest_without_its_layer_is_incomplete(
    repository: &EmptyRepository,
) -> Outcome {
    let backend = repository.backend();
    let mut manifest = artifact(&**backend, 1).await?;
    manifest.layers.push(Descriptor::new(MediaType::from_static("text/csv"), absent_digest(), 26));
    let raw = RawManifest::from_image(&manifest);
    refused(&**backend, &by_digest(&raw), &raw, ErrorKind::Incomplete).await
}

pub(super) async fn an_index_without_its_child_is_incomplete(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let child = store_artifact(&**backend, "child", 1).await?.descriptor();
    let absent = Descriptor::new(MediaType::from_static(IMAGE), absent_digest(), 26);
    let raw = RawManifest::from_index(&ImageIndex::new(vec![child, absent]));
    let refused = backend.write_manifest(&at("bad"), &raw).await;
    ensure_names(&ensure_kind(refused, ErrorKind::Incomplete)?, "bad")?;
    ensure_no_manifest(&**backend, &at("bad")).await?;
    ensure_no_manifest(&**backend, &by_digest(&raw)).await
}

pub(super) async fn a_refused_manifest_does_not_move_the_tag(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let before = store_artifact(&**backend, "v1", 1).await?;
    let mut manifest = artifact(&**backend, 2).await?;
    manifest.layers.push(Descriptor::new(MediaType::from_static("text/csv"), absent_digest(), 26));
    let refused = backend.write_manifest(&at("v1"), &RawManifest::from_image(&manifest)).await;
    ensure_kind(refused, ErrorKind::Incomplete)?;
    ensure_manifest(&**backend, &at("v1"), &before).await
}

async fn refused(
    backend: &dyn RegistryBackend,
    place: &ManifestRef,
    raw: &RawManifest,
    kind: ErrorKind,
) -> Outcome {
    let error = ensure_kind(backend.write_manifest(place, raw).await, kind)?;
    ensure_names(&error, &place.to_string())?;
    ensure_no_manifest(backend, place).await?;
    ensure_no_manifest(backend, &by_digest(raw)).await?;
    ensure_equal!(sorted_tags(backend).await?, Vec::<String>::new(), "tags after the refusal");
    Ok(())
}
