//! The listening socket and the value that holds it.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use d1_model::Identifier;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::app::{App, Crowd};
use crate::behaviour::Behaviour;
use crate::call::{Call, Role};
use crate::catalog::Catalog;
use crate::fault::{Fault, Script};
use crate::header_case::HeaderCase;
use crate::log::{Log, Request};
use crate::serve::serve;

/// What a node begins with; the default is an empty node without faults.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The objects.
    pub catalog: Catalog,
    /// How the node behaves.
    pub behaviour: Behaviour,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The port; 0 is any that is free.
    pub port: u16,
}

/// A node on the loopback interface that does what a script says, and ends when the value is dropped.
#[derive(Debug)]
pub struct ScriptedNode {
    app: Arc<App>,
    task: JoinHandle<()>,
}

impl ScriptedNode {
    /// Starts a node on `127.0.0.1`.
    ///
    /// # Errors
    ///
    /// If no socket can be had.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let app = Arc::new(App {
            host: format!("127.0.0.1:{}", listener.local_addr()?.port()),
            behaviour: config.behaviour,
            catalog: RwLock::new(config.catalog),
            script: Script::new(config.faults),
            log: Log::default(),
            header_case: HeaderCase::learn().await?,
            crowd: Crowd::default(),
        });
        let task = tokio::spawn(accept(app.clone(), listener));
        Ok(Self { app, task })
    }

    /// Starts a node with these objects that behaves well.
    ///
    /// # Errors
    ///
    /// If no socket can be had.
    pub async fn serve(catalog: Catalog) -> io::Result<Self> {
        Self::start(Config { catalog, ..Config::default() }).await
    }

    /// Returns the base URL of the Member Node.
    #[must_use]
    pub fn member_url(&self) -> String {
        self.app.base_url(Role::Member)
    }

    /// Returns the base URL of the Coordinating Node.
    #[must_use]
    pub fn coordinating_url(&self) -> String {
        self.app.base_url(Role::Coordinating)
    }

    /// Looks at the objects.
    pub fn look<T>(&self, look: impl FnOnce(&Catalog) -> T) -> T {
        look(&self.app.catalog())
    }

    /// Changes the objects.
    pub fn change<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        change(&mut self.app.catalog.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a fault, whose requests are counted from now on.
    pub fn add_fault(&self, fault: Fault) {
        self.app.script.add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.app.script.clear();
    }

    /// Returns all requests so far, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.app.log.requests()
    }

    /// Returns how many requests of a call came so far, refused ones included.
    #[must_use]
    pub fn count(&self, call: Call) -> usize {
        self.requests().iter().filter(|request| request.call == call).count()
    }

    /// Returns how many requests of a call came so far for one object.
    #[must_use]
    pub fn count_of(&self, call: Call, identifier: &Identifier) -> usize {
        let requests = self.requests();
        let is_it =
            |request: &&Request| request.call == call && request.identifier.as_ref() == Some(identifier);
        requests.iter().filter(is_it).count()
    }

    /// Returns how many bytes of bodies were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.requests().iter().map(|request| request.sent).sum()
    }

    /// Returns how many requests waited for their answers at the same time at most, bodies not counted.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.app.crowd.most()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.app.log.clear();
    }
}

impl Drop for ScriptedNode {
    fn drop(&mut self) {
        // The task owns its connections: nothing answers any more.
        self.task.abort();
    }
}

async fn accept(app: Arc<App>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(app.clone(), stream));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(app: Arc<App>, stream: TcpStream) {
    // Small answers leave at once; without it they are only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let app = app.clone();
        async move {
            let answer = serve(app, request.map(Body::new)).await;
            answer.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))
        }
    });
    // A connection that breaks is what faults are for: there is nobody to tell.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
