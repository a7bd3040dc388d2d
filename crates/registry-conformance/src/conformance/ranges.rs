//! Reading a part of a blob.

use std::ops::Range;

use bytes::Bytes;
use registry_backend::ErrorKind;

use super::failure::{ensure, ensure_equal};
use super::support::{Outcome, drain, ensure_kind, ensure_names, store_blob};
use super::{EmptyRepository, Failure};
use crate::pseudo_random;

const LENGTH: u32 = 300_001;
const SIZE: u64 = LENGTH as u64;

pub(super) async fn the_start_of_a_blob_is_read(repository: &EmptyRepository) -> Outcome {
    exactly(repository, 0..10).await
}

pub(super) async fn the_middle_of_a_blob_is_read(repository: &EmptyRepository) -> Outcome {
    exactly(repository, 100_000..200_003).await
}

pub(super) async fn the_end_of_a_blob_is_read(repository: &EmptyRepository) -> Outcome {
    exactly(repository, SIZE - 10..SIZE).await
}

pub(super) async fn one_byte_of_a_blob_is_read(repository: &EmptyRepository) -> Outcome {
    exactly(repository, 77..78).await
}

pub(super) async fn the_whole_blob_is_a_range(repository: &EmptyRepository) -> Outcome {
    exactly(repository, 0..SIZE).await
}

pub(super) async fn an_empty_range_gives_no_bytes(repository: &EmptyRepository) -> Outcome {
    exactly(repository, 5..5).await
}

pub(super) async fn an_empty_range_at_the_end_gives_no_bytes(repository: &EmptyRepository) -> Outcome {
    exactly(repository, SIZE..SIZE).await
}

async fn exactly(repository: &EmptyRepository, range: Range<u64>) -> Outcome {
    let (content, read) = read(repository, range.clone()).await?;
    ensure_equal!(read.range, range, "range that was announced");
    came(&content, read).await
}

/// The promise of all stores, with range reads or without: the answer says which bytes come, and those come.
pub(super) async fn the_announced_range_is_the_one_that_comes(repository: &EmptyRepository) -> Outcome {
    let (content, read) = read(repository, 1000..2000).await?;
    let Range { start, end } = read.range;
    ensure!(start <= 1000 && end >= 2000, "{start}..{end} does not contain the range asked for");
    if !repository.offers(super::Need::RangeReads) {
        ensure!(read.is_whole(), "a store without range reads announces {start}..{end}");
    }
    came(&content, read).await
}

pub(super) async fn the_empty_range_of_the_empty_blob_is_read(repository: &EmptyRepository) -> Outcome {
    let backend = repository.backend();
    let stored = store_blob(&**backend, "").await?;
    let read = backend.read_blob(&stored.digest, Some(0..0)).await?;
    ensure_equal!((read.range.clone(), read.blob_size), (0..0, 0), "what was announced");
    ensure_equal!(drain(read).await?, b"", "bytes that came");
    Ok(())
}

pub(super) async fn a_range_that_ends_outside_is_invalid(repository: &EmptyRepository) -> Outcome {
    outside(repository, SIZE - 1..SIZE + 1).await
}

pub(super) async fn a_range_that_starts_outside_is_invalid(repository: &EmptyRepository) -> Outcome {
    outside(repository, SIZE + 1..SIZE + 2).await
}

pub(super) async fn an_enormous_range_is_invalid(repository: &EmptyRepository) -> Outcome {
    outside(repository, 0..u64::MAX).await
}

#[expect(clippy::reversed_empty_ranges, reason = "a range that runs backwards is what is tested")]
pub(super) async fn a_range_that_runs_backwards_is_invalid(repository: &EmptyRepository) -> Outcome {
    outside(repository, 20..10).await
}

async fn outside(repository: &EmptyRepository, range: Range<u64>) -> Outcome {
    let backend = repository.backend();
    let stored = store_blob(&**backend, content()).await?;
    let error = ensure_kind(backend.read_blob(&stored.digest, Some(range)).await, ErrorKind::Invalid)?;
    ensure_names(&error, stored.digest.as_str())
}

async fn read(
    repository: &EmptyRepository,
    range: Range<u64>,
) -> Result<(Bytes, registry_backend::BlobRead), Failure> {
    let backend = repository.backend();
    let stored = store_blob(&**backend, content()).await?;
    let read = backend.read_blob(&stored.digest, Some(range)).await?;
    ensure_equal!(read.blob_size, SIZE, "size of the whole blob that was announced");
    Ok((content(), read))
}

async fn came(content: &Bytes, read: registry_backend::BlobRead) -> Outcome {
    let range = read.range.clone();
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    let expected = content.get(start..end);
    let bytes = drain(read).await?;
    ensure_equal!(bytes.len() as u64, range.end - range.start, "number of bytes that came");
    ensure_equal!(Some(bytes.as_slice()) == expected, true, "the bytes are those of the range");
    Ok(())
}

fn content() -> Bytes {
    pseudo_random(9, LENGTH as usize)
}
