//! From a path to its answer.

use std::sync::Arc;

use axum::http::header::CACHE_CONTROL;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use crate::answer::{self, Kind, Refused, set};
use crate::app::App;
use crate::listings::Form;
use crate::request::{Request, path_decoded};
use crate::selection::Selection;
use crate::{dataone, files, listings, packages, web, zip};

/// Answers a request.
pub(crate) async fn answer(app: &Arc<App>, request: &Request, form: Bytes) -> Response {
    // MetacatUI expects DataONE's interface below this prefix.
    let path = request.path.strip_prefix("d1/").unwrap_or(&request.path);
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match first {
        "mn" => return dataone::answer(app, request, rest, form, false).await,
        "cn" if app.options.coordinating_node => {
            return dataone::answer(app, request, rest, form, true).await;
        }
        _ => {}
    }
    if let (&Method::POST, Some(rest)) = (&request.method, path.strip_prefix("prove/")) {
        return match web::prove(app, request, rest).await {
            Ok(response) => response,
            Err(refused) => refuse(Some((app, request)), &refused),
        };
    }
    if request.method != Method::GET && request.method != Method::HEAD {
        return refuse(
            Some((app, request)),
            &Refused::new(Kind::NotAllowed, "the gateway is for reading only"),
        );
    }
    let segments: Vec<&str> = request.path.split('/').collect();
    match plain(app, request, &segments).await {
        Ok(response) => response,
        Err(refused) => refuse(Some((app, request)), &refused),
    }
}

/// Answers a request outside DataONE's interface.
async fn plain(app: &Arc<App>, request: &Request, segments: &[&str]) -> Result<Response, Refused> {
    match segments {
        [""] => web::home(app, request).await,
        ["search"] => web::search(app, request).await,
        [name] if name.starts_with("search.") => {
            web::results(app, request, name.trim_start_matches("search.")).await
        }
        ["p", key, rest @ ..] => files::in_package(app, request, key, rest).await,
        ["o", rest @ ..] => files::object(app, request, rest).await,
        ["hash", rest @ ..] => files::by_hash(app, request, rest).await,
        ["zip", key, rest @ ..] => archive(app, request, key, rest).await,
        ["sha256sums", key, rest @ ..] => listing(app, request, key, rest, Form::Sha256Sums).await,
        ["meta4", key, rest @ ..] => listing(app, request, key, rest, Form::Metalink).await,
        ["urls", key, rest @ ..] => listing(app, request, key, rest, Form::Urls).await,
        ["d", key, name] => web::description(app, request, key, name).await,
        ["portal", "token"] => Ok(answer::full(StatusCode::OK, "text/plain; charset=utf-8", "")),
        ["healthz"] => Ok(health(app)),
        ["metrics"] => {
            let text = app.metrics.text(app.objects());
            Ok(never_kept(answer::full(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)))
        }
        ["robots.txt"] => Ok(web::robots(request)),
        ["sitemap.xml"] => web::sitemap(app, request).await,
        ["openapi.json"] => Ok(web::open_api(request)),
        ["assets", name] => web::asset(name),
        ["compare", key] => web::compare(app, request, key).await,
        ["provenance", key] => web::provenance(app, request, key).await,
        ["prove", key, rest @ ..] => web::receipt(app, request, key, rest).await,
        _ => Err(Refused::not_found("the gateway has no such page")),
    }
}

/// Answers whether the gateway can serve. It serves cached content even if a repository is away, so that is a remark only.
fn health(app: &App) -> Response {
    let text =
        if app.is_current() { "ok\n" } else { "ok, but not all repositories answered at the last refresh\n" };
    never_kept(answer::full(StatusCode::OK, "text/plain; charset=utf-8", text))
}

fn never_kept(mut response: Response) -> Response {
    set(response.headers_mut(), CACHE_CONTROL, "no-store");
    response
}

/// Returns the key of a package and the directory below it, decoded.
fn decoded(raw_key: &str, rest: &[&str]) -> Result<(String, String), Refused> {
    let wrong = || Refused::invalid("expected UTF-8, percent-encoded, in the path");
    let key = path_decoded(raw_key).ok_or_else(wrong)?;
    let below: Option<Vec<String>> = rest.iter().map(|segment| path_decoded(segment)).collect();
    Ok((key, below.ok_or_else(wrong)?.join("/")))
}

async fn archive(app: &Arc<App>, request: &Request, key: &str, rest: &[&str]) -> Result<Response, Refused> {
    let (key, below) = decoded(key, rest)?;
    let package = packages::package(app, &key).await?;
    let selection = Selection::of(app, &below, &request.query).await?;
    let stem = package.summary.tag.as_str();
    let name = match below.trim_end_matches('/').rsplit('/').next().unwrap_or_default() {
        "" => format!("{stem}.zip"),
        last => format!("{stem}-{last}.zip"),
    };
    zip::send(app, request, &package, &selection, &name).await
}

async fn listing(
    app: &Arc<App>,
    request: &Request,
    raw_key: &str,
    rest: &[&str],
    form: Form,
) -> Result<Response, Refused> {
    let (key, below) = decoded(raw_key, rest)?;
    let package = packages::package(app, &key).await?;
    let selection = Selection::of(app, &below, &request.query).await?;
    listings::send(app, request, &package, raw_key, selection, form).await
}

/// Returns a refusal outside DataONE's interface: a page for browsers, a line for programs.
pub(crate) fn refuse(request: Option<(&App, &Request)>, refused: &Refused) -> Response {
    let status = refused.kind.status();
    let mut response = match request.filter(|(_, request)| request.wants_page()) {
        Some((app, request)) => web::refusal(app, request, refused),
        None => answer::full(status, "text/plain; charset=utf-8", format!("{}\n", refused.message)),
    };
    *response.status_mut() = status;
    response.headers_mut().extend(refused.headers());
    response
}
