//! `PUT`: the end of an upload, with or without content.

use axum::http::header::LOCATION;
use axum::response::Response;
use oci_model::{Digest, DigestAlgorithm};

use super::upload_patch::place;
use super::uploads::{Addition, check_length, find};
use crate::scripted::behaviour::CutPatch;
use crate::scripted::refused::{Answered, Refused};
use crate::scripted::reply;
use crate::scripted::serve::Exchange;
use crate::scripted::spool::Pieces;

/// Answers `PUT`.
pub(in crate::scripted) async fn answer(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
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
pub(super) fn wanted_digest(exchange: &Exchange<'_>) -> Result<Digest, Refused> {
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
pub(super) fn finish(exchange: &Exchange<'_>, mut addition: Addition<'_>, digest: &Digest) -> Answered {
    let actual = addition.content.digest_like(digest)?;
    if actual.as_ref() != Some(digest) {
        return Err(Refused::new(400, "DIGEST_INVALID", "provided digest did not match uploaded content"));
    }
    if !exchange.lies.pretends {
        exchange.app.store.store_blob(&exchange.target.repository, digest, &addition.content)?;
    }
    addition.end();
    Ok(committed(exchange, digest))
}

/// The answer when a blob is there now.
pub(super) fn committed(exchange: &Exchange<'_>, digest: &Digest) -> Response {
    let mut location = format!("/v2/{}/blobs/{digest}", exchange.target.repository);
    if exchange.app.config.behaviour.uploads.absolute_location {
        location = exchange.absolute(&location);
    }
    let response = reply::with(reply::empty(201), LOCATION, &location);
    reply::with(response, reply::CONTENT_DIGEST, digest.as_str())
}
