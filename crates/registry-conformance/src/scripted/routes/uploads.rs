//! Uploads: where they are, how far they are, and adding to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::http::header::{HeaderName, LOCATION, RANGE, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use futures::TryStreamExt;
use tokio::sync::MutexGuard;

use crate::scripted::behaviour::{CutPatch, UploadState, UploadStatus};
use crate::scripted::log::Server;
use crate::scripted::refused::{Answered, Refused};
use crate::scripted::reply;
use crate::scripted::serve::Exchange;
use crate::scripted::spool::{Growing, Mark, Pieces};
use crate::scripted::store::{Store, Upload};

/// Answers how far an upload is.
pub(in crate::scripted) fn status(exchange: &Exchange<'_>) -> Answered {
    let upload = find(exchange)?;
    let size = upload.size.load(Ordering::Relaxed);
    match exchange.app.config.behaviour.uploads.status {
        UploadStatus::Plain => {
            let response = reply::with(reply::empty(204), LOCATION, &location(exchange, &upload));
            Ok(with_range(response, size))
        }
        UploadStatus::OneTooHigh => Ok(reply::with(reply::empty(204), RANGE, &format!("bytes=0-{size}"))),
        UploadStatus::Unsupported => Err(unknown()),
    }
}

/// Ends an upload.
pub(in crate::scripted) fn cancel(exchange: &Exchange<'_>) -> Answered {
    let upload = find(exchange)?;
    exchange.app.store.end_upload(&upload.id);
    Ok(reply::empty(204))
}

/// Finds the upload that a path and its query name.
pub(super) fn find(exchange: &Exchange<'_>) -> Result<Arc<Upload>, Refused> {
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

pub(super) fn unknown() -> Refused {
    Refused::new(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown to the registry")
}

/// Has characters that a query has to escape, to find clients that put the location together anew.
fn token(upload: &Upload) -> String {
    format!("a+b/{}==", upload.id)
}

fn changing_state(upload: &Upload) -> String {
    format!("{}.{}", upload.version.load(Ordering::Relaxed), upload.id)
}

/// The location of an upload.
pub(super) fn location(exchange: &Exchange<'_>, upload: &Upload) -> String {
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

/// `Range: 0-LAST`, which an upload without content does not have (distribution-spec, "Pushing a blob in chunks").
pub(super) fn with_range(response: Response, size: u64) -> Response {
    match size.checked_sub(1) {
        Some(last) => reply::with(response, RANGE, &format!("0-{last}")),
        None => response,
    }
}

/// `Docker-Upload-UUID`, which clients ignore.
pub(super) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// Refuses what comes without a length, or with a range and too much content.
pub(super) fn check_length(exchange: &Exchange<'_>, headers: &HeaderMap) -> Result<(), Refused> {
    let behaviour = &exchange.app.config.behaviour.uploads;
    let length = exchange.content_length();
    // `POST` states its length even if it is 0 (distribution-spec, "Pushing a blob in chunks").
    let unstated = length.is_none() && exchange.parts.method == Method::POST;
    if behaviour.needs_content_length && (unstated || headers.contains_key(TRANSFER_ENCODING)) {
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

/// What a request adds to an upload; unless it is finished, the rule for cut requests is applied when it is dropped,
/// since the future of a request whose client has gone is dropped wherever it is.
pub(super) struct Addition<'a> {
    store: &'a Store,
    upload: &'a Upload,
    rule: CutPatch,
    mark: Option<Mark>,
    pub(super) content: MutexGuard<'a, Growing>,
}

impl<'a> Addition<'a> {
    pub(super) async fn begin(store: &'a Store, upload: &'a Upload, rule: CutPatch) -> Self {
        let content = upload.content.lock().await;
        let mark = Some(content.mark());
        Self { store, upload, rule, mark, content }
    }

    /// Adds the content of a request, without its first bytes if the upload has them already.
    pub(super) async fn take(
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
                return Err(Refused::new(413, "SIZE_INVALID", "the blob is too large"));
            }
        }
        let expected = exchange.content_length().filter(|_| !exchange.lies.accepts_less);
        if expected.is_some_and(|expected| expected != came) {
            return Err(Refused::new(400, "SIZE_INVALID", "the body is shorter than its Content-Length"));
        }
        Ok(())
    }

    /// Leaves the upload as it is: nothing was added.
    pub(super) fn forget_mark(&mut self) {
        self.mark = None;
    }

    /// Ends the upload, which has become a blob.
    pub(super) fn end(mut self) {
        self.mark = None;
        self.store.end_upload(&self.upload.id);
    }

    /// Keeps what was added.
    pub(super) fn finish(mut self) -> u64 {
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
