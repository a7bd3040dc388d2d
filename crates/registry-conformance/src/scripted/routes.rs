//! The operations of the protocol, and the steps that they share.

pub(super) mod blobs;
pub(super) mod manifests;
pub(super) mod uploads;

use oci_model::{Digest, ManifestRef};
use scripted_http::axum::http::header::{HeaderName, LINK};
use scripted_http::axum::response::Response;
use scripted_http::with_header;

use super::answer::Refused;
use super::exchange::Exchange;

/// `Docker-Content-Digest`.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The digest that a path names.
fn digest(exchange: &Exchange<'_>) -> Result<Digest, Refused> {
    let name = &exchange.target.name;
    name.parse().map_err(|_| Refused::new(400, "DIGEST_INVALID", format!("`{name}` is not a digest")))
}

/// The tag or digest that a path names.
fn manifest_ref(exchange: &Exchange<'_>) -> Result<ManifestRef, Refused> {
    let name = &exchange.target.name;
    if name.contains(':') {
        let status = exchange.app.config.behaviour.manifests.malformed_digest_status;
        return match digest(exchange) {
            Err(_) if status != 400 => Err(Refused::new(status, "UNKNOWN", "unknown error")),
            digest => digest.map(ManifestRef::Digest),
        };
    }
    let tag = name.parse().map(ManifestRef::Tag);
    tag.map_err(|_| Refused::new(400, "TAG_INVALID", format!("`{name}` is not a tag")))
}

/// Adds the `Link` to the next page.
fn with_next_page(exchange: &Exchange<'_>, response: Response, query: &str) -> Response {
    let behaviour = &exchange.app.config.behaviour.tags;
    let mut url = format!("{}?{query}", exchange.parts.uri.path());
    if behaviour.absolute_link {
        url = exchange.absolute(&url);
    }
    let rel = if behaviour.quoted_link { "\"next\"" } else { "next" };
    with_header(response, LINK, &format!("<{url}>; rel={rel}"))
}
