//! Answers whose body is a stored file: whole or a range, conditional, verified.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, LAST_MODIFIED,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use d1_catalog::CatalogFile;
use futures::StreamExt;
use jiff::Timestamp;
use oci_model::Digest;

use crate::answer::{self, Refused, set};
use crate::app::App;
use crate::content::{self, ContentError, ContentStream};
use crate::representation::{Selected, Validators, select};
use crate::request::Request;

/// Caching of content that never changes under its URL.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Caching of content that may change under its URL: ask again each time.
pub(crate) const REVALIDATE: &str = "public, no-cache";

/// The types that a browser may show by itself. All others are saved: a browser would run them, or read them wrongly.
const SHOWN_TYPES: [&str; 13] = [
    "text/plain",
    "text/csv",
    "text/tab-separated-values",
    "text/markdown",
    "text/turtle",
    "text/yaml",
    "application/json",
    "application/ld+json",
    "application/geo+json",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
];

/// Returns whether a browser may show a file by itself.
pub(crate) fn is_shown(file: &CatalogFile) -> bool {
    let essence = file.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    SHOWN_TYPES.contains(&essence.as_str())
}

/// Answers with a file. `headers` are those of the representation, such as its type.
pub(crate) async fn send(
    app: &App,
    request: &Request,
    file: &CatalogFile,
    modified: Option<Timestamp>,
    mut headers: HeaderMap,
) -> Result<Response, Refused> {
    let validators = Validators { etag: etag(file), modified, size: Some(file.size) };
    set(&mut headers, ETAG, &validators.etag);
    set(&mut headers, ACCEPT_RANGES, "bytes");
    if let Some(modified) = modified {
        set(&mut headers, LAST_MODIFIED, &answer::http_date(modified));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        set(&mut headers, CACHE_CONTROL, REVALIDATE);
    }
    if let Some(sha256) = file.sha256() {
        set(&mut headers, HeaderName::from_static("repr-digest"), &answer::repr_digest(&sha256));
    }
    let (status, range) = match select(request, &validators) {
        Selected::NotModified => return Ok(answer::without_body(StatusCode::NOT_MODIFIED, &headers)),
        Selected::PreconditionFailed => {
            return Ok(answer::without_body(StatusCode::PRECONDITION_FAILED, &headers));
        }
        Selected::Unsatisfiable => return Ok(answer::unsatisfiable(file.size, &headers)),
        Selected::Whole => (StatusCode::OK, 0..file.size),
        Selected::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{}", range.start, range.end - 1, file.size);
        set(&mut headers, CONTENT_RANGE, &text);
    }
    set(&mut headers, CONTENT_LENGTH, &(range.end - range.start).to_string());
    let body = match request.method {
        Method::HEAD => Body::empty(),
        _ => body(app, app.store.read(file, range).await?),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Returns a body of content. The operator hears of an error, and the client sees the connection break.
pub(crate) fn body(app: &App, stream: ContentStream) -> Body {
    let reporter = app.store.reporter.clone();
    Body::from_stream(content::as_stream(stream).map(move |chunk| {
        chunk.inspect_err(|error: &ContentError| {
            reporter.content_failed(error);
        })
    }))
}

/// Returns the entity tag of a file: the digest of its content.
pub(crate) fn etag(file: &CatalogFile) -> String {
    match file.sha256() {
        Some(sha256) => format!("\"{}\"", Digest::from_sha256(sha256)),
        // The content of one path in one manifest does not change.
        None => {
            let name = Digest::sha256_of(format!("{}\n{}", file.manifest, file.path).as_bytes());
            format!("\"file-{}\"", name.encoded())
        }
    }
}
