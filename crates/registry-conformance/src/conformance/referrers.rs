//! Referrers: what was stored with a subject is listed afterwards.

use oci_model::{Descriptor, ImageIndex, MediaType, RawManifest};

use super::failure::{ensure, ensure_equal};
use super::support::{
    ARTIFACT_TYPE, Outcome, absent_digest, artifact, at, by_digest, descriptors, ensure_manifest,
    referrer_digests, sorted_digests, sorted_referrers, store_artifact, store_blob, store_manifest,
    store_referrer, store_untagged,
};
use super::{EmptyRepository, Failure};

pub(super) async fn an_absent_subject_has_no_referrers(repository: &EmptyRepository) -> Outcome {
    let found = referrer_digests(&**repository.backend(), &absent_digest()).await?;
    ensure_equal!(found, Vec::new(), "referrers");
    Ok(())
}

pub(super) async fn a_manifest_without_referrers_has_none(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let raw = store_artifact(&**backend, "v1", 1).await?;
    ensure_equal!(referrer_digests(&**backend, raw.digest()).await?, Vec::new(), "referrers");
    Ok(())
}

pub(super) async fn a_referrer_is_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    let listed = the_only_referrer(repository, &subject).await?;
    let Descriptor { media_type, digest, size, .. } = listed;
    let expected = referrer.descriptor();
    let expected = (expected.media_type, expected.digest, expected.size);
    ensure_equal!((media_type, digest, size), expected, "descriptor");
    Ok(())
}

pub(super) async fn a_tagged_referrer_is_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let mut manifest = artifact(&**backend, 2).await?;
    manifest.subject = Some(subject.descriptor());
    let referrer = store_manifest(&**backend, &at("about-v1"), &manifest).await?;
    ensure_equal!(the_only_referrer(repository, &subject).await?.digest, *referrer.digest(), "referrer");
    ensure_manifest(&**backend, &at("about-v1"), &referrer).await
}

pub(super) async fn a_referrer_is_read_by_digest(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    ensure_manifest(&**backend, &by_digest(&referrer), &referrer).await
}

pub(super) async fn a_referrer_may_come_before_its_subject(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = RawManifest::from_image(&artifact(&**backend, 1).await?);
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    backend.write_manifest(&at("v1"), &subject).await?;
    ensure_equal!(the_only_referrer(repository, &subject).await?.digest, *referrer.digest(), "referrer");
    Ok(())
}

pub(super) async fn a_referrer_stored_twice_is_listed_once(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    backend.write_manifest(&by_digest(&referrer), &referrer).await?;
    ensure_equal!(the_only_referrer(repository, &subject).await?.digest, *referrer.digest(), "referrer");
    Ok(())
}

pub(super) async fn all_of_many_referrers_are_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 0).await?;
    let mut stored = Vec::new();
    for seed in 1..=30 {
        stored.push(store_referrer(&**backend, &subject, seed).await?);
    }
    ensure_equal!(
        referrer_digests(&**backend, subject.digest()).await?,
        sorted_digests(&stored),
        "referrers"
    );
    Ok(())
}

pub(super) async fn a_referrer_is_listed_for_its_own_subject_only(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let other = store_artifact(&**backend, "v2", 2).await?;
    store_referrer(&**backend, &subject, 3).await?;
    ensure_equal!(referrer_digests(&**backend, other.digest()).await?, Vec::new(), "referrers of the other");
    Ok(())
}

pub(super) async fn a_referrer_has_its_artifact_type(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    store_referrer(&**backend, &subject, 2).await?;
    let artifact_type = the_only_referrer(repository, &subject).await?.artifact_type;
    ensure_equal!(artifact_type, Some(MediaType::from_static(ARTIFACT_TYPE)), "artifact type");
    Ok(())
}

/// The type of the configuration stands in for an artifact type that is not stated (distribution-spec, "Listing
/// Referrers").
pub(super) async fn a_referrer_without_an_artifact_type_has_that_of_its_configuration(
    repository: &EmptyRepository,
) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let mut manifest = artifact(&**backend, 2).await?;
    let mut config = store_blob(&**backend, "{\"a\":1}").await?;
    config.media_type = MediaType::from_static("application/vnd.example.config+json");
    manifest.artifact_type = None;
    manifest.config = config.clone();
    manifest.subject = Some(subject.descriptor());
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    let artifact_type = the_only_referrer(repository, &subject).await?.artifact_type;
    ensure_equal!(artifact_type, Some(config.media_type), "artifact type");
    Ok(())
}

pub(super) async fn a_referrer_has_its_annotations(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let mut manifest = artifact(&**backend, 2).await?;
    manifest.subject = Some(subject.descriptor());
    manifest.annotations.insert("org.example.text".to_owned(), "\u{e9} \"x\"\n".to_owned());
    manifest.annotations.insert("org.example.empty".to_owned(), String::new());
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    let listed = the_only_referrer(repository, &subject).await?;
    ensure_equal!(listed.annotations, manifest.annotations, "annotations");
    Ok(())
}

pub(super) async fn referrers_of_one_type_are_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    store_referrer(&**backend, &subject, 2).await?;
    let mut manifest = artifact(&**backend, 3).await?;
    let wanted = MediaType::from_static("application/vnd.example.signature+json");
    manifest.artifact_type = Some(wanted.clone());
    manifest.subject = Some(subject.descriptor());
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    let found = sorted_referrers(&**backend, subject.digest(), Some(&wanted)).await?;
    let found: Vec<_> = found.into_iter().map(|descriptor| descriptor.digest).collect();
    ensure_equal!(found, [raw.digest().clone()], "referrers of the type");
    Ok(())
}

pub(super) async fn no_referrer_of_another_type_is_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    store_referrer(&**backend, &subject, 2).await?;
    let other = MediaType::from_static("application/vnd.example.other");
    let found = sorted_referrers(&**backend, subject.digest(), Some(&other)).await?;
    ensure_equal!(found, Vec::new(), "referrers of a type that none has");
    Ok(())
}

pub(super) async fn an_index_may_be_a_referrer(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let child = store_untagged(&**backend, 2).await?;
    let mut index = ImageIndex::new(descriptors(&[&child]));
    index.artifact_type = Some(MediaType::from_static("application/vnd.example.list"));
    index.subject = Some(subject.descriptor());
    index.annotations.insert("org.example.kind".to_owned(), "list".to_owned());
    let raw = RawManifest::from_index(&index);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    let listed = the_only_referrer(repository, &subject).await?;
    ensure_equal!(listed.digest, *raw.digest(), "referrer");
    ensure!(listed.media_type.is_index(), "the referrer is listed as {}", listed.media_type);
    ensure_equal!(listed.artifact_type, index.artifact_type, "artifact type");
    ensure_equal!(listed.annotations, index.annotations, "annotations");
    Ok(())
}

pub(super) async fn a_referrer_may_have_referrers(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1).await?;
    let referrer = store_referrer(&**backend, &subject, 2).await?;
    let second = store_referrer(&**backend, &referrer, 3).await?;
    ensure_equal!(the_only_referrer(repository, &subject).await?.digest, *referrer.digest(), "referrer");
    ensure_equal!(the_only_referrer(repository, &referrer).await?.digest, *second.digest(), "its referrer");
    Ok(())
}

async fn the_only_referrer(
    repository: &EmptyRepository,
    subject: &RawManifest,
) -> Result<Descriptor, Failure> {
    let found = sorted_referrers(&**repository.backend(), subject.digest(), None).await?;
    match <[Descriptor; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) => Err(Failure::new(format!("exactly one referrer was expected: {found:?}"))),
    }
}
