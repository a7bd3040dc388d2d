//! Methods that are called at the same time.

use oci_model::RawManifest;
use registry_backend::{BytesSource, WriteHint, Written};

use super::EmptyRepository;
use super::failure::{ensure, ensure_equal};
use super::support::{
    Outcome, artifact, at, by_digest, in_parallel, read_whole, referrer_digests, sorted_digests, sorted_tags,
    store_artifact, store_blob, store_manifest, store_referrer, store_untagged,
};
use crate::pseudo_random;

const WRITERS: u64 = 8;

pub(super) async fn writers_of_one_blob_all_succeed(repository: &EmptyRepository) -> Outcome {
    let content = pseudo_random(1, 400_000);
    let written = in_parallel(repository, WRITERS, |backend, _| {
        let source = BytesSource::new(content.clone());
        async move { Ok(backend.write_blob(&source, &WriteHint::default()).await?) }
    })
    .await?;
    ensure!(written.contains(&Written::Uploaded), "nobody uploaded it: {written:?}");
    let stored = store_blob(&**repository.backend(), content.clone()).await?;
    let read = read_whole(&**repository.backend(), &stored.digest).await?;
    ensure_equal!(read == content, true, "the content came back");
    Ok(())
}

pub(super) async fn writers_of_many_blobs_all_succeed(repository: &EmptyRepository) -> Outcome {
    let stored = in_parallel(repository, 24, |backend, seed| async move {
        store_blob(&*backend, pseudo_random(seed, 50_000)).await
    })
    .await?;
    for (seed, blob) in (0..).zip(stored) {
        let read = read_whole(&**repository.backend(), &blob.digest).await?;
        ensure_equal!(read == pseudo_random(seed, 50_000), true, "the content came back");
    }
    Ok(())
}

pub(super) async fn writers_of_many_tags_all_succeed(repository: &EmptyRepository) -> Outcome {
    in_parallel(repository, WRITERS, |backend, seed| async move {
        store_artifact(&*backend, &format!("tag-{seed}"), seed).await
    })
    .await?;
    let expected: Vec<_> = (0..WRITERS).map(|seed| format!("tag-{seed}")).collect();
    ensure_equal!(sorted_tags(&**repository.backend()).await?, expected, "tags");
    Ok(())
}

pub(super) async fn writers_of_one_tag_leave_it_with_one_of_them(repository: &EmptyRepository) -> Outcome {
    let stored = in_parallel(repository, WRITERS, |backend, seed| async move {
        store_artifact(&*backend, "contested", seed).await
    })
    .await?;
    let backend = repository.backend();
    let winner = backend.read_manifest(&at("contested")).await?;
    ensure!(stored.contains(&winner), "the tag names a manifest that nobody wrote: {}", winner.digest());
    ensure_equal!(sorted_tags(&**backend).await?, ["contested"], "tags");
    Ok(())
}

pub(super) async fn losers_of_a_tag_keep_their_manifests(repository: &EmptyRepository) -> Outcome {
    let stored = in_parallel(repository, WRITERS, |backend, seed| async move {
        store_artifact(&*backend, "contested", seed).await
    })
    .await?;
    for manifest in stored {
        let found = repository.backend().stat_manifest(&by_digest(&manifest)).await?;
        ensure!(found.is_some(), "the manifest {} is gone", manifest.digest());
    }
    Ok(())
}

pub(super) async fn a_moving_tag_always_names_a_manifest(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let versions: [RawManifest; 2] =
        [store_artifact(&**backend, "moving", 1).await?, store_untagged(&**backend, 2).await?];
    let moves = async {
        for turn in 0..40 {
            backend.write_manifest(&at("moving"), &versions[turn % 2]).await?;
        }
        Ok(())
    };
    let looks = async {
        for _ in 0..40 {
            let seen = backend.read_manifest(&at("moving")).await?;
            ensure!(versions.contains(&seen), "a reader saw {}", seen.digest());
        }
        Ok(())
    };
    futures::future::try_join(moves, looks).await.map(drop)
}

pub(super) async fn referrers_written_at_once_are_all_listed(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let subject = store_artifact(&**backend, "v1", 1000).await?;
    let stored = in_parallel(repository, WRITERS, |backend, seed| {
        let subject = subject.clone();
        async move { store_referrer(&*backend, &subject, seed).await }
    })
    .await?;
    ensure_equal!(
        referrer_digests(&**backend, subject.digest()).await?,
        sorted_digests(&stored),
        "referrers"
    );
    Ok(())
}

pub(super) async fn one_manifest_written_at_once_is_stored(repository: &EmptyRepository) -> Outcome {
    let manifest = artifact(&**repository.backend(), 1).await?;
    let stored = in_parallel(repository, WRITERS, |backend, _| {
        let manifest = manifest.clone();
        async move { store_manifest(&*backend, &at("same"), &manifest).await }
    })
    .await?;
    ensure_equal!(sorted_tags(&**repository.backend()).await?, ["same"], "tags");
    let read = repository.backend().read_manifest(&at("same")).await?;
    ensure_equal!(Some(&read), stored.first(), "manifest");
    Ok(())
}
