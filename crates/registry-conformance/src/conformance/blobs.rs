//! Blobs: absent, stored, stored again, of every size.

use bytes::Bytes;
use registry_backend::{BlobSource, ErrorKind, WriteHint, Written};

use super::EmptyRepository;
use super::failure::ensure_equal;
use super::support::{
    Outcome, absent_digest, ensure_kind, ensure_names, read_whole, store_blob, well_formed,
};
use crate::{PseudoRandomSource, TestSource, pseudo_random};

pub(super) async fn an_absent_blob_is_no_error(repository: &EmptyRepository) -> Outcome {
    ensure_equal!(repository.backend().stat_blob(&absent_digest()).await?, None, "size of an absent blob");
    Ok(())
}

pub(super) async fn reading_an_absent_blob_is_not_found(repository: &EmptyRepository) -> Outcome {
    let digest = absent_digest();
    let error = ensure_kind(repository.backend().read_blob(&digest, None).await, ErrorKind::NotFound)?;
    ensure_names(&error, digest.as_str())
}

pub(super) async fn reading_a_range_of_an_absent_blob_is_not_found(repository: &EmptyRepository) -> Outcome {
    let error = repository.backend().read_blob(&absent_digest(), Some(0..1)).await;
    ensure_kind(error, ErrorKind::NotFound).map(drop)
}

pub(super) async fn the_empty_blob_is_stored(repository: &EmptyRepository) -> Outcome {
    stored_and_read_back(repository, Bytes::new()).await
}

pub(super) async fn a_blob_of_one_byte_is_stored(repository: &EmptyRepository) -> Outcome {
    stored_and_read_back(repository, Bytes::from_static(b"\0")).await
}

pub(super) async fn a_blob_of_five_mebibytes_is_stored(repository: &EmptyRepository) -> Outcome {
    // More than any piece in which stores and clients are known to move blobs, and no multiple of one.
    stored_and_read_back(repository, pseudo_random(1, 5 * 1024 * 1024 + 17)).await
}

async fn stored_and_read_back(repository: &EmptyRepository, content: Bytes) -> Outcome {
    let backend = repository.backend();
    let source = TestSource::new(content.clone());
    let written = backend.write_blob(&source, &WriteHint::default()).await?;
    ensure_equal!(written, Written::Uploaded, "answer to writing a new blob");
    let size = backend.stat_blob(source.digest()).await?;
    ensure_equal!(size, Some(content.len() as u64), "size of the stored blob");
    ensure_equal!(read_whole(&**backend, source.digest()).await? == content, true, "the content came back");
    Ok(())
}

pub(super) async fn a_stored_blob_is_already_there(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let source = TestSource::new("content");
    backend.write_blob(&source, &WriteHint::default()).await?;
    let again = TestSource::new("content");
    let written = backend.write_blob(&again, &WriteHint::default()).await?;
    ensure_equal!(written, Written::AlreadyThere, "answer to writing a blob again");
    ensure_equal!(again.opened_at(), Vec::<u64>::new(), "offsets at which the source was opened again");
    Ok(())
}

pub(super) async fn a_blob_written_with_a_useless_hint_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let elsewhere = well_formed("d1oci-conformance/not-there")?;
    let source = TestSource::new("content");
    let hint = WriteHint::default().with_mount_from(elsewhere);
    ensure_equal!(backend.write_blob(&source, &hint).await?, Written::Uploaded, "answer to writing it");
    ensure_equal!(read_whole(&**backend, source.digest()).await?, b"content", "content");
    Ok(())
}

pub(super) async fn a_source_may_come_in_small_pieces(repository: &EmptyRepository) -> Outcome {
    let content = pseudo_random(2, 3000);
    let source = TestSource::new(content.clone()).in_pieces_of(7);
    repository.backend().write_blob(&source, &WriteHint::default()).await?;
    ensure_equal!(
        read_whole(&**repository.backend(), source.digest()).await? == content,
        true,
        "the content came back"
    );
    Ok(())
}

pub(super) async fn a_source_may_be_made_while_it_is_read(repository: &EmptyRepository) -> Outcome {
    let source = PseudoRandomSource::new(3, 3 * 1024 * 1024);
    repository.backend().write_blob(&source, &WriteHint::default()).await?;
    let size = repository.backend().stat_blob(source.digest()).await?;
    ensure_equal!(size, Some(source.size()), "size of the stored blob");
    Ok(())
}

pub(super) async fn a_blob_may_be_read_many_times_at_once(repository: &EmptyRepository) -> Outcome {
    let content = pseudo_random(4, 200_000);
    let stored = store_blob(&**repository.backend(), content.clone()).await?;
    let reads = (0..4).map(|_| read_whole(&**repository.backend(), &stored.digest));
    for read in futures::future::try_join_all(reads).await? {
        ensure_equal!(read == content, true, "the content came back");
    }
    Ok(())
}

pub(super) async fn a_read_may_be_given_up(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let content = pseudo_random(5, 300_000);
    let stored = store_blob(&**backend, content.clone()).await?;
    drop(backend.read_blob(&stored.digest, None).await?);
    ensure_equal!(read_whole(&**backend, &stored.digest).await? == content, true, "the content came back");
    Ok(())
}

pub(super) async fn a_sha512_blob_is_stored(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let source = TestSource::new("content").with_sha512();
    backend.write_blob(&source, &WriteHint::default()).await?;
    ensure_equal!(backend.stat_blob(source.digest()).await?, Some(7), "size of the stored blob");
    ensure_equal!(read_whole(&**backend, source.digest()).await?, b"content", "content");
    Ok(())
}

pub(super) async fn a_blob_of_an_unknown_algorithm_is_refused(repository: &EmptyRepository) -> Outcome {
    let source = TestSource::new("content").stating_digest(well_formed("blake9:00112233")?);
    let refused = repository.backend().write_blob(&source, &WriteHint::default()).await;
    ensure_kind(refused, ErrorKind::Unsupported).map(drop)
}
