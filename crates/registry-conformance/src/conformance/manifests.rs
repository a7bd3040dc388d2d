//! Manifests: stored and read back, byte for byte.

use oci_model::{
    Descriptor, DigestAlgorithm, DigestHasher, ImageManifest, ManifestRef, MediaType, RawManifest,
};
use registry_backend::{ErrorKind, RegistryBackendExt};
use serde_json::Value;

use super::failure::ensure_equal;
use super::support::{
    ARTIFACT_TYPE, Outcome, absent_digest, artifact, at, by_digest, ensure_kind, ensure_manifest,
    ensure_names, store_artifact, store_blob, store_index, store_manifest, store_untagged,
};
use super::{EmptyRepository, Failure};

pub(super) async fn an_absent_manifest_is_no_error(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    ensure_equal!(backend.stat_manifest(&at("absent")).await?, None, "descriptor under an absent tag");
    let digest = ManifestRef::Digest(absent_digest());
    ensure_equal!(backend.stat_manifest(&digest).await?, None, "descriptor under an absent digest");
    Ok(())
}

pub(super) async fn reading_an_absent_tag_is_not_found(repository: &EmptyRepository) -> Outcome {
    let refused = repository.backend().read_manifest(&at("absent")).await;
    ensure_names(&ensure_kind(refused, ErrorKind::NotFound)?, "absent")
}

pub(super) async fn reading_an_absent_manifest_is_not_found(repository: &EmptyRepository) -> Outcome {
    let digest = absent_digest();
    let refused = repository.backend().read_manifest(&digest.clone().into()).await;
    ensure_names(&ensure_kind(refused, ErrorKind::NotFound)?, digest.as_str())
}

pub(super) async fn an_absent_tag_is_not_found_among_others(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    store_artifact(&**backend, "present", 1).await?;
    ensure_equal!(backend.stat_manifest(&at("absent")).await?, None, "descriptor under an absent tag");
    ensure_kind(backend.read_manifest(&at("absent")).await, ErrorKind::NotFound).map(drop)
}

pub(super) async fn a_tagged_manifest_is_read_by_tag(repository: &EmptyRepository) -> Outcome {
    let raw = store_artifact(&**repository.backend(), "v1", 1).await?;
    ensure_manifest(&**repository.backend(), &at("v1"), &raw).await
}

pub(super) async fn a_tagged_manifest_is_read_by_digest(repository: &EmptyRepository) -> Outcome {
    let raw = store_artifact(&**repository.backend(), "v1", 1).await?;
    ensure_manifest(&**repository.backend(), &by_digest(&raw), &raw).await
}

pub(super) async fn an_untagged_manifest_is_read_by_digest(repository: &EmptyRepository) -> Outcome {
    let raw = store_untagged(&**repository.backend(), 1).await?;
    ensure_manifest(&**repository.backend(), &by_digest(&raw), &raw).await
}

pub(super) async fn the_descriptor_has_type_digest_and_size(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "v1", 1).await?;
    for place in [at("v1"), by_digest(&raw)] {
        let Descriptor { media_type, digest, size, .. } = backend.resolve(&place).await?;
        let expected = raw.descriptor();
        let expected = (expected.media_type, expected.digest, expected.size);
        ensure_equal!((media_type, digest, size), expected, "descriptor");
    }
    Ok(())
}

pub(super) async fn a_manifest_without_layers_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    store_blob(&**backend, Descriptor::EMPTY_CONTENT).await?;
    let manifest = ImageManifest::new(MediaType::from_static(ARTIFACT_TYPE), Descriptor::empty());
    let raw = store_manifest(&**backend, &at("v1"), &manifest).await?;
    ensure_manifest(&**backend, &at("v1"), &raw).await
}

pub(super) async fn a_manifest_with_one_blob_twice_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let mut manifest = artifact(&**backend, 1).await?;
    manifest.layers.extend(manifest.layers.clone());
    let raw = store_manifest(&**backend, &at("v1"), &manifest).await?;
    ensure_manifest(&**backend, &at("v1"), &raw).await
}

pub(super) async fn unknown_fields_and_white_space_are_kept(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let compact = RawManifest::from_image(&artifact(&**backend, 1).await?);
    let mut value: Value = serde_json::from_slice(compact.bytes()).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("zzExample".to_owned(), serde_json::json!({"b": [1.50, null], "a": "\u{e9}"}));
    }
    let text = format!(" \r\n{}\n\t\n", serde_json::to_string_pretty(&value).unwrap_or_default());
    let odd = RawManifest::new(text.into_bytes(), compact.media_type().clone());
    backend.write_manifest(&at("odd"), &odd).await?;
    ensure_manifest(&**backend, &at("odd"), &odd).await
}

pub(super) async fn a_manifest_that_does_not_state_its_type_keeps_it(
    repository: &EmptyRepository,
) -> Outcome {
    let backend = repository.backend();
    let mut manifest = artifact(&**backend, 1).await?;
    manifest.media_type = None;
    let raw = store_manifest(&**backend, &at("v1"), &manifest).await?;
    ensure_manifest(&**backend, &at("v1"), &raw).await
}

pub(super) async fn a_sha512_manifest_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let bytes = RawManifest::from_image(&artifact(&**backend, 1).await?).bytes().to_vec();
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha512);
    hasher.update(&bytes);
    let media_type = MediaType::from_static(MediaType::IMAGE_MANIFEST);
    let raw = RawManifest::verified(bytes, media_type, &hasher.finish())
        .map_err(|error| Failure::new(error.to_string()))?;
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    ensure_manifest(&**backend, &by_digest(&raw), &raw).await
}

pub(super) async fn an_index_and_its_children_are_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let children = [store_untagged(&**backend, 1).await?, store_untagged(&**backend, 2).await?];
    let index = store_index(&**backend, "both", &[&children[0], &children[1]]).await?;
    ensure_manifest(&**backend, &at("both"), &index).await?;
    for child in &children {
        ensure_manifest(&**backend, &by_digest(child), child).await?;
    }
    Ok(())
}

pub(super) async fn an_index_of_nothing_is_stored(repository: &EmptyRepository) -> Outcome {
    let index = store_index(&**repository.backend(), "none", &[]).await?;
    ensure_manifest(&**repository.backend(), &at("none"), &index).await
}

pub(super) async fn an_index_of_indexes_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let leaf = store_untagged(&**backend, 1).await?;
    let inner = store_index(&**backend, "inner", &[&leaf]).await?;
    let outer = store_index(&**backend, "outer", &[&inner]).await?;
    ensure_manifest(&**backend, &at("outer"), &outer).await?;
    ensure_manifest(&**backend, &at("inner"), &inner).await
}
