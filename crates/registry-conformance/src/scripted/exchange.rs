//! A request that is being served, with everything that it shares with others.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use scripted_http::axum::http::HeaderMap;
use scripted_http::axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use scripted_http::axum::http::request::Parts;
use scripted_http::{Log, Pieces, Query, Script};

use super::answer::Refused;
use super::behaviour::Config;
use super::fault::{Action, Lies};
use super::route::{Route, Target};
use super::store::Store;
use super::tokens::Tokens;

/// One request as it came, and its answer.
pub type Request = scripted_http::Request<RequestFacts>;

/// The facts of a request that are particular to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// The server that was asked.
    pub server: Server,
    /// The `Host` header.
    pub host: String,
    /// The operation.
    pub route: Route,
    /// The proof of who asks.
    pub credentials: Credentials,
}

/// The two servers of a scripted registry, which have different host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// The registry itself, on `127.0.0.1`.
    Registry,
    /// The host to which the registry redirects, on `localhost`.
    Storage,
}

/// The proof of who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// Basic authentication of this user.
    Basic {
        /// Name of the user.
        user: String,
    },
    /// A bearer token.
    Bearer {
        /// The token.
        token: String,
    },
    /// Some other `Authorization`.
    Other,
}

/// Everything that the requests of one registry share.
#[derive(Debug)]
pub(super) struct App {
    pub(super) config: Config,
    /// Host and port of the registry.
    pub(super) host: String,
    /// Host and port of the storage host.
    pub(super) storage_host: String,
    pub(super) store: Store,
    pub(super) script: Script<Option<Route>, Action>,
    pub(super) log: Log<RequestFacts>,
    pub(super) tokens: Tokens,
    pub(super) links: Links,
    /// Has a permit for each answer that may leave though it is held.
    pub(super) released: tokio::sync::Semaphore,
    /// Numbers the pages of listings that do not end.
    pub(super) pages: AtomicU64,
}

/// The signed links to the storage host.
#[derive(Debug, Default)]
pub(super) struct Links {
    state: Mutex<(u64, HashMap<String, Instant>)>,
}

impl App {
    pub(super) fn new(mut config: Config, host: String, storage_host: String) -> io::Result<Self> {
        let faults = std::mem::take(&mut config.faults);
        let script = Script::new(faults.into_iter().map(|fault| (fault.route, fault.when, fault.action)));
        let store = Store::new(config.behaviour.manifests.untagged_lifetime, config.behaviour.blobs.lease)?;
        Ok(Self {
            config,
            host,
            storage_host,
            store,
            script,
            log: Log::default(),
            tokens: Tokens::default(),
            links: Links::default(),
            released: tokio::sync::Semaphore::new(0),
            pages: AtomicU64::new(2),
        })
    }
}

impl Links {
    /// Returns the signature of a new link that is valid until then.
    pub(super) fn sign(&self, until: Instant) -> String {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let signature = format!("signature-{}", state.0);
        state.1.insert(signature.clone(), until);
        signature
    }

    /// Tells whether a link is valid now.
    pub(super) fn is_valid(&self, signature: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.get(signature).is_some_and(|until| Instant::now() < *until)
    }

    /// Makes all links expire.
    pub(super) fn expire_all(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }
}

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

impl Credentials {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else { return Self::None };
        let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
            return Self::Other;
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::Bearer { token: rest.to_owned() };
        }
        match basic(headers) {
            Some((user, _)) => Self::Basic { user },
            None => Self::Other,
        }
    }
}

/// The user and password of Basic authentication (RFC 7617).
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(rest.trim()).ok())??;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
