//! The registry: two listening sockets, and one request from its arrival to its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use oci_model::{Digest, ManifestRef, RawManifest};
use scripted_http::axum::body::{Body, HttpBody};
use scripted_http::axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST};
use scripted_http::axum::http::{HeaderMap, HeaderValue, Method, Request as HttpRequest};
use scripted_http::axum::response::Response;
use scripted_http::{Listener, Pieces, Query, Server as HttpServer, body, full};

use super::answer::{Answered, Refused};
use super::apply;
use super::auth;
use super::behaviour::Config;
use super::exchange::{App, Credentials, Exchange, Request, RequestFacts, Server, whole};
use super::fault::{Fault, Lies};
use super::route::{Route, Target};
use super::routes::{blobs, manifests, uploads};

/// How many bytes of an unwanted body are read, so that the client gets to read the answer.
const DRAINED_BYTES: usize = 1024 * 1024;

/// A registry on the loopback interface that does what a script says, and ends when the value is dropped.
#[derive(Debug)]
pub struct ScriptedRegistry {
    app: Arc<App>,
    _servers: [HttpServer; 2],
}

impl ScriptedRegistry {
    /// Starts a registry on `127.0.0.1`, and the storage host to which it redirects on another port of `localhost`.
    ///
    /// # Errors
    ///
    /// If there is no free port, or no temporary folder.
    pub async fn start(config: Config) -> io::Result<Self> {
        let registry = Listener::bind(config.port).await?;
        let storage = Listener::bind(0).await?;
        // Name and port differ from the registry's: each alone must keep credentials from going there.
        let storage_host = format!("localhost:{}", storage.address().port());
        let app = Arc::new(App::new(config, registry.address().to_string(), storage_host)?);
        let servers = [(registry, Server::Registry), (storage, Server::Storage)].map(|(listener, server)| {
            let app = app.clone();
            listener.serve(move |request| serve(app.clone(), server, request))
        });
        Ok(Self { app, _servers: servers })
    }

    /// Returns host and port, as they stand in a reference.
    pub fn host(&self) -> &str {
        &self.app.host
    }

    /// Returns the URL without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.app.host)
    }

    /// Returns host and port of the storage host.
    pub fn storage_host(&self) -> &str {
        &self.app.storage_host
    }

    /// Adds a fault, whose requests are counted from now on.
    pub fn add_fault(&self, fault: Fault) {
        self.app.script.add(fault.route, fault.when, fault.action);
    }

    /// Forgets all faults, and lets what is held leave: from now on the registry works.
    pub fn forget_faults(&self) {
        self.app.script.clear();
        self.app.released.add_permits(1_000);
    }

    /// Lets one more held answer leave.
    pub fn release(&self) {
        self.app.released.add_permits(1);
    }

    /// Makes all access tokens expire.
    pub fn expire_tokens(&self) {
        self.app.tokens.expire_all();
    }

    /// Makes all links to the storage host expire.
    pub fn expire_links(&self) {
        self.app.links.expire_all();
    }

    /// Returns all requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.app.log.requests()
    }

    /// Returns how many requests of a route came so far, refused ones included.
    pub fn count(&self, route: Route) -> usize {
        self.requests().iter().filter(|request| request.route == route).count()
    }

    /// Returns how many bytes of bodies were received so far, both hosts together.
    pub fn received(&self) -> u64 {
        self.requests().iter().map(|request| request.received).sum()
    }

    /// Returns how many bytes of bodies were sent so far, both hosts together.
    pub fn sent(&self) -> u64 {
        self.requests().iter().map(|request| request.sent).sum()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.app.log.clear();
    }

    /// Creates an empty repository, unless it exists.
    pub fn create_repository(&self, repository: &str) {
        self.app.store.change(repository, |_| {});
    }

    /// Makes it later for manifests that stay only for a time, and for the leases of blobs.
    pub fn pass_time(&self, time: Duration) {
        self.app.store.pass_time(time);
    }

    /// Removes the blobs that no manifest names, unless they have a lease.
    pub fn collect_garbage(&self) {
        self.app.store.collect(true);
    }

    /// Puts a blob into a repository.
    ///
    /// # Errors
    ///
    /// If it cannot be written to the temporary folder.
    pub fn put_blob(&self, repository: &str, content: &[u8]) -> io::Result<Digest> {
        let digest = Digest::sha256_of(content);
        let mut file = self.app.store.spool.create()?;
        file.append(content)?;
        self.app.store.store_blob(repository, &digest, &file)?;
        Ok(digest)
    }

    /// Puts a manifest into a repository as it is, without looking for its blobs.
    pub fn put_manifest(&self, repository: &str, at: &ManifestRef, manifest: &RawManifest) {
        self.app.store.store_manifest(repository, at, manifest);
    }

    /// Returns the size of a blob in a repository, or `None` if it is not there.
    pub fn blob_size(&self, repository: &str, digest: &Digest) -> Option<u64> {
        self.app.store.look(repository, |repository| repository.blobs.get(digest).copied())
    }

    /// Returns a manifest, or `None` if it is not there.
    pub fn manifest(&self, repository: &str, at: &ManifestRef) -> Option<RawManifest> {
        self.app.store.look(repository, |repository| repository.find(at).cloned())
    }

    /// Returns the tags of a repository in the order in which they were first written.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.app
            .store
            .look(repository, |repository| repository.tags.iter().map(|(tag, _)| tag.to_string()).collect())
    }

    /// Returns the number of uploads that were neither committed nor cancelled.
    pub fn open_uploads(&self) -> usize {
        self.app.store.open_uploads()
    }
}

