//! The upload sessions that a process has open, so that it can cancel them when it is interrupted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_transfer::Url;

use crate::auth::Scopes;

/// The open sessions of one registry, and the requests that are about to open one.
#[derive(Debug, Default, Clone)]
pub(crate) struct OpenSessions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether the sessions were cancelled: then no other may be opened.
    is_closed: bool,
    next: u64,
    opening: u64,
    open: HashMap<u64, (Url, Scopes)>,
}

/// A request that may open a session.
pub(crate) struct Opening(OpenSessions);

impl OpenSessions {
    /// Counts a request that may open a session, until the value is dropped; `None` if no session may be opened any more.
    pub(crate) fn opening(&self) -> Option<Opening> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        state.opening += 1;
        Some(Opening(self.clone()))
    }

    /// Lets nobody open a session any more. Returns whether a request is still under way that may open one.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state();
        state.is_closed = true;
        state.opening > 0
    }

    /// Adds a session, and returns its number.
    pub(crate) fn add(&self, url: Url, scopes: Scopes) -> u64 {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.open.insert(number, (url, scopes));
        number
    }

    /// Notes the place for the next request of a session.
    pub(crate) fn moved(&self, number: u64, to: &Url) {
        if let Some((url, _)) = self.state().open.get_mut(&number) {
            url.clone_from(to);
        }
    }

    /// Removes a session that has ended, or that another run of the program continues.
    pub(crate) fn remove(&self, number: u64) {
        self.state().open.remove(&number);
    }

    /// Takes all sessions.
    pub(crate) fn take(&self) -> Vec<(Url, Scopes)> {
        self.state().open.drain().map(|(_, session)| session).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.state().opening -= 1;
    }
}
