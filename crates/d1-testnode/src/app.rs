//! Everything that the requests of one node share.

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
}

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
