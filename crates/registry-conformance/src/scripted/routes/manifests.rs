//! Manifests: asked for, read, deleted.

use axum::http::header::ACCEPT;
use oci_model::ManifestRef;

use super::manifest_ref;
use crate::scripted::refused::{Answered, Refused};
use crate::scripted::reply;
use crate::scripted::serve::Exchange;

/// Answers `HEAD` and `GET` of a manifest.
pub(in crate::scripted) fn read(exchange: &Exchange<'_>) -> Answered {
    let at = manifest_ref(exchange)?;
    let behaviour = &exchange.app.config.behaviour.manifests;
    let found =
        exchange.app.store.look(&exchange.target.repository, |repository| repository.find(&at).cloned());
    let raw = found.ok_or_else(unknown)?;
    if behaviour.needs_accept && !accepts(exchange, raw.media_type().as_str()) {
        return Err(Refused::new(
            404,
            "MANIFEST_UNKNOWN",
            "the Accept header does not name the manifest's type",
        ));
    }
    let response = reply::full(200, raw.media_type().as_str(), raw.bytes().to_vec());
    if !behaviour.states_digest {
        return Ok(response);
    }
    Ok(reply::with(response, reply::CONTENT_DIGEST, raw.digest().as_str()))
}

fn accepts(exchange: &Exchange<'_>, media_type: &str) -> bool {
    let values = exchange.parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range == media_type || range == "*/*"
    })
}

/// Answers `DELETE` of a manifest or tag.
pub(in crate::scripted) fn delete(exchange: &Exchange<'_>) -> Answered {
    let at = manifest_ref(exchange)?;
    let behaviour = &exchange.app.config.behaviour.deletes;
    let allowed = match at {
        ManifestRef::Digest(_) => behaviour.manifests,
        ManifestRef::Tag(_) => behaviour.tags,
    };
    if !allowed {
        return Err(Refused::new(405, "UNSUPPORTED", "the operation is unsupported"));
    }
    let removed = exchange.app.store.change(&exchange.target.repository, |repository| match &at {
        ManifestRef::Digest(digest) => {
            repository.tags.retain(|(_, tagged)| tagged != digest);
            repository.manifests.remove(digest).is_some()
        }
        ManifestRef::Tag(tag) => {
            let before = repository.tags.len();
            repository.tags.retain(|(known, _)| known != tag);
            repository.tags.len() < before
        }
    });
    if removed { Ok(reply::empty(202)) } else { Err(unknown()) }
}

fn unknown() -> Refused {
    Refused::new(404, "MANIFEST_UNKNOWN", "manifest unknown")
}
