//! The registries that a program talks to, each opened once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use registry_backend::Result;

use crate::options::ClientOptions;
use crate::profile::Profile;
use crate::registry::Registry;

/// Opens each registry once, so that its connections, tokens and budget are shared by all its repositories, and knows
/// with which options.
#[derive(Debug, Default)]
pub struct Registries {
    defaults: ClientOptions,
    by_host: HashMap<String, ClientOptions>,
    open: Mutex<HashMap<(String, &'static str), Registry>>,
}

impl Registries {
    /// Takes the options for hosts that have none of their own.
    pub fn new(defaults: ClientOptions) -> Self {
        Self { defaults, ..Self::default() }
    }

    /// Returns the registries with options for one host.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>, options: ClientOptions) -> Self {
        self.by_host.insert(host.into(), options);
        self
    }

    /// Returns the options for a host.
    pub fn options(&self, host: &str) -> &ClientOptions {
        self.by_host.get(host).unwrap_or(&self.defaults)
    }

    /// Returns the registry at a host, with this profile if it is opened now.
    ///
    /// # Errors
    ///
    /// As [`Registry::new`] states.
    pub fn open(&self, host: &str, profile: Profile) -> Result<Registry> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), profile.name);
        if let Some(registry) = open.get(&key) {
            return Ok(registry.clone());
        }
        let registry = Registry::new(host, profile, self.options(host))?;
        open.insert(key, registry.clone());
        Ok(registry)
    }
}