/// Serves a request; without an answer the connection is to be closed.
async fn serve(app: Arc<App>, server: Server, request: HttpRequest<Body>) -> Option<Response> {
    let (parts, request_body) = request.into_parts();
    let query = Query::of_url(parts.uri.query().unwrap_or_default());
    let target = Target::of(&parts.method, parts.uri.path(), &query, app.config.behaviour.tokens.path);
    let host = parts.headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let facts = RequestFacts {
        server,
        host: host.unwrap_or_default(),
        route: target.route,
        credentials: Credentials::of(&parts.headers),
    };
    let entry = app.log.begin(facts, &parts);
    let counter = entry.clone();
    let mut received = body::counted(body::pieces(request_body), move |bytes| counter.count_received(bytes));

    let response = match admit(&app, server, &target, &query, &parts.headers) {
        Err(refused) => Some(refused.response()),
        Ok(()) => {
            let actions = app.script.next(|about| about.is_none_or(|route| route == target.route));
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
    let response = finished(response, &parts.method);
    if response.body().is_end_stream() {
        return Some(response);
    }
    Some(body::stream(response, |pieces| body::counted(pieces, move |bytes| entry.count_sent(bytes))))
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
        Route::Ping => Ok(full(200, "application/json", "{}")),
        Route::Token => {
            let form = whole(received, 64 * 1024).await?;
            auth::give(exchange, &Query::of_form(&String::from_utf8_lossy(&form)))
        }
        Route::BlobHead | Route::BlobGet => blobs::read(exchange),
        Route::BlobDelete => blobs::delete(exchange),
        Route::Storage => blobs::read_from_storage(exchange),
        Route::UploadStart | Route::Mount => uploads::start(exchange, received).await,
        Route::UploadPatch => uploads::patch(exchange, received).await,
        Route::UploadCommit => uploads::commit(exchange, received).await,
        Route::UploadStatus => uploads::status(exchange),
        Route::UploadCancel => uploads::cancel(exchange),
        Route::ManifestHead | Route::ManifestGet => manifests::read(exchange),
        Route::ManifestPut => manifests::put(exchange, received).await,
        Route::ManifestDelete => manifests::delete(exchange),
        Route::Tags => manifests::tags(exchange),
        Route::Catalog if exchange.app.config.behaviour.tags.lists_repositories => {
            manifests::repositories(exchange)
        }
        Route::QuayTags if exchange.app.config.behaviour.tags.quay_interface => {
            manifests::quay_tags(exchange)
        }
        Route::Referrers => manifests::referrers(exchange),
        Route::Catalog | Route::QuayTags | Route::Unknown => {
            Err(Refused::new(404, "UNSUPPORTED", "there is nothing here"))
        }
    }
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
