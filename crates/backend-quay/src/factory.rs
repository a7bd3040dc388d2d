//! Opening repositories of Quay.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use distribution_client::{Profile, Registries};
use oci_model::Location;
use registry_backend::{BackendFactory, Error, ErrorKind, Fit, OpenOptions, RegistryBackend, Result};

use crate::api::QuayApi;
use crate::profile::profile_at;

/// Opens repositories of quay.io, of hosts that are named to it, and of any other on request.
#[derive(Debug)]
pub struct QuayFactory {
    registries: Arc<Registries>,
    profile: Option<Profile>,
    hosts: BTreeSet<String>,
}

impl QuayFactory {
    /// Takes the registries, which other kinds of backend may share.
    pub fn new(registries: Arc<Registries>) -> Self {
        Self { registries, profile: None, hosts: BTreeSet::from(["quay.io".to_owned()]) }
    }

    /// Returns the factory with another host that runs Quay.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.insert(host.into());
        self
    }

    /// Returns the factory with another profile, such as one with the limits that an operator states.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Returns Quay's REST interface for a repository.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the location is no registry's.
    pub fn api(&self, location: &Location) -> Result<QuayApi> {
        let Location::Registry { host, repository } = location else {
            return Err(Error::new(ErrorKind::Invalid, "open", location).because("it is no registry"));
        };
        let options = self.registries.options(host);
        let scheme = if options.speaks_plainly_to(host) { "http" } else { "https" };
        let interface = format!("{scheme}://{host}/api/v1");
        QuayApi::new(&interface, host, repository.clone(), self.profile(host), options)
    }

    fn profile(&self, host: &str) -> Profile {
        self.profile.clone().unwrap_or_else(|| profile_at(host))
    }
}

#[async_trait]
impl BackendFactory for QuayFactory {
    fn name(&self) -> &'static str {
        "quay"
    }

    fn about(&self) -> &'static str {
        "quay.io, and other hosts that run Quay"
    }

    fn fit(&self, location: &Location) -> Fit {
        match location {
            Location::Registry { host, .. } if self.hosts.contains(host) => Fit::Exact,
            // On request only: who knows of no host that it is Quay's should not ask this one first.
            Location::Registry { .. } => Fit::General,
            _ => Fit::No,
        }
    }

    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        let Location::Registry { host, repository } = location else {
            return Err(Error::new(ErrorKind::Unsupported, "open", location));
        };
        let registry = self.registries.open(host, self.profile(host))?;
        Ok(Box::new(registry.repository(repository.clone(), options.access)))
    }
}

#[cfg(test)]
mod tests {
    use oci_model::Reference;
    use registry_backend::Access;

    use super::*;

    #[tokio::test]
    async fn quay_is_opened_and_others_on_request() {
        let factory = QuayFactory::new(Arc::default()).with_host("quay.example");
        for (text, fit) in [
            ("quay.io/namespace/name", Fit::Exact),
            ("quay.example/namespace/name", Fit::Exact),
            ("registry.example/namespace/name", Fit::General),
            ("oci:packages", Fit::No),
        ] {
            let location = text.parse::<Reference>().unwrap().location;
            assert_eq!(factory.fit(&location), fit, "{text}");
            let opened = factory.open(&location, &OpenOptions::new(Access::Read)).await;
            assert_eq!(opened.is_ok(), fit > Fit::No, "{text}");
        }
    }

    #[test]
    fn only_quay_io_is_asked_as_rarely_as_it_wants() {
        assert!(
            profile_at("quay.io").budget.requests_per_second
                < profile_at("quay.example").budget.requests_per_second
        );
    }
}
