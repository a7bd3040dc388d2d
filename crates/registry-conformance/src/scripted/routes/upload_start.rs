//! `POST`: opening an upload, mounting a blob, or sending one at once.

use axum::http::header::{HeaderName, LOCATION, RANGE};
use axum::response::Response;

use super::upload_commit::{committed, finish, wanted_digest};
use super::uploads::{Addition, UPLOAD_ID, check_length, location};
use crate::scripted::auth;
use crate::scripted::behaviour::{CutPatch, Mounts};
use crate::scripted::refused::Answered;
use crate::scripted::reply;
use crate::scripted::serve::Exchange;
use crate::scripted::spool::Pieces;

/// Answers `POST`.
pub(in crate::scripted) async fn answer(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
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
    let mut response = reply::with(reply::empty(202), LOCATION, &location(exchange, &upload));
    if let Some(range) = behaviour.range_after_start {
        response = reply::with(response, RANGE, range);
    }
    if let Some(smallest) = behaviour.chunk_min_bytes {
        let name = HeaderName::from_static("oci-chunk-min-length");
        response = reply::with(response, name, &smallest.to_string());
    }
    Ok(reply::with(response, UPLOAD_ID, &upload.id))
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
    store.change(repository, |repository| repository.blobs.insert(digest.clone(), size));
    Some(committed(exchange, &digest))
}
