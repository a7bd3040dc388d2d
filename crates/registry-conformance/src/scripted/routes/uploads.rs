//! Uploads: opening them, adding to them, committing them, and asking how far they are.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::TryStreamExt;
use oci_model::{Digest, DigestAlgorithm};
use scripted_http::axum::http::header::{HeaderName, LOCATION, RANGE, TRANSFER_ENCODING};
use scripted_http::axum::http::{HeaderMap, Method};
use scripted_http::axum::response::Response;
use scripted_http::{Pieces, empty, with_header};
use tokio::sync::MutexGuard;

use super::CONTENT_DIGEST;
use crate::scripted::answer::{Answered, Refused};
use crate::scripted::auth;
use crate::scripted::behaviour::{ContentRange, CutPatch, Mounts, SeveralPatches, UploadState, UploadStatus};
use crate::scripted::exchange::{Exchange, Server};
use crate::scripted::store::{Growing, Mark, Store, Upload};

/// Answers `POST`.
pub(in crate::scripted) async fn start(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
    let behaviour = &exchange.app.config.behaviour.uploads;
    check_length(exchange, &exchange.parts.headers)?;
    if let Some(mounted) = mount(exchange) {
        return Ok(mounted);
    }
    let upload = exchange.app.store.start_upload(&exchange.target.repository)?;
    if behaviour.single_post && exchange.query.get("digest").is_some() {
        let digest = wanted_digest(exchange)?;
        let mut addition = Addition::begin(&exchange.app.store, &upload, CutPatch::CancelsUpload).await;
        addition.take(exchange, received, 0).await?;
        return finish(exchange, addition, &digest);
    }
    let mut response = with_header(empty(202), LOCATION, &location(exchange, &upload));
    if let Some(range) = behaviour.range_after_start {
        response = with_header(response, RANGE, range);
    }
    if let Some(smallest) = behaviour.chunk_min_bytes {
        let name = HeaderName::from_static("oci-chunk-min-length");
        response = with_header(response, name, &smallest.to_string());
    }
    Ok(with_header(response, UPLOAD_ID, &upload.id))
}

/// Mounts the blob that the query names, if the registry does and the caller may.
fn mount(exchange: &Exchange<'_>) -> Option<Response> {
    let digest = exchange.query.get("mount")?.parse().ok()?;
    let from = exchange.query.get("from");
    let owner = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let repository = &exchange.target.repository;
    let store = &exchange.app.store;
    let in_repository = |name: &str| store.look(name, |repository| repository.blobs.get(&digest).copied());
    let size = match exchange.app.config.behaviour.uploads.mounts {
        Mounts::Never => None,
        Mounts::NeedsFrom => in_repository(from?),
        Mounts::SameOwner => in_repository(from.filter(|from| owner(from) == owner(repository))?),
        Mounts::Anywhere => from.and_then(in_repository).or_else(|| store.blob_anywhere(&digest)),
    }?;
    if from.is_some_and(|from| !auth::may_pull(exchange, from)) {
        return None;
    }
    store.link_blob(repository, &digest, size);
    Some(committed(exchange, &digest))
}

/// Answers `PATCH`.
pub(in crate::scripted) async fn patch(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let upload = find(exchange)?;
    check_length(exchange, &exchange.parts.headers)?;
    let mut addition = Addition::begin(&exchange.app.store, &upload, behaviour.cut_patch).await;
    let skip = match place(exchange, &upload, addition.content.size()) {
        Ok(skip) => skip,
        Err(refused) => {
            // Nothing was added: the upload is as it was.
            addition.forget_mark();
            return Err(refused);
        }
    };
    addition.take(exchange, received, skip).await?;
    upload.patches.fetch_add(1, Ordering::Relaxed);
    if exchange.header("content-range").is_some() {
        upload.ranged_patches.fetch_add(1, Ordering::Relaxed);
    }
    let size = addition.finish();
    let response = with_header(empty(202), LOCATION, &location(exchange, &upload));
    Ok(with_header(with_range(response, size), UPLOAD_ID, &upload.id))
}

