//! Blobs as objects: reading, storing, listing and removing them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStoreExt, PutPayload, Result as StoreResult,
};
use oci_model::Digest;
use registry_backend::{BlobRead, BlobSource, ByteStream, Error, ErrorKind, Result, Retry};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::failure::{failure, is_about_bucket};
use super::shared::{OtherPlace, Shared, Tuning, blob_below};
use super::uploads::{OpenUpload, StoredPart};
use crate::storage::{Batch, BlobCheck, StoredBlob, absent, next_batch, outside, pause};

const READ: &str = "read blob";
const WRITE: &str = "write blob";
const REMOVE: &str = "remove blob";

/// The most parts of a blob; S3 accepts 10,000. All parts but the last have the same size, as some imitations of S3 require.
const MOST_PARTS: u64 = 9_000;

/// How many parts of one blob are under way at once.
const PARALLEL_PARTS: usize = 2;

/// How often an upload is begun if others end it.
const MOST_UPLOADS: u32 = 3;

/// The longest pause between two attempts at the rest of a blob.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Returns the store's metadata of a blob, if the blob exists.
pub(super) async fn head(
    shared: &Shared,
    operation: &'static str,
    digest: &Digest,
) -> Result<Option<ObjectMeta>> {
    match shared.store.head(&shared.blob(digest)).await {
        Ok(meta) => Ok(Some(meta)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(failure(operation, digest, error)),
    }
}

/// Opens a range of a blob.
pub(super) async fn read(
    shared: &Arc<Shared>,
    digest: &Digest,
    range: Option<Range<u64>>,
) -> Result<BlobRead> {
    let asked = match &range {
        None => None,
        // HTTP has no form for such a range, or stores answer it with an error that does not state the size of the blob.
        Some(range) if range.start >= range.end => return without_bytes(shared, digest, range.clone()).await,
        Some(range) => Some(GetRange::Bounded(range.clone())),
    };
    let options = GetOptions { range: asked, ..GetOptions::default() };
    let found = match shared.store.get_opts(&shared.blob(digest), options).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Err(absent(READ, digest)),
        Err(error) => return Err(range_failure(shared, digest, range, error).await),
    };
    let blob_size = found.meta.size;
    let range = range.unwrap_or(0..blob_size);
    if range.end > blob_size {
        return Err(outside(digest, &range, blob_size));
    }
    if found.range != range {
        return Err(Error::new(ErrorKind::Protocol, READ, digest)
            .because(format!("expected bytes {range:?}, found {:?}", found.range)));
    }
    let reading = Reading {
        shared: Arc::clone(shared),
        digest: digest.clone(),
        next: range.start,
        end: range.end,
        pieces: Some(found.into_stream()),
        failures: 0,
        since: None,
    };
    let stream = stream::try_unfold(reading, |mut reading| async move {
        Ok(reading.next().await?.map(|piece| (piece, reading)))
    });
    Ok(BlobRead { stream: stream.boxed(), range, blob_size })
}

async fn without_bytes(shared: &Shared, digest: &Digest, range: Range<u64>) -> Result<BlobRead> {
    let meta = head(shared, READ, digest).await?.ok_or_else(|| absent(READ, digest))?;
    if range.start > range.end || range.end > meta.size {
        return Err(outside(digest, &range, meta.size));
    }
    Ok(BlobRead { range, blob_size: meta.size, stream: stream::empty().boxed() })
}

/// Returns the contract's error for a range outside of the blob, which every store refuses in its own words.
async fn range_failure(
    shared: &Shared,
    digest: &Digest,
    range: Option<Range<u64>>,
    error: StoreError,
) -> Error {
    match (range, head(shared, READ, digest).await) {
        (Some(range), Ok(Some(meta))) if range.end > meta.size => outside(digest, &range, meta.size),
        _ => failure(READ, digest, error),
    }
}

/// The rest of a blob that is being read.
struct Reading {
    shared: Arc<Shared>,
    digest: Digest,
    next: u64,
    end: u64,
    pieces: Option<BoxStream<'static, StoreResult<Bytes>>>,
    /// The attempts since the last progress, and the time of the first.
    failures: u32,
    since: Option<Instant>,
}

