//! Sources that lie or fail: an error, and nothing visible.

use oci_model::Digest;
use registry_backend::{BlobSource, ErrorKind, WriteHint};

use super::EmptyRepository;
use super::failure::ensure_equal;
use super::support::{Outcome, ensure_kind, ensure_names, ensure_no_blob, read_whole, store_blob};
use crate::{TestSource, pseudo_random};

/// Larger than what clients are known to gather before they send it.
const LARGE: usize = 5 * 1024 * 1024;

pub(super) async fn a_source_shorter_than_it_states_is_invalid(repository: &EmptyRepository) -> Outcome {
    refused(repository, &TestSource::new("content").stating_size(8), ErrorKind::Invalid).await
}

pub(super) async fn a_source_longer_than_it_states_is_invalid(repository: &EmptyRepository) -> Outcome {
    refused(repository, &TestSource::new("content").stating_size(6), ErrorKind::Invalid).await
}

pub(super) async fn an_empty_source_that_states_content_is_invalid(repository: &EmptyRepository) -> Outcome {
    let digest = Digest::sha256_of(b"content");
    refused(repository, &TestSource::new("").stating_digest(digest).stating_size(7), ErrorKind::Invalid).await
}

pub(super) async fn a_source_with_content_that_states_none_is_invalid(
    repository: &EmptyRepository,
) -> Outcome {
    let digest = Digest::sha256_of(b"");
    refused(
        repository,
        &TestSource::new("content").stating_digest(digest).stating_size(0),
        ErrorKind::Invalid,
    )
    .await
}

pub(super) async fn a_large_source_shorter_than_it_states_is_invalid(
    repository: &EmptyRepository,
) -> Outcome {
    let source =
        TestSource::new(pseudo_random(1, LARGE)).in_pieces_of(100_000).stating_size(LARGE as u64 + 1);
    refused(repository, &source, ErrorKind::Invalid).await
}

pub(super) async fn a_large_source_longer_than_it_states_is_invalid(repository: &EmptyRepository) -> Outcome {
    let source =
        TestSource::new(pseudo_random(1, LARGE)).in_pieces_of(100_000).stating_size(LARGE as u64 - 1);
    refused(repository, &source, ErrorKind::Invalid).await
}

pub(super) async fn a_source_with_another_digest_is_invalid(repository: &EmptyRepository) -> Outcome {
    let source = TestSource::new("content").stating_digest(Digest::sha256_of(b"CONTENT"));
    refused(repository, &source, ErrorKind::Invalid).await
}

pub(super) async fn a_source_that_cannot_be_opened_gives_its_error(repository: &EmptyRepository) -> Outcome {
    refused(repository, &TestSource::new("content").failing_after(0, ErrorKind::Io), ErrorKind::Io).await
}

pub(super) async fn a_source_that_fails_in_the_middle_gives_its_error(
    repository: &EmptyRepository,
) -> Outcome {
    let source = TestSource::new(pseudo_random(1, LARGE))
        .in_pieces_of(100_000)
        .failing_after(LARGE as u64 / 2, ErrorKind::Io);
    refused(repository, &source, ErrorKind::Io).await
}

pub(super) async fn a_source_that_fails_at_the_end_gives_its_error(repository: &EmptyRepository) -> Outcome {
    refused(repository, &TestSource::new("content").failing_after(7, ErrorKind::Invalid), ErrorKind::Invalid)
        .await
}

pub(super) async fn a_blob_can_be_stored_after_a_failure(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let failing = TestSource::new("content").failing_after(3, ErrorKind::Io);
    ensure_kind(backend.write_blob(&failing, &WriteHint::default()).await, ErrorKind::Io)?;
    let stored = store_blob(&**backend, "content").await?;
    ensure_equal!(read_whole(&**backend, &stored.digest).await?, b"content", "content");
    Ok(())
}

pub(super) async fn a_refused_blob_is_named(repository: &EmptyRepository) -> Outcome {
    let source = TestSource::new("content").stating_digest(Digest::sha256_of(b"CONTENT"));
    let refused = repository.backend().write_blob(&source, &WriteHint::default()).await;
    let error = ensure_kind(refused, ErrorKind::Invalid)?;
    ensure_names(&error, source.digest().as_str())
}

async fn refused(repository: &EmptyRepository, source: &TestSource, kind: ErrorKind) -> Outcome {
    let backend = repository.backend();
    ensure_kind(backend.write_blob(source, &WriteHint::default()).await, kind)?;
    ensure_no_blob(&**backend, source.digest()).await
}
