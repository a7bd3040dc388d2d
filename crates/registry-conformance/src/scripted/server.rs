//! The two listening sockets and the value that holds them.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oci_model::{Digest, ManifestRef, RawManifest};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::app::App;
use super::log::{Request, Server};
use super::serve::serve;
use super::{Config, Fault, Route};

/// A registry on the loopback interface that does what a script says, and ends when the value is dropped.
#[derive(Debug)]
pub struct ScriptedRegistry {
    app: Arc<App>,
    tasks: [JoinHandle<()>; 2],
}

impl ScriptedRegistry {
    /// Starts a registry on `127.0.0.1`, and the storage host to which it redirects on another port of `localhost`.
    ///
    /// # Errors
    ///
    /// If no socket or temporary folder can be had.
    pub async fn start(config: Config) -> io::Result<Self> {
        let registry = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let storage = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let host = format!("127.0.0.1:{}", registry.local_addr()?.port());
        // Another name as well as another port: credentials must not go there by either measure.
        let storage_host = format!("localhost:{}", storage.local_addr()?.port());
        let app = Arc::new(App::new(config, host, storage_host)?);
        let tasks = [(registry, Server::Registry), (storage, Server::Storage)]
            .map(|(listener, server)| tokio::spawn(accept(app.clone(), listener, server)));
        Ok(Self { app, tasks })
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
        self.app.script.add(fault);
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

    /// Removes a blob from a repository, as a registry does that collects garbage; tells whether it was there.
    pub fn remove_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.app.store.change(repository, |repository| repository.blobs.remove(digest)).is_some()
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

impl Drop for ScriptedRegistry {
    fn drop(&mut self) {
        // The tasks own their connections: nothing answers any more.
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn accept(app: Arc<App>, listener: TcpListener, server: Server) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(app.clone(), stream, server));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(app: Arc<App>, stream: TcpStream, server: Server) {
    // Small answers leave at once; without it they are only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let app = app.clone();
        async move {
            let answer = serve(app, server, request.map(Body::new)).await;
            answer.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))
        }
    });
    // A connection that breaks is what faults are for: there is nobody to tell.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
