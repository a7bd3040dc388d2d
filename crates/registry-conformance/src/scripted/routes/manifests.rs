//! Manifests, tags and referrers: asking for them, storing them, deleting them, and listing them.

use oci_model::{
    Descriptor, Digest, DigestAlgorithm, ImageIndex, Manifest, ManifestRef, MediaType, RawManifest,
};
use scripted_http::axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, LOCATION};
use scripted_http::{Pieces, empty, full, with_header};
use serde_json::{Value, json};

use super::{CONTENT_DIGEST, digest, manifest_ref, with_next_page};
use crate::scripted::answer::{Answered, Refused};
use crate::scripted::behaviour::{AcceptRule, ReferrersApi, ReferrersBehaviour};
use crate::scripted::exchange::{Exchange, whole};
use crate::scripted::store::Repository;

/// Answers `HEAD` and `GET` of a manifest.
pub(in crate::scripted) fn read(exchange: &Exchange<'_>) -> Answered {
    let at = manifest_ref(exchange)?;
    let behaviour = &exchange.app.config.behaviour.manifests;
    let (found, is_deleted) = exchange.app.store.look(&exchange.target.repository, |repository| {
        let is_deleted = matches!(&at, ManifestRef::Tag(tag) if repository.deleted_tags.contains(tag));
        (repository.find(&at).cloned(), is_deleted)
    });
    let raw = found.ok_or_else(|| {
        let is_expired = is_deleted && exchange.app.config.behaviour.tags.deleted_is_expired;
        if is_expired { Refused::new(404, "TAG_EXPIRED", "the tag was deleted") } else { unknown() }
    })?;
    let media_type = raw.media_type().as_str();
    let is_accepted = match (behaviour.accept, &at) {
        (AcceptRule::Named, _) => accepts(exchange, media_type, true),
        (AcceptRule::ExactByTag, ManifestRef::Tag(_)) => accepts(exchange, media_type, false),
        (AcceptRule::Ignored | AcceptRule::ExactByTag, _) => true,
    };
    if !is_accepted {
        return Err(Refused::new(
            404,
            "MANIFEST_UNKNOWN",
            "the Accept header does not name the manifest's type",
        ));
    }
    let response = full(200, raw.media_type().as_str(), raw.bytes().to_vec());
    if !behaviour.states_digest {
        return Ok(response);
    }
    Ok(with_header(response, CONTENT_DIGEST, raw.digest().as_str()))
}

fn accepts(exchange: &Exchange<'_>, media_type: &str, any: bool) -> bool {
    let values = exchange.parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range == media_type || (any && range == "*/*")
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
    let keeps_subjects = exchange.app.config.behaviour.manifests.untagged_lifetime.is_some();
    let removed = exchange.app.store.change(&exchange.target.repository, |repository| match &at {
        // It has a hidden tag without an end.
        ManifestRef::Digest(digest) if keeps_subjects && repository.has_subject(digest) => false,
        ManifestRef::Digest(digest) => {
            repository.tags.retain(|(_, tagged)| tagged != digest);
            repository.manifests.remove(digest).is_some()
        }
        ManifestRef::Tag(tag) => {
            let before = repository.tags.len();
            repository.tags.retain(|(known, _)| known != tag);
            repository.deleted_tags.insert(tag.clone());
            repository.tags.len() < before
        }
    });
    if removed { Ok(empty(202)) } else { Err(unknown()) }
}

fn unknown() -> Refused {
    Refused::new(404, "MANIFEST_UNKNOWN", "manifest unknown")
}

