//! Tags: listed once each, moved in one step.

use futures::TryStreamExt;
use oci_model::Manifest;
use registry_backend::RegistryBackendExt;

use super::EmptyRepository;
use super::failure::{Failure, ensure_equal};
use super::support::{Outcome, at, by_digest, ensure_manifest, sorted_tags, store_artifact, store_untagged};

pub(super) async fn an_empty_repository_has_no_tags(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    ensure_equal!(sorted_tags(&**backend).await?, Vec::<String>::new(), "tags");
    let listed: Vec<_> = backend.tags_if_any().try_collect().await?;
    ensure_equal!(listed.len(), 0, "tags that a command which fills the repository finds");
    Ok(())
}

pub(super) async fn an_untagged_manifest_has_no_tag(repository: &EmptyRepository) -> Outcome {
    store_untagged(&**repository.backend(), 1).await?;
    ensure_equal!(sorted_tags(&**repository.backend()).await?, Vec::<String>::new(), "tags");
    Ok(())
}

pub(super) async fn each_tag_is_listed_once(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let one = store_artifact(&**backend, "b", 1).await?;
    backend.write_manifest(&at("a"), &one).await?;
    store_artifact(&**backend, "c", 2).await?;
    ensure_equal!(sorted_tags(&**backend).await?, ["a", "b", "c"], "tags");
    let described: Vec<_> = backend.described_tags().try_collect().await?;
    ensure_equal!(described.len(), 3, "described tags");
    for (entry, descriptor) in described {
        let Some(descriptor) = descriptor else { continue };
        let raw = backend.read_manifest(&entry.tag.into()).await?;
        ensure_equal!(&descriptor.digest, raw.digest(), "digest of a described tag");
        let manifest: Manifest = raw.parse().map_err(|error| Failure::new(error.to_string()))?;
        ensure_equal!(&descriptor.annotations, manifest.annotations(), "annotations of a described tag");
    }
    Ok(())
}

pub(super) async fn more_tags_than_fit_on_a_page_are_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    // Quay gives at most 100 tags at once.
    let expected: Vec<_> = (0..120).map(|number| format!("tag-{number:03}")).collect();
    let raw = store_untagged(&**backend, 1).await?;
    for tag in &expected {
        backend.write_manifest(&at(tag), &raw).await?;
    }
    ensure_equal!(sorted_tags(&**backend).await?, expected, "tags");
    Ok(())
}

pub(super) async fn a_tag_moves(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    store_artifact(&**backend, "v1", 1).await?;
    let after = store_artifact(&**backend, "v1", 2).await?;
    ensure_manifest(&**backend, &at("v1"), &after).await?;
    ensure_equal!(sorted_tags(&**backend).await?, ["v1"], "tags");
    Ok(())
}

pub(super) async fn a_moved_tag_leaves_its_manifest(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let before = store_artifact(&**backend, "v1", 1).await?;
    store_artifact(&**backend, "v1", 2).await?;
    ensure_manifest(&**backend, &by_digest(&before), &before).await
}

pub(super) async fn a_tag_moves_back(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let before = store_artifact(&**backend, "v1", 1).await?;
    store_artifact(&**backend, "v1", 2).await?;
    backend.write_manifest(&at("v1"), &before).await?;
    ensure_manifest(&**backend, &at("v1"), &before).await
}

pub(super) async fn tagging_the_same_manifest_again_changes_nothing(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "v1", 1).await?;
    backend.write_manifest(&at("v1"), &raw).await?;
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    ensure_equal!(sorted_tags(&**backend).await?, ["v1"], "tags");
    ensure_manifest(&**backend, &at("v1"), &raw).await
}

pub(super) async fn an_untagged_manifest_can_be_tagged_later(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_untagged(&**backend, 1).await?;
    backend.write_manifest(&at("later"), &raw).await?;
    ensure_equal!(sorted_tags(&**backend).await?, ["later"], "tags");
    ensure_manifest(&**backend, &at("later"), &raw).await
}

pub(super) async fn a_manifest_may_have_several_tags(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "one", 1).await?;
    backend.write_manifest(&at("two"), &raw).await?;
    ensure_manifest(&**backend, &at("one"), &raw).await?;
    ensure_manifest(&**backend, &at("two"), &raw).await
}

pub(super) async fn tags_are_told_apart_by_case(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let lower = store_artifact(&**backend, "tag", 1).await?;
    let upper = store_artifact(&**backend, "TAG", 2).await?;
    ensure_manifest(&**backend, &at("tag"), &lower).await?;
    ensure_manifest(&**backend, &at("TAG"), &upper).await?;
    ensure_equal!(sorted_tags(&**backend).await?, ["TAG", "tag"], "tags");
    Ok(())
}

pub(super) async fn the_longest_tag_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    // 128 characters (distribution-spec, "Pulling manifests").
    let longest = format!("_{}.x-y", "0123456789ab".repeat(10)) + "END";
    let raw = store_artifact(&**backend, &longest, 1).await?;
    ensure_manifest(&**backend, &at(&longest), &raw).await?;
    ensure_equal!(sorted_tags(&**backend).await?, [longest], "tags");
    Ok(())
}
