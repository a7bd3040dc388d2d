//! Removing what nothing refers to.

use std::time::Duration;

use oci_model::{Descriptor, Digest, ImageManifest, MediaType, RawManifest};
use registry_backend::{PruneOptions, PruneReport, RegistryBackend};

use super::failure::{ensure, ensure_equal};
use super::support::{
    Outcome, artifact, at, by_digest, ensure_manifest, ensure_no_blob, ensure_no_manifest, read_whole,
    referrer_digests, sorted_digests, sorted_tags, store_artifact, store_blob, store_index, store_manifest,
    store_referrer, store_untagged,
};
use super::{EmptyRepository, Failure};

pub(super) async fn an_unreferenced_blob_is_pruned(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let loose = store_blob(&**backend, "loose").await?;
    let report = prune(repository, &everything()).await?;
    ensure_equal!(removed(&report), [(loose.digest.clone(), 5)], "what was removed");
    ensure_no_blob(&**backend, &loose.digest).await
}

pub(super) async fn an_empty_repository_can_be_pruned(repository: &EmptyRepository) -> Outcome {
    let report = prune(repository, &everything()).await?;
    ensure_equal!(removed(&report), [], "what was removed");
    Ok(())
}

pub(super) async fn a_young_blob_is_not_pruned(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let loose = store_blob(&**backend, "loose").await?;
    let report = prune(repository, &PruneOptions::default()).await?;
    ensure_equal!(removed(&report), [], "what was removed");
    ensure_equal!(report.kept_young, 1, "number of blobs kept because they are young");
    ensure_equal!(read_whole(&**backend, &loose.digest).await?, b"loose", "content");
    Ok(())
}

pub(super) async fn a_dry_run_reports_and_removes_nothing(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let loose = store_blob(&**backend, "loose").await?;
    let untagged = store_untagged(&**backend, 1).await?;
    let mut options = with_untagged();
    options.dry_run = true;
    let announced = prune(repository, &options).await?;
    ensure_equal!(backend.stat_blob(&loose.digest).await?, Some(5), "size of the blob after the dry run");
    ensure_manifest(&**backend, &by_digest(&untagged), &untagged).await?;
    let done = prune(repository, &with_untagged()).await?;
    ensure_equal!(removed(&announced), removed(&done), "what the dry run announced");
    ensure!(!announced.removed.is_empty(), "the dry run announced nothing");
    Ok(())
}

pub(super) async fn a_tagged_manifest_and_its_blobs_stay(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let manifest = artifact(&**backend, 1).await?;
    let raw = store_manifest(&**backend, &at("v1"), &manifest).await?;
    let report = prune(repository, &with_untagged()).await?;
    ensure_equal!(removed(&report), [], "what was removed");
    ensure_manifest(&**backend, &at("v1"), &raw).await?;
    ensure_blobs(&**backend, &all_blobs(&manifest)).await
}

pub(super) async fn an_untagged_manifest_and_its_blobs_stay_by_default(
    repository: &EmptyRepository,
) -> Outcome {
    let backend = repository.backend();
    let manifest = artifact(&**backend, 1).await?;
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    let report = prune(repository, &everything()).await?;
    ensure_equal!(removed(&report), [], "what was removed");
    ensure_manifest(&**backend, &by_digest(&raw), &raw).await?;
    ensure_blobs(&**backend, &manifest.layers).await
}

pub(super) async fn an_untagged_manifest_is_pruned_on_request(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let manifest = artifact(&**backend, 1).await?;
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    let report = prune(repository, &with_untagged()).await?;
    ensure_no_manifest(&**backend, &by_digest(&raw)).await?;
    for blob in all_blobs(&manifest) {
        ensure_no_blob(&**backend, &blob.digest).await?;
    }
    ensure!(report.removed.iter().any(|blob| blob.digest == *raw.digest()), "the manifest is not reported");
    Ok(())
}

pub(super) async fn what_a_moved_tag_left_is_pruned_on_request(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let before = store_artifact(&**backend, "v1", 1).await?;
    let after = store_artifact(&**backend, "v1", 2).await?;
    prune(repository, &with_untagged()).await?;
    ensure_no_manifest(&**backend, &by_digest(&before)).await?;
    ensure_manifest(&**backend, &at("v1"), &after).await
}

pub(super) async fn a_blob_shared_with_a_kept_manifest_stays(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let kept = artifact(&**backend, 1).await?;
    store_manifest(&**backend, &at("kept"), &kept).await?;
    let mut dropped = artifact(&**backend, 2).await?;
    dropped.layers.extend(kept.layers.clone());
    let raw = RawManifest::from_image(&dropped);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    prune(repository, &with_untagged()).await?;
    ensure_no_manifest(&**backend, &by_digest(&raw)).await?;
    ensure_blobs(&**backend, &all_blobs(&kept)).await
}

