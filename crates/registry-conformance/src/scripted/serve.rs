//! One request from its arrival to its answer: log, authentication, faults, route.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request};
use axum::response::Response;
use futures::{StreamExt, TryStreamExt};

use super::app::App;
use super::apply::{self, Lies};
use super::log::{Entry, Server};
use super::refused::{Answered, Refused};
use super::route::{Query, Target};
use super::spool::Pieces;
use super::{Route, auth, body, reply, routes};

/// How much of a body that nobody wants is read, so that the client gets to read the answer.
const DRAINED_BYTES: usize = 1024 * 1024;

/// A request that is being served.
pub(super) struct Exchange<'a> {
    pub(super) app: &'a App,
    pub(super) target: &'a Target,
    pub(super) query: &'a Query,
    pub(super) parts: &'a Parts,
    pub(super) lies: &'a Lies,
    pub(super) server: Server,
}

impl Exchange<'_> {
    /// Returns a header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Returns the `Content-Length`, if one was sent.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// Returns the URL of a path on the server that was asked, by the name under which it was asked.
    pub(super) fn absolute(&self, path: &str) -> String {
        let own = match self.server {
            Server::Registry => &self.app.host,
            Server::Storage => &self.app.storage_host,
        };
        format!("http://{}{path}", self.header("host").unwrap_or(own))
    }
}

/// Serves a request; without an answer the connection is to be closed.
pub(super) async fn serve(app: Arc<App>, server: Server, request: Request<Body>) -> Option<Response> {
    let (parts, request_body) = request.into_parts();
    let query = Query::of_url(parts.uri.query().unwrap_or_default());
    let target = Target::of(&parts.method, parts.uri.path(), &query, app.config.behaviour.tokens.path);
    let entry = app.log.begin(server, target.route, &parts.method, &parts.uri, &parts.headers);
    let mut received = counted_in(body::pieces(request_body), entry.clone());

    let response = match admit(&app, server, &target, &query, &parts.headers) {
        Err(refused) => Some(refused.response()),
        Ok(()) => {
            let actions = app.script.next(target.route);
            let lies = Lies::of(&actions);
            let (app, target, query, parts, lies) = (&*app, &target, &query, &parts, &lies);
            let exchange = Exchange { app, target, query, parts, lies, server };
            let response = match apply::before(&exchange, &actions) {
                Some(answer) => answer,
                None => {
                    received = apply::to_request(received, &actions);
                    dispatch(&exchange, &mut received).await.unwrap_or_else(Refused::response)
                }
            };
            apply::after(&exchange, response, &actions).await
        }
    }?;
    drain(&parts.headers, &mut received).await;
    entry.answered(response.status().as_u16());
    Some(counted_out(finished(response, &parts.method), entry))
}

/// Authentication: the registry's, or the storage host's, which wants a signature and nothing else.
fn admit(
    app: &App,
    server: Server,
    target: &Target,
    query: &Query,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    if target.route == Route::Token {
        return Ok(());
    }
    if server == Server::Registry {
        return auth::check(app, target, headers);
    }
    if headers.contains_key(AUTHORIZATION) {
        return Err(Refused::new(400, "UNSUPPORTED", "only one way to prove who asks is allowed"));
    }
    if query.get("signature").is_none_or(|signature| !app.links.is_valid(signature)) {
        return Err(Refused::new(403, "DENIED", "the signature is not valid, or has expired"));
    }
    Ok(())
}

async fn dispatch(exchange: &Exchange<'_>, received: &mut Pieces) -> Answered {
    match exchange.target.route {
        Route::Ping => Ok(reply::full(200, "application/json", "{}")),
        Route::Token => {
            let form = whole(received, 64 * 1024).await?;
            auth::give(exchange, &Query::of_form(&String::from_utf8_lossy(&form)))
        }
        Route::BlobHead | Route::BlobGet => routes::blobs::read(exchange),
        Route::BlobDelete => routes::blobs::delete(exchange),
        Route::Storage => routes::blobs::read_from_storage(exchange),
        Route::UploadStart | Route::Mount => routes::upload_start::answer(exchange, received).await,
        Route::UploadPatch => routes::upload_patch::answer(exchange, received).await,
        Route::UploadCommit => routes::upload_commit::answer(exchange, received).await,
        Route::UploadStatus => routes::uploads::status(exchange),
        Route::UploadCancel => routes::uploads::cancel(exchange),
        Route::ManifestHead | Route::ManifestGet => routes::manifests::read(exchange),
        Route::ManifestPut => routes::manifest_put::answer(exchange, received).await,
        Route::ManifestDelete => routes::manifests::delete(exchange),
        Route::Tags => routes::tags::answer(exchange),
        Route::Referrers => routes::referrers::answer(exchange),
        Route::Unknown => Err(Refused::new(404, "UNSUPPORTED", "there is nothing here")),
    }
}

/// Reads a body to memory.
pub(super) async fn whole(received: &mut Pieces, limit: usize) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    while let Some(piece) = received.try_next().await? {
        if bytes.len() + piece.len() > limit {
            return Err(Refused::new(413, "SIZE_INVALID", format!("it has more than {limit} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Reads what is left of a body, up to a bound: a client that is still sending may not read an early answer.
async fn drain(headers: &HeaderMap, received: &mut Pieces) {
    // A client that waits for leave to send its body must not get it.
    if headers.contains_key(EXPECT) {
        return;
    }
    let mut left = DRAINED_BYTES;
    while let Some(Ok(piece)) = received.next().await {
        left = left.saturating_sub(piece.len());
        if left == 0 {
            return;
        }
    }
}

fn counted_in(pieces: Pieces, entry: Arc<Entry>) -> Pieces {
    pieces.inspect_ok(move |piece| entry.count_received(piece.len())).boxed()
}

/// The answer to `HEAD` has the headers of the one to `GET`.
fn finished(mut response: Response, method: &Method) -> Response {
    if method != Method::HEAD {
        return response;
    }
    let length = response.body().size_hint().exact();
    if let (None, Some(length)) = (response.headers().get(CONTENT_LENGTH), length) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
    response
}

fn counted_out(response: Response, entry: Arc<Entry>) -> Response {
    if response.body().is_end_stream() {
        return response;
    }
    apply::stream(response, |pieces| pieces.inspect_ok(move |piece| entry.count_sent(piece.len())).boxed())
}
