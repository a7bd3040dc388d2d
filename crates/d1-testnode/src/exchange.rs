//! A request that is being served, with everything that it shares with others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use d1_model::Identifier;
use header_case::HeaderCase;
use scripted_http::axum::http::header::AUTHORIZATION;
use scripted_http::axum::http::request::Parts;
use scripted_http::{Log, Query, Script};

use crate::answer::Refused;
use crate::behaviour::{Behaviour, Dialect};
use crate::call::{Call, Role, Target};
use crate::catalog::Catalog;
use crate::fault::{About, Action, Lies};
use crate::object::StoredObject;

/// One request as it came, and its answer.
pub type Request = scripted_http::Request<RequestFacts>;

/// The facts of a request that are particular to a DataONE node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// The role in which the node was asked.
    pub role: Role,
    /// The call.
    pub call: Call,
    /// The object that the request is about.
    pub identifier: Option<Identifier>,
}

/// Everything that the requests of one node share.
#[derive(Debug)]
pub(crate) struct App {
    /// Host and port.
    pub(crate) host: String,
    pub(crate) behaviour: Behaviour,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) script: Script<About, Action>,
    pub(crate) log: Log<RequestFacts>,
    pub(crate) header_case: HeaderCase,
    pub(crate) crowd: Crowd,
}

/// Counts the requests that wait for their answers at the same time.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// One of them.
pub(crate) struct Waiting<'a>(&'a Crowd);

impl App {
    /// Returns the base URL of the node in one of its roles.
    pub(crate) fn base_url(&self, role: Role) -> String {
        let path = match role {
            Role::Member => "mn",
            Role::Coordinating => "cn",
        };
        format!("http://{}/{path}", self.host)
    }

    pub(crate) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crowd {
    /// Counts a request until the value is dropped.
    pub(crate) fn enter(&self) -> Waiting<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        self.most.fetch_max(now, Ordering::SeqCst);
        Waiting(self)
    }

    /// Returns how many there were at most.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request that is being served.
pub(crate) struct Exchange<'a> {
    pub(crate) app: &'a App,
    pub(crate) target: &'a Target,
    pub(crate) query: Query,
    pub(crate) parts: &'a Parts,
    pub(crate) lies: Lies,
}

impl Exchange<'_> {
    /// Returns a header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Returns a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name)
    }

    /// Tells whether whoever asks may read an object.
    pub(crate) fn may_read(&self, object: &StoredObject) -> bool {
        let token = self.app.behaviour.token.as_ref();
        let shown = self.header(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        object.meta.is_public() || token.is_some_and(|token| shown == Some(token.as_str()))
    }

    /// Returns the object that the request is about.
    ///
    /// # Errors
    ///
    /// Exceptions with these detail codes: for an object that is not there, and for one that may not be read.
    pub(crate) fn object(
        &self,
        not_found: &'static str,
        not_authorized: &'static str,
    ) -> Result<Arc<StoredObject>, Refused> {
        let identifier = self.identifier()?;
        let found = match self.app.behaviour.dialect {
            // Version 1 of the interface has no series.
            Dialect::Gmn if self.target.version == 1 => self.app.catalog().get(identifier).cloned(),
            _ => self.app.catalog().find(identifier).cloned(),
        };
        let object = found.ok_or_else(|| {
            let description = format!("No object has the identifier {identifier}");
            Refused::new("NotFound", 404, not_found, description).of(identifier)
        })?;
        if self.may_read(&object) {
            return Ok(object);
        }
        let description = format!("{identifier} is not public");
        Err(Refused::new("NotAuthorized", 401, not_authorized, description).of(identifier))
    }

    pub(crate) fn identifier(&self) -> Result<&Identifier, Refused> {
        let none = || Refused::new("InvalidRequest", 400, "1000", "the path has no identifier");
        self.target.identifier.as_ref().ok_or_else(none)
    }
}