/// Where the content belongs: how much of it the upload has already, or why it does not fit.
fn place(exchange: &Exchange<'_>, upload: &Upload, size: u64) -> Result<u64, Refused> {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let Some(text) = exchange.header("content-range") else { return Ok(0) };
    if behaviour.content_range == ContentRange::Ignored {
        return Ok(0);
    }
    let misfit = || misfit(exchange, upload, size);
    // `^[0-9]+-[0-9]+$` (distribution-spec, "Pushing a blob in chunks").
    let is_malformed = text.bytes().any(|byte| byte != b'-' && !byte.is_ascii_digit());
    if is_malformed && behaviour.content_range == ContentRange::Overlapping {
        return Err(Refused::new(400, "INVALID_REQUEST", "invalid Content-Range"));
    }
    let (first, last) = text.split_once('-').ok_or_else(misfit)?;
    let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else { return Err(misfit()) };
    let length = last.checked_sub(first).and_then(|length| length.checked_add(1)).ok_or_else(misfit)?;
    if exchange.content_length().is_some_and(|stated| stated != length) {
        return Err(misfit());
    }
    let is_small = behaviour.chunk_min_bytes.is_some_and(|smallest| length < smallest);
    if upload.had_small_chunk.fetch_or(is_small, Ordering::Relaxed) {
        return Err(Refused::new(400, "SIZE_INVALID", "a chunk before this one was too small"));
    }
    match behaviour.content_range {
        ContentRange::Overlapping if first == 0 => Ok(0),
        ContentRange::Overlapping if first < size => Ok(size - first),
        _ if first == size => Ok(0),
        _ => Err(misfit()),
    }
}

fn misfit(exchange: &Exchange<'_>, upload: &Upload, size: u64) -> Refused {
    let refused = Refused::new(416, "BLOB_UPLOAD_INVALID", "the content does not continue the upload")
        .with_header(LOCATION, location(exchange, upload));
    let last = match exchange.app.config.behaviour.uploads.content_range {
        ContentRange::Overlapping => Some(size),
        ContentRange::Checked | ContentRange::Ignored => size.checked_sub(1),
    };
    match last {
        Some(last) => refused.with_header(RANGE, format!("0-{last}")),
        None => refused,
    }
}

/// Answers `PUT`.
pub(in crate::scripted) async fn commit(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let upload = find(exchange)?;
    let rule = if behaviour.failed_commit_cancels { CutPatch::CancelsUpload } else { behaviour.cut_patch };
    let mut addition = Addition::begin(&exchange.app.store, &upload, rule).await;
    check_length(exchange, &exchange.parts.headers)?;
    let digest = wanted_digest(exchange)?;
    let skip = place(exchange, &upload, addition.content.size())?;
    addition.take(exchange, received, skip).await?;
    finish(exchange, addition, &digest)
}

/// The digest that the query states, if the registry takes its algorithm.
fn wanted_digest(exchange: &Exchange<'_>) -> Result<Digest, Refused> {
    let invalid = |message| Refused::new(400, "DIGEST_INVALID", message);
    let text = exchange.query.get("digest").ok_or_else(|| invalid("the digest is missing"))?;
    let digest: Digest = text.parse().map_err(|_| invalid("the digest does not parse"))?;
    match digest.algorithm() {
        Some(DigestAlgorithm::Sha256) => Ok(digest),
        Some(DigestAlgorithm::Sha512) if exchange.app.config.behaviour.uploads.sha512 => Ok(digest),
        _ => Err(invalid("the digest's algorithm is not supported")),
    }
}

/// Stores a complete upload as a blob, if it has the digest.
fn finish(exchange: &Exchange<'_>, mut addition: Addition<'_>, digest: &Digest) -> Answered {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let actual = addition.content.digest_like(digest)?;
    if actual.as_ref() != Some(digest) {
        return Err(Refused::new(
            400,
            behaviour.wrong_digest_code,
            "provided digest did not match uploaded content",
        ));
    }
    let (patches, ranged) = addition.patches();
    match behaviour.several_patches {
        SeveralPatches::HalvedWithContentRange if ranged > 1 => {
            let half = addition.content.size() / 2;
            addition.content.spoil(half)?;
        }
        SeveralPatches::TruncatedWithoutContentRange if patches > 1 && ranged == 0 => {
            let first = addition.content.size() - 1;
            addition.content.spoil(first)?;
        }
        _ => {}
    }
    if !exchange.lies.pretends {
        exchange.app.store.store_blob(&exchange.target.repository, digest, &addition.content)?;
    }
    addition.end();
    Ok(committed(exchange, digest))
}

