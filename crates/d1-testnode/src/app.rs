//! Everything that the requests of one node share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::behaviour::Behaviour;
use crate::call::Role;
use crate::catalog::Catalog;
use crate::fault::Script;
use crate::header_case::HeaderCase;
use crate::log::Log;

/// Everything that the requests of one node share.
#[derive(Debug)]
pub(crate) struct App {
    /// Host and port.
    pub(crate) host: String,
    pub(crate) behaviour: Behaviour,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) script: Script,
    pub(crate) log: Log,
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
