//! Plain files at stable URLs: of packages by path, objects by identifier, content by hash.

use std::sync::Arc;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use d1_catalog::{CatalogFile, CatalogPackage};
use jiff::Timestamp;
use multi_digest::Algorithm;
use oci_model::Digest;

use crate::answer::{self, Refused, set, set_disposition};
use crate::app::App;
use crate::file_answer::{self, IMMUTABLE, REVALIDATE};
use crate::packages::{self, encoded_path, package};
use crate::request::{Request, path_decoded};
use crate::web;

/// Answers a request below `/p`: the page of a package or directory, or a file. `rest` is the path behind the key.
pub(crate) async fn in_package(
    app: &Arc<App>,
    request: &Request,
    raw_key: &str,
    rest: &[&str],
) -> Result<Response, Refused> {
    let key = path_decoded(raw_key)
        .ok_or_else(|| Refused::invalid("expected UTF-8, percent-encoded, in the path"))?;
    let package = package(app, &key).await?;
    let wrong = || Refused::invalid("expected UTF-8, percent-encoded, in the path");
    let decoded: Option<Vec<String>> = rest.iter().map(|segment| path_decoded(segment)).collect();
    let path = decoded.ok_or_else(wrong)?.join("/");
    if rest.is_empty() {
        return Ok(answer::redirect(
            StatusCode::MOVED_PERMANENTLY,
            &format!("{}/p/{raw_key}/", request.base_url),
        ));
    }
    if path.is_empty() || path.ends_with('/') {
        return web::directory(app, request, &package, raw_key, path.trim_end_matches('/')).await;
    }
    let (id, wanted) = (package.id, path.clone());
    let file = app.store.ask(move |catalog| catalog.file(id, &wanted)).await?;
    let Some(file) = file else {
        let (id, wanted) = (package.id, path.clone());
        let directory = app.store.ask(move |catalog| catalog.directory(id, &wanted)).await?;
        if directory.is_none() {
            return Err(Refused::not_found("the package has no such file"));
        }
        let location = format!("{}/p/{raw_key}/{}/", request.base_url, encoded_path(&path));
        return Ok(answer::redirect(StatusCode::MOVED_PERMANENTLY, &location));
    };
    if !app.store.may_read(&package, &file).await? {
        return Err(packages::not_public());
    }
    if request.query.get("view").is_some() {
        return web::file(app, request, &package, raw_key, &file).await;
    }
    if ["cols", "rows", "format"].iter().any(|name| request.query.get(name).is_some()) {
        return web::slice(app, request, &package, raw_key, &file).await;
    }
    if request.query.get("check").is_some() {
        return web::check(app, request, &package, &file).await;
    }
    // The manifest's digest in the URL pins the content of every path.
    let is_pinned = key.parse::<Digest>().is_ok();
    let caching = if is_pinned { IMMUTABLE } else { REVALIDATE };
    let page = format!("{}/p/{raw_key}/", request.base_url);
    send(app, request, &file, created(&package), caching, Some(&page)).await
}

/// Returns the time at which a package was made, as it states.
pub(crate) fn created(package: &CatalogPackage) -> Option<Timestamp> {
    package.summary.created.as_ref()?.parse().ok()
}

/// Answers a request below `/o`: an object by its identifier.
pub(crate) async fn object(app: &Arc<App>, request: &Request, rest: &[&str]) -> Result<Response, Refused> {
    let wrong = || Refused::invalid("expected an identifier, percent-encoded, in the path");
    let identifier = path_decoded(&rest.join("/")).filter(|text| !text.is_empty()).ok_or_else(wrong)?;
    let object = app.store.object(&identifier).await?;
    let caching = if object.pid == identifier { IMMUTABLE } else { REVALIDATE };
    send(app, request, &object.file, object.modified(), caching, None).await
}

/// Answers a request below `/hash`: content by its digest.
pub(crate) async fn by_hash(app: &Arc<App>, request: &Request, rest: &[&str]) -> Result<Response, Refused> {
    let wrong = || Refused::invalid("expected /hash/ALGORITHM/DIGEST with a digest in hexadecimal");
    let [algorithm, digest] = rest else { return Err(wrong()) };
    let algorithm: Algorithm = algorithm.parse().map_err(|_| wrong())?;
    let digest = hex::decode(digest).map_err(|_| wrong())?;
    if digest.len() != algorithm.digest_length() {
        return Err(wrong());
    }
    let found = app.store.ask(move |catalog| {
        let mut found = Vec::new();
        for file in catalog.locations(algorithm, &digest)? {
            let package = catalog.package(&d1_catalog::PackageKey::Id(file.package))?;
            found.extend(package.map(|package| (package, file)));
        }
        Ok(found)
    });
    for (package, file) in found.await? {
        if app.store.may_read(&package, &file).await? {
            return send(app, request, &file, None, IMMUTABLE, None).await;
        }
    }
    Err(Refused::not_found("no public content here has this digest"))
}

async fn send(
    app: &Arc<App>,
    request: &Request,
    file: &CatalogFile,
    modified: Option<Timestamp>,
    caching: &str,
    collection: Option<&str>,
) -> Result<Response, Refused> {
    let mut headers = HeaderMap::new();
    let media_type = file.media_type.as_str();
    set(&mut headers, CONTENT_TYPE, media_type);
    let is_shown = file_answer::is_shown(file) && request.query.get("download").is_none();
    set_disposition(&mut headers, if is_shown { "inline" } else { "attachment" }, &file.path);
    set(&mut headers, CACHE_CONTROL, caching);
    if let Some(page) = collection {
        set(&mut headers, LINK, &format!("<{page}>; rel=\"collection\"; type=\"text/html\""));
    }
    file_answer::send(app, request, file, modified, headers).await
}
