//! Deleting manifests and tags.

use oci_model::ManifestRef;
use registry_backend::{ErrorKind, RepositoryAdmin};

use super::failure::{ensure, ensure_equal};
use super::support::{
    Outcome, absent_digest, at, by_digest, ensure_kind, ensure_manifest, ensure_names, ensure_no_manifest,
    referrer_digests, sorted_digests, sorted_tags, store_artifact, store_index, store_referrer,
    store_untagged, tag,
};
use super::{EmptyRepository, Failure};

pub(super) async fn a_deleted_manifest_is_gone(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_untagged(&**backend, 1).await?;
    admin(repository)?.delete_manifest(raw.digest()).await?;
    ensure_no_manifest(&**backend, &by_digest(&raw)).await
}

pub(super) async fn deleting_a_manifest_deletes_its_tags(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "one", 1).await?;
    backend.write_manifest(&at("two"), &raw).await?;
    store_artifact(&**backend, "other", 2).await?;
    admin(repository)?.delete_manifest(raw.digest()).await?;
    ensure_no_manifest(&**backend, &at("one")).await?;
    ensure_no_manifest(&**backend, &at("two")).await?;
    ensure_equal!(sorted_tags(&**backend).await?, ["other"], "tags");
    Ok(())
}

pub(super) async fn deleting_a_manifest_keeps_other_manifests(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "one", 1).await?;
    let other = store_artifact(&**backend, "other", 2).await?;
    admin(repository)?.delete_manifest(raw.digest()).await?;
    ensure_manifest(&**backend, &at("other"), &other).await
}

pub(super) async fn deleting_a_manifest_keeps_its_blobs(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let manifest = super::support::artifact(&**backend, 1).await?;
    let raw = super::support::store_manifest(&**backend, &at("v1"), &manifest).await?;
    admin(repository)?.delete_manifest(raw.digest()).await?;
    for layer in &manifest.layers {
        ensure_equal!(backend.stat_blob(&layer.digest).await?, Some(layer.size), "size of its layer");
    }
    Ok(())
}

pub(super) async fn deleting_an_index_keeps_its_children(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let child = store_artifact(&**backend, "child", 1).await?;
    let index = store_index(&**backend, "index", &[&child]).await?;
    admin(repository)?.delete_manifest(index.digest()).await?;
    ensure_manifest(&**backend, &at("child"), &child).await
}

pub(super) async fn a_referrer_that_stays_is_not_called_deleted(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    // With a tag of its own, some registries accept the request and keep the manifest.
    backend.write_manifest(&at("about"), &referrer).await?;
    match admin(repository)?.delete_manifest(referrer.digest()).await {
        Ok(()) => ensure_no_manifest(&**backend, &by_digest(&referrer)).await,
        Err(error) => ensure_kind(Err::<(), _>(error), ErrorKind::Unsupported).map(drop),
    }
}

pub(super) async fn a_deleted_referrer_is_not_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let deleted = store_referrer(&**backend, &subject, 2).await?;
    let kept = store_referrer(&**backend, &subject, 3).await?;
    admin(repository)?.delete_manifest(deleted.digest()).await?;
    ensure_equal!(
        referrer_digests(&**backend, subject.digest()).await?,
        sorted_digests([&kept]),
        "referrers"
    );
    Ok(())
}

pub(super) async fn a_deleted_manifest_can_be_stored_again(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "v1", 1).await?;
    admin(repository)?.delete_manifest(raw.digest()).await?;
    let again = store_artifact(&**backend, "v1", 1).await?;
    ensure_manifest(&**backend, &at("v1"), &again).await
}

pub(super) async fn deleting_an_absent_manifest_is_not_found(repository: &EmptyRepository) -> Outcome {
    store_artifact(&**repository.backend(), "v1", 1).await?;
    let digest = absent_digest();
    let refused = admin(repository)?.delete_manifest(&digest).await;
    ensure_names(&ensure_kind(refused, ErrorKind::NotFound)?, digest.as_str())
}

pub(super) async fn a_deleted_tag_is_gone(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    store_artifact(&**backend, "v1", 1).await?;
    store_artifact(&**backend, "v2", 2).await?;
    admin(repository)?.delete_tag(&tag("v1")).await?;
    ensure_no_manifest(&**backend, &at("v1")).await?;
    ensure_equal!(sorted_tags(&**backend).await?, ["v2"], "tags");
    Ok(())
}

pub(super) async fn deleting_a_tag_keeps_the_manifest(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "v1", 1).await?;
    admin(repository)?.delete_tag(&tag("v1")).await?;
    ensure_manifest(&**backend, &ManifestRef::Digest(raw.digest().clone()), &raw).await
}

pub(super) async fn deleting_a_tag_keeps_the_manifests_other_tags(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "one", 1).await?;
    backend.write_manifest(&at("two"), &raw).await?;
    admin(repository)?.delete_tag(&tag("one")).await?;
    ensure_manifest(&**backend, &at("two"), &raw).await
}

pub(super) async fn deleting_the_tag_of_a_referrer_keeps_it_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    backend.write_manifest(&at("about"), &referrer).await?;
    admin(repository)?.delete_tag(&tag("about")).await?;
    let found = referrer_digests(&**backend, subject.digest()).await?;
    ensure_equal!(found, sorted_digests([&referrer]), "referrers");
    Ok(())
}

pub(super) async fn deleting_an_absent_tag_is_not_found(repository: &EmptyRepository) -> Outcome {
    store_artifact(&**repository.backend(), "v1", 1).await?;
    let refused = admin(repository)?.delete_tag(&tag("absent")).await;
    ensure_names(&ensure_kind(refused, ErrorKind::NotFound)?, "absent")
}

pub(super) async fn a_failed_delete_changes_nothing(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "v1", 1).await?;
    let refused = admin(repository)?.delete_manifest(&absent_digest()).await;
    ensure!(refused.is_err(), "deleting an absent manifest succeeded");
    ensure_equal!(sorted_tags(&**backend).await?, ["v1"], "tags");
    ensure_manifest(&**backend, &at("v1"), &raw).await
}

fn admin(repository: &EmptyRepository) -> Result<&dyn RepositoryAdmin, Failure> {
    repository.backend().admin().ok_or_else(|| Failure::new("`admin` is not there"))
}