/// Answers `PUT` of a manifest.
pub(in crate::scripted) async fn put(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
    let at = manifest_ref(exchange)?;
    let behaviour = &exchange.app.config.behaviour.manifests;
    let too_large = |_| match behaviour.too_large_html {
        true => Refused::html(behaviour.too_large_status),
        false => Refused::new(behaviour.too_large_status, "MANIFEST_INVALID", "request body too large"),
    };
    let bytes = whole(received, behaviour.max_bytes).await.map_err(too_large)?;
    let raw = verified(exchange, &at, bytes)?;
    let manifest = raw.parse().map_err(|error| Refused::new(400, "MANIFEST_INVALID", error.to_string()))?;
    check_config_type(exchange, &manifest)?;
    let store = &exchange.app.store;
    let repository = &exchange.target.repository;
    let missing = store
        .look(repository, |repository| repository.missing(&manifest, behaviour.takes_layers_from_elsewhere));
    if let Some(missing) = missing.filter(|_| behaviour.checks_content) {
        if behaviour.missing_is_invalid {
            let refused = Refused::new(400, "MANIFEST_INVALID", "manifest invalid");
            return Err(refused.with_detail(format!("Unknown blob `{missing}`")));
        }
        let message = format!("blob unknown to registry: {missing}");
        return Err(Refused::new(400, "MANIFEST_BLOB_UNKNOWN", message));
    }
    if !exchange.lies.pretends {
        store.store_manifest(repository, &at, &raw);
    }
    let location = format!("/v2/{repository}/manifests/{}", raw.digest());
    let mut response = with_header(empty(201), LOCATION, &location);
    if behaviour.states_digest {
        response = with_header(response, CONTENT_DIGEST, raw.digest().as_str());
    }
    match (&exchange.app.config.behaviour.referrers, manifest.subject()) {
        (ReferrersBehaviour::Api(api), Some(subject)) if api.states_subject => {
            Ok(with_header(response, HeaderName::from_static("oci-subject"), subject.digest.as_str()))
        }
        _ => Ok(response),
    }
}

