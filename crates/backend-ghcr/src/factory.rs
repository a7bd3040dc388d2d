//! Opening repositories of GitHub's container registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use distribution_client::{Credential, Profile, Registries, Secret};
use oci_model::Location;
use registry_backend::{BackendFactory, Error, ErrorKind, Fit, OpenOptions, RegistryBackend, Result};

use crate::packages::GithubPackages;
use crate::profile::profile;

/// Opens repositories of `ghcr.io`, and of GitHub Enterprise servers that are named to it.
#[derive(Debug)]
pub struct GhcrFactory {
    registries: Arc<Registries>,
    profile: Profile,
    interfaces: BTreeMap<String, String>,
}

impl GhcrFactory {
    /// Takes the registries, which other kinds of backend may share.
    pub fn new(registries: Arc<Registries>) -> Self {
        let interfaces = BTreeMap::from([("ghcr.io".to_owned(), "https://api.github.com".to_owned())]);
        Self { registries, profile: profile(), interfaces }
    }

    /// Returns the factory with another host, such as `containers.github.example`, and the URL of its REST interface,
    /// such as `https://github.example/api/v3`.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>, interface: impl Into<String>) -> Self {
        self.interfaces.insert(host.into(), interface.into());
        self
    }

    /// Returns the factory with another profile.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Returns GitHub's packages interface for a repository.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the location is none of GitHub's.
    pub fn packages(&self, location: &Location) -> Result<GithubPackages> {
        let invalid = |reason: &str| Error::new(ErrorKind::Invalid, "open", location).because(reason);
        let Location::Registry { host, repository } = location else {
            return Err(invalid("it is no registry"));
        };
        let interface = self.interfaces.get(host).ok_or_else(|| invalid("it is not GitHub's registry"))?;
        let options = self.registries.options(host);
        GithubPackages::new(interface, host, repository, self.profile.clone(), options)
    }
}

#[async_trait]
impl BackendFactory for GhcrFactory {
    fn name(&self) -> &'static str {
        "ghcr"
    }

    fn about(&self) -> &'static str {
        "GitHub's container registry: ghcr.io/OWNER/NAME"
    }

    fn fit(&self, location: &Location) -> Fit {
        match location {
            Location::Registry { host, .. } if self.interfaces.contains_key(host) => Fit::Exact,
            _ => Fit::No,
        }
    }

    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        let packages = self.packages(location)?;
        let Location::Registry { host, repository } = location else {
            return Err(Error::new(ErrorKind::Unsupported, "open", location));
        };
        let registry = self.registries.open(host, self.profile.clone())?;
        Ok(Box::new(registry.repository(repository.clone(), options.access).with_deleter(Arc::new(packages))))
    }
}

/// Returns the credential for a token alone: GitHub does not look at the name (ghcr-cleanup-action src/registry.ts sends
/// this one).
pub fn token_credential(token: Secret) -> Credential {
    Credential::Password { username: "token".to_owned(), password: token }
}

#[cfg(test)]
mod tests {
    use oci_model::Reference;
    use registry_backend::Access;

    use super::*;

    #[tokio::test]
    async fn github_is_opened_and_nothing_else() {
        let factory =
            GhcrFactory::new(Arc::default()).with_host("containers.example", "https://example/api/v3");
        for (text, fit, reason) in [
            ("ghcr.io/owner/name", Fit::Exact, ""),
            ("ghcr.io/owner/name/below", Fit::Exact, ""),
            ("containers.example/owner/name", Fit::Exact, ""),
            ("ghcr.io/name", Fit::Exact, "have an owner"),
            ("quay.io/owner/name", Fit::No, "not GitHub's registry"),
            ("oci:packages", Fit::No, "no registry"),
        ] {
            let location = text.parse::<Reference>().unwrap().location;
            assert_eq!(factory.fit(&location), fit, "{text}");
            match factory.open(&location, &OpenOptions::new(Access::Read)).await {
                Ok(backend) => assert_eq!((backend.to_string().as_str(), reason), (text, "")),
                Err(error) => assert!(!reason.is_empty() && error.to_string().contains(reason), "{error}"),
            }
        }
    }
}