impl Reading {
    /// Returns the next bytes. A body that breaks off is opened again where it broke.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.next < self.end {
            let mut pieces = match self.pieces.take() {
                Some(pieces) => pieces,
                None => match open(&self.shared, &self.digest, self.next..self.end).await {
                    Ok(pieces) => pieces,
                    Err(error) => {
                        self.wait_after(error).await?;
                        continue;
                    }
                },
            };
            match pieces.try_next().await {
                Ok(Some(piece)) => {
                    self.next = self.next.saturating_add(piece.len() as u64);
                    if self.next > self.end {
                        return Err(self.wrong());
                    }
                    self.pieces = Some(pieces);
                    if !piece.is_empty() {
                        (self.failures, self.since) = (0, None);
                        return Ok(Some(piece));
                    }
                }
                Ok(None) => {
                    let error = self.wrong();
                    self.wait_after(error).await?;
                }
                Err(error) => self.wait_after(failure(READ, &self.digest, error)).await?,
            }
        }
        match self.pieces.take() {
            // More than was announced.
            Some(mut pieces) => match pieces.try_next().await {
                Ok(Some(piece)) if !piece.is_empty() => Err(self.wrong()),
                _ => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// Waits before the next attempt.
    async fn wait_after(&mut self, error: Error) -> Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.failures += 1;
        let Tuning { attempts, patience, .. } = self.shared.place.tuning;
        if error.retry() == Retry::No || self.failures >= attempts || since.elapsed() > patience {
            return Err(error);
        }
        tracing::debug!(%error, at = self.next, "will read on");
        tokio::time::sleep(pause(self.failures, LONGEST_PAUSE)).await;
        Ok(())
    }

    fn wrong(&self) -> Error {
        Error::new(ErrorKind::Protocol, READ, &self.digest)
            .because("expected as many bytes as announced, found another number")
            .with_retry(Retry::Yes)
    }
}

async fn open(
    shared: &Shared,
    digest: &Digest,
    range: Range<u64>,
) -> Result<BoxStream<'static, StoreResult<Bytes>>> {
    let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
    let found = shared.store.get_opts(&shared.blob(digest), options).await;
    let found = found.map_err(|error| failure(READ, digest, error))?;
    if found.range != range {
        return Err(Error::new(ErrorKind::Protocol, READ, digest)
            .because(format!("expected bytes {range:?}, found {:?}", found.range)));
    }
    Ok(found.into_stream())
}

/// The largest blob that a store copies in one request (S3, "CopyObject").
const LARGEST_COPY: u64 = 5 << 30;

/// Lets the store copy a blob from the layout in another place. Returns false if it cannot, for whatever reason: sending the blob
/// tells the reason.
pub(super) async fn copy(shared: &Shared, blob: &dyn BlobSource, place: &OtherPlace) -> Result<bool> {
    let (from, to) = (blob_below(&place.prefix, blob.digest()), shared.blob(blob.digest()));
    if blob.size() > LARGEST_COPY || (place.bucket.is_none() && from == to) {
        return Ok(false);
    }
    let copied = match (&place.bucket, &shared.place.listing) {
        (None, _) => shared.store.copy(&from, &to).await,
        (Some(bucket), Some(requests)) => requests.copy_from(bucket, &from, &to).await,
        (Some(_), None) => return Ok(false),
    };
    if let Err(error) = copied {
        tracing::debug!(%error, %from, "the store does not copy");
        return Ok(false);
    }
    // Azure may still be copying when it answers.
    let since = Instant::now();
    loop {
        match head(shared, WRITE, blob.digest()).await? {
            Some(meta) if meta.size == blob.size() => return Ok(true),
            Some(_) if since.elapsed() < shared.place.tuning.patience => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            _ => return Ok(false),
        }
    }
}