/// The answer when a blob is there now.
fn committed(exchange: &Exchange<'_>, digest: &Digest) -> Response {
    let mut location = format!("/v2/{}/blobs/{digest}", exchange.target.repository);
    if exchange.app.config.behaviour.uploads.absolute_location {
        location = exchange.absolute(&location);
    }
    let response = with_header(empty(201), LOCATION, &location);
    with_header(response, CONTENT_DIGEST, digest.as_str())
}

/// Answers how far an upload is.
pub(in crate::scripted) fn status(exchange: &Exchange<'_>) -> Answered {
    let upload = find(exchange)?;
    let size = upload.size.load(Ordering::Relaxed);
    match exchange.app.config.behaviour.uploads.status {
        UploadStatus::Plain => {
            let response = with_header(empty(204), LOCATION, &location(exchange, &upload));
            Ok(with_range(response, size))
        }
        UploadStatus::OneTooHigh => Ok(with_header(empty(204), RANGE, &format!("bytes=0-{size}"))),
        UploadStatus::Unsupported => Err(unknown()),
    }
}

/// Ends an upload.
pub(in crate::scripted) fn cancel(exchange: &Exchange<'_>) -> Answered {
    let upload = find(exchange)?;
    exchange.app.store.end_upload(&upload.id);
    Ok(empty(204))
}

/// Finds the upload that a path and its query name.
fn find(exchange: &Exchange<'_>) -> Result<Arc<Upload>, Refused> {
    let store = &exchange.app.store;
    let upload = store.upload(&exchange.target.repository, &exchange.target.name).ok_or_else(unknown)?;
    match exchange.app.config.behaviour.uploads.state {
        UploadState::Nothing => Ok(upload),
        UploadState::Token if exchange.query.get("_token") == Some(&token(&upload)) => Ok(upload),
        UploadState::Token => Err(unknown()),
        UploadState::Changing if exchange.query.get("_state") == Some(&changing_state(&upload)) => Ok(upload),
        UploadState::Changing => {
            store.end_upload(&upload.id);
            Err(Refused::new(404, "BLOB_UPLOAD_INVALID", "the state is not that of the upload"))
        }
    }
}

fn unknown() -> Refused {
    Refused::new(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown to the registry")
}

/// Contains characters that a query must escape, to find clients that rebuild the location.
fn token(upload: &Upload) -> String {
    format!("a+b/{}==", upload.id)
}

fn changing_state(upload: &Upload) -> String {
    format!("{}.{}", upload.version.load(Ordering::Relaxed), upload.id)
}

/// The location of an upload.
fn location(exchange: &Exchange<'_>, upload: &Upload) -> String {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let mut fields = match behaviour.state {
        UploadState::Nothing => Vec::new(),
        UploadState::Token => vec![format!("_token=a%2Bb%2F{}%3D%3D", upload.id)],
        UploadState::Changing => vec![format!("_state={}", changing_state(upload))],
    };
    let elsewhere = exchange.lies.sends_elsewhere || exchange.server == Server::Storage;
    if elsewhere {
        let until = Instant::now() + exchange.app.config.behaviour.blobs.link_lifetime;
        fields.push(format!("signature={}", exchange.app.links.sign(until)));
    }
    let mut path = format!("/v2/{}/blobs/{}/{}", upload.repository, behaviour.path_word, upload.id);
    if !fields.is_empty() {
        path += &format!("?{}", fields.join("&"));
    }
    match (elsewhere, behaviour.absolute_location) {
        (true, _) => format!("http://{}{path}", exchange.app.storage_host),
        (false, true) => exchange.absolute(&path),
        (false, false) => path,
    }
}

/// Adds `Range: 0-LAST` (distribution-spec, "Pushing a blob in chunks"). An upload without content states `0-0`, as
/// docker-registry does and the official conformance suite expects.
fn with_range(response: Response, size: u64) -> Response {
    with_header(response, RANGE, &format!("0-{}", size.saturating_sub(1)))
}