pub(super) async fn the_children_of_a_kept_index_stay(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let manifest = artifact(&**backend, 1).await?;
    let child = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&child), &child).await?;
    let index = store_index(&**backend, "index", &[&child]).await?;
    let report = prune(repository, &with_untagged()).await?;
    ensure_equal!(removed(&report), [], "what was removed");
    ensure_manifest(&**backend, &at("index"), &index).await?;
    ensure_manifest(&**backend, &by_digest(&child), &child).await?;
    ensure_blobs(&**backend, &manifest.layers).await
}

pub(super) async fn the_referrers_of_a_kept_manifest_stay(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let mut manifest = artifact(&**backend, 2).await?;
    manifest.subject = Some(subject.descriptor());
    let referrer = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&referrer), &referrer).await?;
    let report = prune(repository, &with_untagged()).await?;
    ensure_equal!(removed(&report), [], "what was removed");
    let found = referrer_digests(&**backend, subject.digest()).await?;
    ensure_equal!(found, sorted_digests([&referrer]), "referrers");
    ensure_blobs(&**backend, &manifest.layers).await
}

pub(super) async fn the_referrers_of_a_referrer_stay(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    let second = store_referrer(&**backend, &referrer, 3).await?;
    prune(repository, &with_untagged()).await?;
    ensure_manifest(&**backend, &by_digest(&second), &second).await
}

pub(super) async fn the_referrer_of_a_pruned_manifest_is_pruned(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_untagged(&**backend, 1).await?;
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    prune(repository, &with_untagged()).await?;
    ensure_no_manifest(&**backend, &by_digest(&subject)).await?;
    ensure_no_manifest(&**backend, &by_digest(&referrer)).await?;
    ensure_equal!(referrer_digests(&**backend, subject.digest()).await?, Vec::new(), "referrers");
    Ok(())
}

pub(super) async fn the_blobs_of_a_deleted_manifest_are_pruned(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let manifest = artifact(&**backend, 1).await?;
    let raw = store_manifest(&**backend, &at("v1"), &manifest).await?;
    let Some(admin) = backend.admin() else { return Err(Failure::new("`admin` is not there")) };
    admin.delete_manifest(raw.digest()).await?;
    prune(repository, &everything()).await?;
    for blob in all_blobs(&manifest) {
        ensure_no_blob(&**backend, &blob.digest).await?;
    }
    Ok(())
}

pub(super) async fn what_was_pruned_can_be_stored_again(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let loose = store_blob(&**backend, "loose").await?;
    prune(repository, &everything()).await?;
    store_blob(&**backend, "loose").await?;
    ensure_equal!(read_whole(&**backend, &loose.digest).await?, b"loose", "content");
    Ok(())
}

pub(super) async fn pruning_twice_removes_nothing_more(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    store_artifact(&**backend, "v1", 1).await?;
    store_untagged(&**backend, 2).await?;
    store_blob(&**backend, "loose").await?;
    prune(repository, &with_untagged()).await?;
    let again = prune(repository, &with_untagged()).await?;
    ensure_equal!(removed(&again), [], "what the second run removed");
    ensure_equal!(sorted_tags(&**backend).await?, ["v1"], "tags");
    Ok(())
}

pub(super) async fn the_configuration_of_a_kept_manifest_stays(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let mut manifest = artifact(&**backend, 1).await?;
    let mut config = store_blob(&**backend, "{\"a\":1}").await?;
    config.media_type = MediaType::from_static("application/vnd.example.config+json");
    manifest.config = config.clone();
    store_manifest(&**backend, &at("v1"), &manifest).await?;
    prune(repository, &with_untagged()).await?;
    ensure_blobs(&**backend, &[config]).await
}

/// Everything that is unreferenced, however young; untagged manifests stay.
fn everything() -> PruneOptions {
    let mut options = PruneOptions::default();
    options.grace = Duration::ZERO;
    options
}

fn with_untagged() -> PruneOptions {
    let mut options = everything();
    options.untagged = true;
    options
}

async fn prune(repository: &EmptyRepository, options: &PruneOptions) -> Result<PruneReport, Failure> {
    let pruner = repository.backend().admin().and_then(|admin| admin.pruner());
    let pruner = pruner.ok_or_else(|| Failure::new("`admin().pruner()` is not there"))?;
    Ok(pruner.prune(options).await?)
}

fn removed(report: &PruneReport) -> Vec<(Digest, u64)> {
    let mut removed: Vec<_> = report.removed.iter().map(|blob| (blob.digest.clone(), blob.size)).collect();
    removed.sort();
    removed
}

fn all_blobs(manifest: &ImageManifest) -> Vec<Descriptor> {
    manifest.layers.iter().chain([&manifest.config]).cloned().collect()
}

async fn ensure_blobs(backend: &dyn RegistryBackend, blobs: &[Descriptor]) -> Outcome {
    for blob in blobs {
        ensure_equal!(
            backend.stat_blob(&blob.digest).await?,
            Some(blob.size),
            "size of a blob that has to stay"
        );
    }
    Ok(())
}