/// Stores a blob: a small one in one request, a large one in parts that become an object once the digest proves right.
pub(super) async fn store(shared: &Arc<Shared>, blob: &dyn BlobSource) -> Result<()> {
    if blob.size() <= shared.place.tuning.part_bytes {
        return store_whole(shared, blob, CheckedSource::open(blob).await?).await;
    }
    for _ in 1..MOST_UPLOADS {
        if store_parts(shared, blob).await? {
            return Ok(());
        }
    }
    match store_parts(shared, blob).await? {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Conflict, WRITE, blob.digest())
            .because(format!("others ended the upload {MOST_UPLOADS} times"))
            .with_retry(Retry::Yes)),
    }
}

async fn store_whole(shared: &Shared, blob: &dyn BlobSource, mut source: CheckedSource) -> Result<()> {
    let content = source.next_part(blob.size().saturating_add(1)).await?;
    source.finish().await?;
    let put = shared.store.put(&shared.blob(blob.digest()), PutPayload::from(content)).await;
    put.map(drop).map_err(|error| failure(WRITE, blob.digest(), error))
}

/// Sends a blob in parts. Returns false if the upload ended without this process, and the blob is not stored.
async fn store_parts(shared: &Arc<Shared>, blob: &dyn BlobSource) -> Result<bool> {
    let begun = shared.now();
    let source = CheckedSource::open(blob).await?;
    let (upload, known) = begin(shared, blob).await?;
    let upload = Arc::new(upload);
    // Tasks of their own: they go on while the source is read.
    let mut under_way = JoinSet::new();
    let sent = send_parts(shared, &upload, known, blob, source, &mut under_way).await;
    under_way.shutdown().await;
    let sent = match sent {
        Ok(parts) => upload.store().complete_multipart(upload.path(), upload.id(), parts).await.map(drop),
        Err(PartFailed::Source(error)) => {
            abort(upload).await;
            return Err(error);
        }
        Err(PartFailed::Store(error)) => Err(error),
    };
    let Err(error) = sent else {
        end(upload);
        return Ok(true);
    };
    // Another process may have stored the blob meanwhile, or the answer was lost: parts that became a blob are gone.
    let stored = head(shared, WRITE, blob.digest()).await;
    let slack = Duration::from_secs(2);
    let is_new = |meta: &ObjectMeta| {
        begun.checked_sub(slack).is_none_or(|begun| SystemTime::from(meta.last_modified) >= begun)
    };
    if stored.is_ok_and(|meta| meta.is_some_and(|meta| meta.size == blob.size() && is_new(&meta))) {
        abort(upload).await;
        return Ok(true);
    }
    let is_gone = matches!(error, StoreError::NotFound { .. });
    if is_gone && !is_about_bucket(&error) {
        end(upload);
        return Ok(false);
    }
    abort(upload).await;
    Err(failure(WRITE, blob.digest(), error))
}

/// No task of an upload is left when it ends.
fn end(upload: Arc<OpenUpload>) {
    if let Some(upload) = Arc::into_inner(upload) {
        upload.ended();
    }
}

async fn abort(upload: Arc<OpenUpload>) {
    if let Some(upload) = Arc::into_inner(upload) {
        upload.abort().await;
    }
}

/// Begins an upload, or goes on with one that an earlier process left, whose parts are returned.
async fn begin(shared: &Shared, blob: &dyn BlobSource) -> Result<(OpenUpload, HashMap<usize, StoredPart>)> {
    let path = shared.blob(blob.digest());
    let store = &shared.place.parts.0;
    let (id, known) = match left_upload(shared, &path).await {
        Some((id, parts)) => (id, parts.into_iter().map(|part| (part.index, part)).collect()),
        None => {
            let id = store.create_multipart(&path).await;
            (id.map_err(|error| failure(WRITE, blob.digest(), error))?, HashMap::new())
        }
    };
    Ok((shared.place.uploads.add(Arc::clone(store), path, id), known))
}