fn verified(exchange: &Exchange<'_>, at: &ManifestRef, bytes: Vec<u8>) -> Result<RawManifest, Refused> {
    let content_type = exchange.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type: MediaType = content_type.parse().map_err(|_| {
        Refused::new(400, "MANIFEST_INVALID", format!("`{content_type}` is not a manifest's type"))
    })?;
    let is_manifest = media_type.is_manifest() || media_type.is_index();
    let status = exchange.app.config.behaviour.manifests.unknown_type_status;
    if !is_manifest && status != 400 {
        return Err(Refused::new(status, "MANIFEST_INVALID", "manifest type not supported"));
    }
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

/// Answers `GET` of the referrers.
pub(in crate::scripted) fn referrers(exchange: &Exchange<'_>) -> Answered {
    let subject = digest(exchange)?;
    match &exchange.app.config.behaviour.referrers {
        ReferrersBehaviour::Api(api) => list(exchange, api, &subject),
        ReferrersBehaviour::NotFound(code) => Err(Refused::new(404, code, "not found")),
        ReferrersBehaviour::RedirectedAway => {
            let page =
                format!("http://{}/-/v2/packages{}", exchange.app.storage_host, exchange.parts.uri.path());
            Ok(with_header(empty(303), LOCATION, &page))
        }
    }
}

fn list(exchange: &Exchange<'_>, api: &ReferrersApi, subject: &Digest) -> Answered {
    let (known, mut found) = exchange.app.store.look(&exchange.target.repository, |repository| {
        let mut found = repository.referrers(subject, api.uses_config_type);
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
    let mut response = full(200, MediaType::IMAGE_INDEX, index.bytes().to_vec());
    if wanted.is_some() {
        response = with_header(response, HeaderName::from_static("oci-filters-applied"), "artifactType");
    }
    if left.is_empty() {
        return Ok(response);
    }
    let filter = wanted.map(|wanted| format!("&artifactType={}", wanted.replace('+', "%2B")));
    let query = format!("page={}{}", number + 1, filter.unwrap_or_default());
    Ok(with_next_page(exchange, response, &query))
}

/// Returns the descriptors that the fallback tag lists (distribution-spec, "Referrers Tag Schema").
fn fallback(repository: &Repository, subject: &Digest) -> Vec<Descriptor> {
    let encoded: String = subject.encoded().chars().take(64).collect();
    let Ok(tag) = format!("{}-{encoded}", subject.algorithm_name()).parse() else { return Vec::new() };
    match repository.find(&ManifestRef::Tag(tag)).map(RawManifest::parse) {
        Some(Ok(Manifest::Index(index))) => index.manifests,
        _ => Vec::new(),
    }
}

/// Answers `GET` of the tags.
pub(in crate::scripted) fn tags(exchange: &Exchange<'_>) -> Answered {
    let repository = &exchange.target.repository;
    let behaviour = &exchange.app.config.behaviour.tags;
    let store = &exchange.app.store;
    if !store.knows(repository) {
        return Err(Refused::new(404, "NAME_UNKNOWN", "repository name not known to registry"));
    }
    let mut tags: Vec<String> =
        store.look(repository, |repository| repository.tags.iter().map(|(tag, _)| tag.to_string()).collect());
    if !behaviour.oldest_first {
        tags.sort();
    }
    let (page, next) = page_of(exchange, &tags);
    let body = if page.is_empty() && behaviour.null_when_empty {
        json!({ "name": repository, "tags": null })
    } else {
        json!({ "name": repository, "tags": page })
    };
    let response = full(200, "application/json", body.to_string());
    Ok(match next {
        Some(query) => with_next_page(exchange, response, &query),
        None => response,
    })
}

/// Answers `GET` of the repositories.
pub(in crate::scripted) fn repositories(exchange: &Exchange<'_>) -> Answered {
    let names = exchange.app.store.names();
    let (page, next) = page_of(exchange, &names);
    let response = full(200, "application/json", json!({ "repositories": page }).to_string());
    Ok(match next {
        Some(query) => with_next_page(exchange, response, &query),
        None => response,
    })
}

/// Returns the page of a list that the query asks for, and the query of the next one.
fn page_of<'a>(exchange: &Exchange<'_>, names: &'a [String]) -> (&'a [String], Option<String>) {
    let Some(most) = exchange.app.config.behaviour.tags.page else { return (names, None) };
    let last = exchange.query.get("last");
    let place = last.and_then(|last| names.iter().position(|name| name == last)).map_or(0, |place| place + 1);
    let rest = names.get(place..).unwrap_or_default();
    let asked = exchange.query.get("n").and_then(|number| number.parse::<usize>().ok());
    let count = asked.unwrap_or(most).min(most);
    let Some((page, left)) = rest.split_at_checked(count) else { return (rest, None) };
    let next = page.last().filter(|_| !left.is_empty()).map(|last| format!("n={count}&last={last}"));
    (page, next)
}

/// Lists the tags with their digests, a page at a time, as Quay's own interface does.
pub(in crate::scripted) fn quay_tags(exchange: &Exchange<'_>) -> Answered {
    let repository = &exchange.target.repository;
    let store = &exchange.app.store;
    if !store.knows(repository) {
        return Err(Refused::new(404, "NOT_FOUND", "Not Found"));
    }
    let number =
        |name: &str| exchange.query.get(name).and_then(|number| number.parse::<usize>().ok()).unwrap_or(1);
    let (page, limit) = (number("page").max(1), number("limit").clamp(1, 100));
    let tags: Vec<Value> = store.look(repository, |repository| {
        let tags = repository.tags.iter();
        tags.map(|(tag, digest)| json!({ "name": tag.to_string(), "manifest_digest": digest.to_string() }))
            .collect()
    });
    let rest = tags.get((page - 1) * limit..).unwrap_or_default();
    let body = json!({
        "tags": &rest[..rest.len().min(limit)], "page": page, "has_additional": rest.len() > limit,
    });
    Ok(full(200, "application/json", body.to_string()))
}
