//! The registries that a program talks to, and the factory that opens their repositories.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use oci_model::Location;
use registry_backend::{BackendFactory, Error, ErrorKind, Fit, OpenOptions, RegistryBackend, Result};

use crate::options::ClientOptions;
use crate::profile::{Profile, VendorPlace};
use crate::registry::Registry;

/// Opens each registry once, so that its repositories share connections, tokens and budget. Knows the options for each
/// host.
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

    /// Returns the registry at a host. The profile counts when the registry is opened first.
    ///
    /// # Errors
    ///
    /// The errors of [`Registry::new`].
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

    /// Cancels all upload sessions that are open, after the command that uses them was interrupted.
    pub async fn cancel_uploads(&self) {
        let open: Vec<_> =
            self.open.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        futures::future::join_all(open.iter().map(Registry::cancel_uploads)).await;
    }
}

/// Opens repositories of one kind of registry.
///
/// ```
/// use std::sync::Arc;
///
/// use distribution_client::{Profile, Registries, RegistryFactory};
/// use oci_model::Reference;
/// use registry_backend::{Access, Backends, OpenOptions};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let registries = Arc::new(Registries::default());
/// let backends = Backends::default().with(RegistryFactory::new(registries, Profile::generic()));
/// let reference: Reference = "docker.io/alpine:latest".parse()?;
/// let repository = backends.open(&reference.location, &OpenOptions::new(Access::Read)).await?;
/// assert_eq!(repository.to_string(), "docker.io/library/alpine");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct RegistryFactory {
    registries: Arc<Registries>,
    profile: Profile,
    /// Further hosts of this kind, with the URL of the vendor's interface where the user states it.
    hosts: BTreeMap<String, Option<String>>,
}

impl RegistryFactory {
    /// Takes the registries, which other factories may share, and the facts about this kind of registry.
    pub fn new(registries: Arc<Registries>, profile: Profile) -> Self {
        Self { registries, profile, hosts: BTreeMap::new() }
    }

    /// Returns the factory with another host of this kind.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.insert(host.into(), None);
        self
    }

    /// Returns the factory with another host of this kind, such as `containers.github.example`, and the URL of the
    /// vendor's interface for it, such as `https://github.example/api/v3`.
    #[must_use]
    pub fn with_interface(mut self, host: impl Into<String>, url: impl Into<String>) -> Self {
        self.hosts.insert(host.into(), Some(url.into()));
        self
    }
}

#[async_trait]
impl BackendFactory for RegistryFactory {
    fn name(&self) -> &'static str {
        self.profile.name
    }

    fn about(&self) -> &'static str {
        self.profile.about
    }

    fn fit(&self, location: &Location) -> Fit {
        match location {
            Location::Registry { host, .. } if self.hosts.contains_key(host) => Fit::Exact,
            Location::Registry { host, .. } => self.profile.fit(host),
            _ => Fit::No,
        }
    }

    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        let Location::Registry { host, repository } = location else {
            return Err(Error::new(ErrorKind::Unsupported, "open", location)
                .because("expected a registry's `HOST/NAME`"));
        };
        let profile = self.profile.clone().at(host);
        let name = profile.whole_name(repository)?;
        let registry = self.registries.open(host, profile.clone())?;
        let opened = registry.repository(name.clone(), options.access);
        let Some(vendor) = &profile.vendor else { return Ok(Box::new(opened)) };
        let options = self.registries.options(host);
        let stated = self.hosts.get(host).and_then(Option::as_deref);
        let interface = &vendor.url_for(stated, host, &profile, options)?;
        let place = VendorPlace { interface, host, repository: &name, profile: &profile, options };
        let opened = match vendor.deleter {
            Some(deleter) => opened.with_deleter(deleter(&place)?),
            None => opened,
        };
        // Without the vendor's list, the registry's own counts: a URL without TLS does not make the repository unusable.
        Ok(Box::new(match vendor.lister.and_then(|lister| lister(&place).ok()) {
            Some(lister) => opened.with_lister(lister),
            None => opened,
        }))
    }
}

#[cfg(test)]
mod tests {
    use oci_model::Reference;
    use registry_backend::Access;

    use super::*;

    #[tokio::test]
    async fn the_generic_factory_opens_registries_and_nothing_else() {
        let factory = RegistryFactory::new(Arc::default(), Profile::generic());
        for (text, fit, shown) in [
            ("registry.example/a/b", Fit::General, "registry.example/a/b"),
            ("docker.io/alpine", Fit::General, "docker.io/library/alpine"),
            ("docker.io/a/b", Fit::General, "docker.io/a/b"),
            ("oci:packages", Fit::No, ""),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(factory.fit(&reference.location), fit);
            let opened = factory.open(&reference.location, &OpenOptions::new(Access::Read)).await;
            assert_eq!(opened.map(|backend| backend.to_string()).unwrap_or_default(), shown);
        }
    }

    #[test]
    fn a_profile_is_adjusted_once() {
        let mut local = Profile::generic().at("localhost:5000");
        assert_eq!(local.segments, None);
        local.budget.requests_per_second = 2.0;
        assert_eq!(local.at("localhost:5000").budget.requests_per_second, 2.0);
        assert!(Profile::generic().at("registry.example").segments.is_some());
    }

    #[test]
    fn only_registries_without_a_known_limit_get_more_requests_at_first() {
        let at_first = |host| Profile::generic().at(host).budget.requests_per_second_at_first;
        assert_eq!(at_first("registry.example"), Some(1000.0));
        for host in ["docker.io", "localhost:5000"] {
            assert_eq!(at_first(host), None, "{host}");
        }
    }
}