/// Finds the newest upload of this object that has parts. Without the right to list uploads, there is none.
async fn left_upload(shared: &Shared, path: &Path) -> Option<(String, Vec<StoredPart>)> {
    let listing = shared.place.listing.as_ref()?;
    let mut uploads = listing.begun(path.as_ref()).await.ok()?;
    uploads.retain(|upload| upload.path == *path);
    let newest = uploads.into_iter().max_by_key(|upload| upload.begun)?;
    let parts = listing.parts(path, &newest.id).await.ok()?;
    (!parts.is_empty()).then_some((newest.id, parts))
}

/// Why parts were not sent.
enum PartFailed {
    Source(Error),
    Store(StoreError),
}

/// Sends the parts that the store does not have yet, and returns all in order.
async fn send_parts(
    shared: &Arc<Shared>,
    upload: &Arc<OpenUpload>,
    known: HashMap<usize, StoredPart>,
    blob: &dyn BlobSource,
    mut source: CheckedSource,
    under_way: &mut JoinSet<(usize, StoreResult<PartId>)>,
) -> Result<Vec<PartId>, PartFailed> {
    let part_bytes = part_bytes(blob.size(), shared.place.tuning.part_bytes);
    let mut parts: Vec<Option<PartId>> = Vec::new();
    let mut left = blob.size();
    while left > 0 {
        while under_way.len() >= PARALLEL_PARTS {
            note_part(under_way.join_next().await, &mut parts)?;
        }
        let place = shared.gate.enter().await;
        let part = source.next_part(part_bytes.min(left)).await.map_err(PartFailed::Source)?;
        if part.is_empty() {
            break;
        }
        left = left.saturating_sub(part.len() as u64);
        let index = parts.len();
        parts.push(stored_part(shared, known.get(&index), &part));
        if parts[index].is_some() {
            continue;
        }
        let (shared, upload) = (Arc::clone(shared), Arc::clone(upload));
        under_way.spawn(async move {
            let started = Instant::now();
            let content = PutPayload::from(part);
            let sent = upload.store().put_part(upload.path(), upload.id(), index, content).await;
            shared.gate.leave(place, started.elapsed());
            (index, sent)
        });
    }
    source.finish().await.map_err(PartFailed::Source)?;
    while !under_way.is_empty() {
        note_part(under_way.join_next().await, &mut parts)?;
    }
    Ok(parts.into_iter().flatten().collect())
}

/// Returns a part that an earlier process sent, if its content is known to be the same.
fn stored_part(shared: &Shared, stored: Option<&StoredPart>, content: &[u8]) -> Option<PartId> {
    let (listing, stored) = (shared.place.listing.as_ref()?, stored?);
    listing.is_stored(stored, content).then(|| PartId { content_id: stored.tag.clone() })
}

type SentPart = Option<Result<(usize, StoreResult<PartId>), JoinError>>;

fn note_part(sent: SentPart, parts: &mut [Option<PartId>]) -> Result<(), PartFailed> {
    let Some(sent) = sent else { return Ok(()) };
    let broken = |error: JoinError| StoreError::Generic { store: "task", source: error.into() };
    let (index, sent) = sent.map_err(|error| PartFailed::Store(broken(error)))?;
    let sent = sent.map_err(PartFailed::Store)?;
    if let Some(part) = parts.get_mut(index) {
        *part = Some(sent);
    }
    Ok(())
}

/// Aborts the uploads that began at `before` or earlier, or only counts them.
pub(super) async fn abort_uploads(shared: &Shared, before: SystemTime, only_count: bool) -> Result<u64> {
    let Some(listing) = &shared.place.listing else {
        shared.place.unlisted_uploads.iter().for_each(|sentence| shared.place.warnings.note(sentence));
        return Ok(0);
    };
    let blobs = shared.path("blobs");
    let uploads = match listing.begun(&format!("{blobs}/")).await {
        Ok(uploads) => uploads,
        Err(error) => {
            let error = failure("list the unfinished uploads of", &shared.name, error);
            shared.place.warnings.note(&format!("{error}: uploads that were interrupted stay"));
            return Ok(0);
        }
    };
    let mut count = 0;
    for upload in uploads {
        if upload.begun.is_none_or(|begun| begun > before) || !upload.path.prefix_matches(&blobs) {
            continue;
        }
        count += 1;
        if !only_count {
            match shared.place.parts.0.abort_multipart(&upload.path, &upload.id).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(failure("abort the upload of", &upload.path, error)),
            }
        }
    }
    Ok(count)
}

