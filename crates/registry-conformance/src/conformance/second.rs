//! Two values bound to one repository, as two processes have them.

use std::sync::Arc;

use registry_backend::RegistryBackend;

use super::failure::ensure_equal;
use super::support::{
    Outcome, at, ensure_manifest, read_whole, referrer_digests, sorted_digests, sorted_tags, store_artifact,
    store_blob, store_referrer,
};
use super::{EmptyRepository, Failure};

type Shared = Arc<dyn RegistryBackend>;

pub(super) async fn what_one_value_stores_the_other_reads(repository: &EmptyRepository) -> Outcome {
    let (first, second) = both(repository)?;
    let blob = store_blob(&**first, "content").await?;
    let manifest = store_artifact(&**first, "v1", 1).await?;
    let referrer = store_referrer(&**first, &manifest, 2).await?;
    ensure_equal!(read_whole(&**second, &blob.digest).await?, b"content", "content");
    ensure_manifest(&**second, &at("v1"), &manifest).await?;
    ensure_equal!(
        referrer_digests(&**second, manifest.digest()).await?,
        sorted_digests([&referrer]),
        "referrers"
    );
    Ok(())
}

pub(super) async fn a_tag_moved_by_one_value_has_moved_for_the_other(
    repository: &EmptyRepository,
) -> Outcome {
    let (first, second) = both(repository)?;
    let before = store_artifact(&**first, "v1", 1).await?;
    ensure_manifest(&**second, &at("v1"), &before).await?;
    let after = store_artifact(&**first, "v1", 2).await?;
    ensure_manifest(&**second, &at("v1"), &after).await
}

pub(super) async fn tags_written_by_two_values_at_once_are_all_there(
    repository: &EmptyRepository,
) -> Outcome {
    let (first, second) = both(repository)?;
    let write = |backend: Shared, name: &'static str| async move {
        for seed in 0..10 {
            store_artifact(&*backend, &format!("{name}-{seed}"), seed).await?;
        }
        Ok::<_, Failure>(())
    };
    run_both(write(first.clone(), "a"), write(second.clone(), "b")).await?;
    let expected: Vec<_> =
        ["a", "b"].iter().flat_map(|name| (0..10).map(move |seed| format!("{name}-{seed}"))).collect();
    ensure_equal!(sorted_tags(&**first).await?, expected, "tags seen by the first");
    ensure_equal!(sorted_tags(&**second).await?, expected, "tags seen by the second");
    Ok(())
}

pub(super) async fn referrers_written_by_two_values_at_once_are_all_listed(
    repository: &EmptyRepository,
) -> Outcome {
    let (first, second) = both(repository)?;
    let subject = store_artifact(&**first, "v1", 1000).await?;
    let write = |backend: Shared, from: u64| {
        let subject = subject.clone();
        async move {
            let mut stored = Vec::new();
            for seed in from..from + 5 {
                stored.push(store_referrer(&*backend, &subject, seed).await?);
            }
            Ok::<_, Failure>(stored)
        }
    };
    let (left, right) = run_both(write(first.clone(), 0), write(second.clone(), 100)).await?;
    let expected = sorted_digests(left.iter().chain(&right));
    ensure_equal!(referrer_digests(&**second, subject.digest()).await?, expected, "referrers");
    Ok(())
}

fn both(repository: &EmptyRepository) -> Result<(&Shared, &Shared), Failure> {
    let second = repository.second().ok_or_else(|| Failure::new("there is no second value"))?;
    Ok((repository.backend(), second))
}

/// Runs both on workers of their own.
async fn run_both<T: Send + 'static>(
    left: impl Future<Output = Result<T, Failure>> + Send + 'static,
    right: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<(T, T), Failure> {
    let panicked = |error| Failure::new(format!("a writer panicked: {error}"));
    let (left, right) = futures::future::join(tokio::spawn(left), tokio::spawn(right)).await;
    Ok((left.map_err(panicked)??, right.map_err(panicked)??))
}
