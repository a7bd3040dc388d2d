//! Everything that the requests of one registry share.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Config;
use super::auth::Tokens;
use super::fault::Script;
use super::log::Log;
use super::store::Store;

/// Everything that the requests of one registry share.
#[derive(Debug)]
pub(super) struct App {
    pub(super) config: Config,
    /// Host and port of the registry.
    pub(super) host: String,
    /// Host and port of the storage host.
    pub(super) storage_host: String,
    pub(super) store: Store,
    pub(super) script: Script,
    pub(super) log: Log,
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
        let script = Script::new(std::mem::take(&mut config.faults));
        Ok(Self {
            config,
            host,
            storage_host,
            store: Store::new()?,
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