/// Returns the size of a part, which grows with the blob so that there are never too many.
fn part_bytes(size: u64, least: u64) -> u64 {
    const MEBIBYTE: u64 = 1024 * 1024;
    size.div_ceil(MOST_PARTS).next_multiple_of(MEBIBYTE).max(least)
}

/// A source that is checked while it is read.
struct CheckedSource {
    stream: ByteStream,
    check: BlobCheck,
    gathered: BytesMut,
    ended: bool,
}

impl CheckedSource {
    async fn open(blob: &dyn BlobSource) -> Result<Self> {
        let check = BlobCheck::new(blob)?;
        Ok(Self { stream: blob.open(0).await?, check, gathered: BytesMut::new(), ended: false })
    }

    /// Returns the next part: of exactly this size, or the rest.
    async fn next_part(&mut self, bytes: u64) -> Result<Bytes> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        while !self.ended && self.gathered.len() < bytes {
            self.gather(bytes.saturating_sub(self.gathered.len())).await?;
        }
        let part = self.gathered.split_to(bytes.min(self.gathered.len()));
        Ok(part.freeze())
    }

    /// Reads to the end, where nothing more should come, and checks size and digest.
    async fn finish(&mut self) -> Result<()> {
        while !self.ended {
            self.gather(1).await?;
        }
        self.check.finish()
    }

    async fn gather(&mut self, bytes: usize) -> Result<()> {
        let Batch { pieces, last } = next_batch(&mut self.stream, bytes).await?;
        for piece in pieces {
            self.check.update(&piece)?;
            self.gathered.extend_from_slice(&piece);
        }
        self.ended = last;
        Ok(())
    }
}

/// Lists all blobs. Objects whose names are not digests are ignored.
pub(super) async fn list(shared: &Shared) -> Result<Vec<StoredBlob>> {
    let blobs = shared.path("blobs");
    let listing = shared.store.list(Some(&blobs));
    let found = listing.try_filter_map(|meta| async move { Ok(stored_blob(shared, meta)) });
    found.try_collect().await.map_err(|error| failure("list the blobs of", &shared.name, error))
}

fn stored_blob(shared: &Shared, meta: ObjectMeta) -> Option<StoredBlob> {
    let mut parts = meta.location.as_ref().rsplit('/');
    let (encoded, algorithm) = (parts.next()?, parts.next()?);
    let digest = format!("{algorithm}:{encoded}").parse().ok()?;
    // Objects in deeper directories are not blobs.
    (shared.blob(&digest) == meta.location).then(|| StoredBlob {
        digest,
        size: meta.size,
        modified: meta.last_modified.into(),
    })
}

/// Removes the blobs that still exist and were not stored again after `before`.
pub(super) async fn remove(
    shared: &Shared,
    blobs: Vec<StoredBlob>,
    before: SystemTime,
) -> Result<Vec<StoredBlob>> {
    let removals = blobs.into_iter().map(|blob| async move {
        let meta = head(shared, REMOVE, &blob.digest).await?;
        if meta.is_none_or(|meta| SystemTime::from(meta.last_modified) > before) {
            return Ok(None);
        }
        let deleted = shared.store.delete(&shared.blob(&blob.digest)).await;
        deleted.map_err(|error| failure(REMOVE, &blob.digest, error))?;
        Ok(Some(blob))
    });
    let removed: Vec<Option<StoredBlob>> =
        stream::iter(removals).buffered(shared.place.tuning.parallel).try_collect().await?;
    shared.seen.clear();
    Ok(removed.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_too_many_parts() {
        const LEAST: u64 = 5 << 20;
        for size in [1, LEAST, LEAST + 1, 100 << 30, 5 << 40] {
            assert!(size.div_ceil(part_bytes(size, LEAST)) <= MOST_PARTS, "{size}");
        }
        assert_eq!(part_bytes(1, LEAST), LEAST);
    }
}
