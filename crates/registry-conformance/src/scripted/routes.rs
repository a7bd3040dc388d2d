//! The operations of the protocol, one file per concern.

pub(super) mod blobs;
pub(super) mod manifest_put;
pub(super) mod manifests;
pub(super) mod referrers;
pub(super) mod tags;
pub(super) mod upload_commit;
pub(super) mod upload_patch;
pub(super) mod upload_start;
pub(super) mod uploads;

use axum::http::header::{HeaderValue, LINK};
use axum::response::Response;
use oci_model::{Digest, ManifestRef};

use super::refused::Refused;
use super::serve::Exchange;

/// The digest that a path names.
fn digest(exchange: &Exchange<'_>) -> Result<Digest, Refused> {
    let name = &exchange.target.name;
    name.parse().map_err(|_| Refused::new(400, "DIGEST_INVALID", format!("`{name}` is no digest")))
}

/// The tag or digest that a path names.
fn manifest_ref(exchange: &Exchange<'_>) -> Result<ManifestRef, Refused> {
    let name = &exchange.target.name;
    if name.contains(':') {
        return digest(exchange).map(ManifestRef::Digest);
    }
    let tag = name.parse().map(ManifestRef::Tag);
    tag.map_err(|_| Refused::new(400, "TAG_INVALID", format!("`{name}` is no tag")))
}

/// Adds the `Link` to the next page.
fn with_next_page(exchange: &Exchange<'_>, mut response: Response, query: &str) -> Response {
    let behaviour = &exchange.app.config.behaviour.tags;
    let mut url = format!("{}?{query}", exchange.parts.uri.path());
    if behaviour.absolute_link {
        url = exchange.absolute(&url);
    }
    let rel = if behaviour.quoted_link { "\"next\"" } else { "next" };
    if let Ok(link) = HeaderValue::from_str(&format!("<{url}>; rel={rel}")) {
        response.headers_mut().insert(LINK, link);
    }
    response
}
