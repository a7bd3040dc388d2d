//! Storing a manifest.

use axum::http::header::{CONTENT_TYPE, HeaderName, LOCATION};
use oci_model::{DigestAlgorithm, Manifest, ManifestRef, MediaType, RawManifest};

use super::manifest_ref;
use crate::scripted::behaviour::ReferrersBehaviour;
use crate::scripted::refused::{Answered, Refused};
use crate::scripted::reply;
use crate::scripted::serve::{Exchange, whole};
use crate::scripted::spool::Pieces;

/// Answers `PUT` of a manifest.
pub(in crate::scripted) async fn answer(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
    let at = manifest_ref(exchange)?;
    let behaviour = &exchange.app.config.behaviour.manifests;
    let too_large =
        |_| Refused::new(behaviour.too_large_status, "MANIFEST_INVALID", "request body too large");
    let bytes = whole(received, behaviour.max_bytes).await.map_err(too_large)?;
    let raw = verified(exchange, &at, bytes)?;
    let manifest = raw.parse().map_err(|error| Refused::new(400, "MANIFEST_INVALID", error.to_string()))?;
    check_config_type(exchange, &manifest)?;
    let store = &exchange.app.store;
    let repository = &exchange.target.repository;
    let missing = store.look(repository, |repository| repository.missing(&manifest));
    if let Some(missing) = missing.filter(|_| behaviour.checks_content) {
        let message = format!("blob unknown to registry: {missing}");
        return Err(Refused::new(400, "MANIFEST_BLOB_UNKNOWN", message));
    }
    if !exchange.lies.pretends {
        store.store_manifest(repository, &at, &raw);
    }
    let location = format!("/v2/{repository}/manifests/{}", raw.digest());
    let mut response = reply::with(reply::empty(201), LOCATION, &location);
    if behaviour.states_digest {
        response = reply::with(response, reply::CONTENT_DIGEST, raw.digest().as_str());
    }
    match (&exchange.app.config.behaviour.referrers, manifest.subject()) {
        (ReferrersBehaviour::Api(api), Some(subject)) if api.states_subject => {
            Ok(reply::with(response, HeaderName::from_static("oci-subject"), subject.digest.as_str()))
        }
        _ => Ok(response),
    }
}

fn verified(exchange: &Exchange<'_>, at: &ManifestRef, bytes: Vec<u8>) -> Result<RawManifest, Refused> {
    let content_type = exchange.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type: MediaType = content_type.parse().map_err(|_| {
        Refused::new(400, "MANIFEST_INVALID", format!("`{content_type}` is not a manifest's type"))
    })?;
    let ManifestRef::Digest(digest) = at else { return Ok(RawManifest::new(bytes, media_type)) };
    let sha512 = exchange.app.config.behaviour.uploads.sha512;
    if digest.algorithm() == Some(DigestAlgorithm::Sha512) && !sha512 {
        return Err(Refused::new(400, "DIGEST_INVALID", "the digest's algorithm is not supported"));
    }
    RawManifest::verified(bytes, media_type, digest)
        .map_err(|error| Refused::new(400, "DIGEST_INVALID", error.to_string()))
}

fn check_config_type(exchange: &Exchange<'_>, manifest: &Manifest) -> Result<(), Refused> {
    let (Some(allowed), Manifest::Image(image)) =
        (&exchange.app.config.behaviour.manifests.config_types, manifest)
    else {
        return Ok(());
    };
    let found = image.config.media_type.as_str();
    if allowed.iter().any(|allowed| allowed == found) {
        return Ok(());
    }
    Err(Refused::new(400, "MANIFEST_INVALID", format!("unknown media type: {found}")))
}
