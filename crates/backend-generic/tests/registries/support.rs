//! Registries for tests.

pub(crate) mod docker_registry;
pub(crate) mod token_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use distribution_client::{
    ClientOptions, Credential, FixedCredential, Profile, Registries, RegistryFactory, Repository, Secret,
};
use oci_model::Location;
use registry_backend::{Access, BackendFactory as _, OpenOptions, RegistryBackend};

/// A client of one registry.
pub(crate) struct Client {
    registries: Arc<Registries>,
    profile: Profile,
    host: String,
    repositories: AtomicU64,
}

impl Client {
    pub(crate) fn new(host: &str, login: Option<(&str, &str)>) -> Self {
        let mut options = ClientOptions::default();
        if let Some((username, password)) = login {
            let password = Secret::new(password);
            let credential = Credential::Password { username: username.to_owned(), password };
            options = options.with_credentials(FixedCredential::new(host, credential));
        }
        let mut profile = Profile::generic().at(host);
        profile.retry.attempts = 6;
        profile.retry.first_wait = Duration::from_millis(10);
        profile.commit_checks = vec![Duration::ZERO];
        let registries = Arc::new(Registries::new(options));
        Self { registries, profile, host: host.to_owned(), repositories: AtomicU64::new(0) }
    }

    /// Opens a repository of this name.
    pub(crate) async fn open(&self, name: &str) -> Arc<dyn RegistryBackend> {
        let location = Location::Registry { host: self.host.clone(), repository: name.parse().unwrap() };
        let factory = RegistryFactory::new(self.registries.clone(), self.profile.clone());
        factory.open(&location, &OpenOptions::new(Access::Create)).await.unwrap().into()
    }

    /// Opens the same as another value.
    pub(crate) fn second(&self, name: &str) -> Repository {
        let registry = self.registries.open(&self.host, self.profile.clone()).unwrap();
        registry.repository(name.parse().unwrap(), Access::Create)
    }

    /// Returns a name that has not been used.
    pub(crate) fn unused_name(&self) -> String {
        format!("test/repository-{}", self.repositories.fetch_add(1, Ordering::Relaxed))
    }
}
