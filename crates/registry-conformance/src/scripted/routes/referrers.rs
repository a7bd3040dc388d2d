//! Listing referrers.

use axum::http::header::{HeaderName, LOCATION};
use oci_model::{Descriptor, Digest, ImageIndex, Manifest, ManifestRef, MediaType, RawManifest};

use super::{digest, with_next_page};
use crate::scripted::behaviour::{ReferrersApi, ReferrersBehaviour};
use crate::scripted::refused::{Answered, Refused};
use crate::scripted::reply;
use crate::scripted::serve::Exchange;
use crate::scripted::store::Repository;

/// Answers `GET` of the referrers.
pub(in crate::scripted) fn answer(exchange: &Exchange<'_>) -> Answered {
    let subject = digest(exchange)?;
    match &exchange.app.config.behaviour.referrers {
        ReferrersBehaviour::Api(api) => list(exchange, api, &subject),
        ReferrersBehaviour::NotFound(code) => Err(Refused::new(404, code, "not found")),
        ReferrersBehaviour::RedirectedAway => {
            let page =
                format!("http://{}/-/v2/packages{}", exchange.app.storage_host, exchange.parts.uri.path());
            Ok(reply::with(reply::empty(303), LOCATION, &page))
        }
    }
}

fn list(exchange: &Exchange<'_>, api: &ReferrersApi, subject: &Digest) -> Answered {
    let (known, mut found) = exchange.app.store.look(&exchange.target.repository, |repository| {
        let mut found = repository.referrers(subject);
        if api.merges_fallback_tag {
            let listed = fallback(repository, subject);
            let is_new = |one: &Descriptor| !found.iter().any(|other| other.digest == one.digest);
            let new: Vec<_> = listed.into_iter().filter(is_new).collect();
            found.extend(new);
        }
        (repository.manifests.contains_key(subject), found)
    });
    if api.unknown_subject_is_invalid && !known {
        return Err(Refused::new(400, "MANIFEST_INVALID", "manifest invalid"));
    }
    let wanted = exchange.query.get("artifactType").filter(|_| api.filters);
    if let Some(wanted) = wanted {
        found.retain(|descriptor| {
            descriptor.artifact_type.as_ref().is_some_and(|artifact_type| artifact_type.as_str() == wanted)
        });
    }
    let number: usize = exchange.query.get("page").and_then(|page| page.parse().ok()).unwrap_or(0);
    let most = api.page.unwrap_or(usize::MAX);
    let rest = found.get(number.saturating_mul(most).min(found.len())..).unwrap_or_default();
    let (page, left) = rest.split_at_checked(most).unwrap_or((rest, &[]));
    let index = RawManifest::from_index(&ImageIndex::new(page.to_vec()));
    let mut response = reply::full(200, MediaType::IMAGE_INDEX, index.bytes().to_vec());
    if wanted.is_some() {
        response = reply::with(response, HeaderName::from_static("oci-filters-applied"), "artifactType");
    }
    if left.is_empty() {
        return Ok(response);
    }
    let filter = wanted.map(|wanted| format!("&artifactType={}", wanted.replace('+', "%2B")));
    let query = format!("page={}{}", number + 1, filter.unwrap_or_default());
    Ok(with_next_page(exchange, response, &query))
}

/// What the fallback tag lists (distribution-spec, "Referrers Tag Schema").
fn fallback(repository: &Repository, subject: &Digest) -> Vec<Descriptor> {
    let encoded: String = subject.encoded().chars().take(64).collect();
    let Ok(tag) = format!("{}-{encoded}", subject.algorithm_name()).parse() else { return Vec::new() };
    match repository.find(&ManifestRef::Tag(tag)).map(RawManifest::parse) {
        Some(Ok(Manifest::Index(index))) => index.manifests,
        _ => Vec::new(),
    }
}