/// `Docker-Upload-UUID`, which clients ignore.
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// Refuses what comes without a length, or with a range and too much content.
fn check_length(exchange: &Exchange<'_>, headers: &HeaderMap) -> Result<(), Refused> {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let length = exchange.content_length();
    // `POST` states its length even if it is 0 (distribution-spec, "Pushing a blob in chunks").
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    let unstated = length.is_none() && !is_chunked && exchange.parts.method == Method::POST;
    if behaviour.needs_content_length && unstated {
        return Err(Refused::new(411, "SIZE_INVALID", "Content-Length is required"));
    }
    let limit = behaviour.content_range_limit.filter(|_| headers.contains_key("content-range"));
    if limit.is_some_and(|limit| length.is_none_or(|length| length > limit)) {
        // The words are GHCR's.
        let message = "the request's content exceeds the maximum permissible limit of 4.00MiB";
        return Err(Refused::new(416, "REQUESTED_RANGE_NOT_SATISFIABLE", message));
    }
    Ok(())
}

/// The addition of a request to an upload. Unless it is finished, dropping it applies the rule for cut requests,
/// since the future of a request whose client has gone is dropped wherever it is.
struct Addition<'a> {
    store: &'a Store,
    upload: &'a Upload,
    rule: CutPatch,
    mark: Option<Mark>,
    content: MutexGuard<'a, Growing>,
}

impl<'a> Addition<'a> {
    async fn begin(store: &'a Store, upload: &'a Upload, rule: CutPatch) -> Self {
        let content = upload.content.lock().await;
        let mark = Some(content.mark());
        Self { store, upload, rule, mark, content }
    }

    /// Adds the content of a request, without its first bytes if the upload has them already.
    async fn take(
        &mut self,
        exchange: &Exchange<'_>,
        received: &mut Pieces,
        skip: u64,
    ) -> Result<(), Refused> {
        let limit = exchange.app.config.behaviour.uploads.max_blob_bytes;
        let (mut came, mut skip) = (0, skip);
        while let Some(mut piece) = received.try_next().await? {
            came += piece.len() as u64;
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= skipped as u64;
            let _ = piece.split_to(skipped);
            self.content.append(&piece)?;
            self.upload.size.store(self.content.size(), Ordering::Relaxed);
            if limit.is_some_and(|limit| self.content.size() > limit) {
                self.rule = CutPatch::CancelsUpload;
                if exchange.app.config.behaviour.manifests.too_large_html {
                    return Err(Refused::html(413));
                }
                return Err(Refused::new(413, "SIZE_INVALID", "the blob is too large"));
            }
        }
        let expected = exchange.content_length().filter(|_| !exchange.lies.accepts_less);
        if expected.is_some_and(|expected| expected != came) {
            return Err(Refused::new(400, "SIZE_INVALID", "the body is shorter than its Content-Length"));
        }
        Ok(())
    }

    /// Returns how many `PATCH` requests added to the upload, and how many of them had `Content-Range`.
    fn patches(&self) -> (u64, u64) {
        (self.upload.patches.load(Ordering::Relaxed), self.upload.ranged_patches.load(Ordering::Relaxed))
    }

    /// Leaves the upload as it is: nothing was added.
    fn forget_mark(&mut self) {
        self.mark = None;
    }

    /// Ends the upload, which has become a blob.
    fn end(mut self) {
        self.mark = None;
        self.store.end_upload(&self.upload.id);
    }

    /// Keeps what was added.
    fn finish(mut self) -> u64 {
        self.mark = None;
        self.upload.version.fetch_add(1, Ordering::Relaxed);
        self.content.size()
    }
}

impl Drop for Addition<'_> {
    fn drop(&mut self) {
        let Some(mark) = self.mark.take() else { return };
        match self.rule {
            CutPatch::KeepsBytes => {}
            CutPatch::LosesBytes => {
                // If even this fails, the digest will not match, and the client finds out.
                let _ = self.content.set_back(mark);
                self.upload.size.store(self.content.size(), Ordering::Relaxed);
            }
            CutPatch::CancelsUpload => {
                self.store.end_upload(&self.upload.id);
            }
        }
    }
}
