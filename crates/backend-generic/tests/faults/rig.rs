//! A scripted registry with a client of it.

use std::time::Duration;

use distribution_client::{
    ClientOptions, Credential, FixedCredential, Profile, Registry, Repository, Secret,
};
use futures::TryStreamExt;
use oci_model::Digest;
use registry_backend::{Access, RegistryBackend, Result, WriteHint, Written};
use registry_conformance::PseudoRandomSource;
use registry_conformance::scripted::{Action, Config, Fault, Preset, Route, ScriptedRegistry, When};

pub(crate) const MIB: u64 = 1024 * 1024;

/// The name of the repository.
pub(crate) const NAME: &str = "owner/name";

pub(crate) struct Rig {
    pub(crate) registry: ScriptedRegistry,
    pub(crate) repository: Repository,
}

/// Short waits; the limits for silence are long enough for a machine that is busy with other tests.
pub(crate) fn profile() -> Profile {
    let mut profile = Profile::generic().at("localhost");
    profile.segments = Profile::generic().segments;
    profile.retry.attempts = 6;
    profile.retry.first_wait = Duration::from_millis(2);
    profile.retry.limited_wait = Duration::from_millis(20);
    profile.commit_checks = vec![Duration::ZERO, Duration::from_millis(20)];
    profile.times.connect = Duration::from_millis(500);
    profile.times.silence = Duration::from_millis(500);
    profile.times.commit = Duration::from_millis(1500);
    profile
}

impl Rig {
    /// Starts a registry of the strict preset with one fault.
    pub(crate) async fn with(route: Route, when: When, action: Action) -> Self {
        Self::start(Config::new(Preset::Strict).with_fault(Fault::new(route, when, action))).await
    }

    pub(crate) async fn start(config: Config) -> Self {
        Self::with_profile(config, profile()).await
    }

    pub(crate) async fn with_profile(config: Config, profile: Profile) -> Self {
        Self::with_options(config, profile, |_| ClientOptions::default()).await
    }

    /// Starts a registry and a client that logs in.
    pub(crate) async fn with_login(config: Config, username: &str, password: &str) -> Self {
        let password = Secret::new(password);
        let credential = Credential::Password { username: username.to_owned(), password };
        Self::with_credential(config, credential).await
    }

    pub(crate) async fn with_credential(config: Config, credential: Credential) -> Self {
        let options = |host: &str| {
            ClientOptions::default().with_credentials(FixedCredential::new(host, credential.clone()))
        };
        Self::with_options(config, profile(), options).await
    }

    pub(crate) async fn with_options(
        config: Config,
        profile: Profile,
        options: impl Fn(&str) -> ClientOptions,
    ) -> Self {
        let registry = ScriptedRegistry::start(config).await.unwrap();
        let client = Registry::new(registry.host(), profile, &options(registry.host())).unwrap();
        let repository = client.repository(NAME.parse().unwrap(), Access::Create);
        Self { registry, repository }
    }

    /// Stores a blob of this size, checks that it is there, and returns it.
    pub(crate) async fn push(&self, size: u64) -> PseudoRandomSource {
        let source = PseudoRandomSource::new(7, size);
        let written = self.repository.write_blob(&source, &WriteHint::default()).await.unwrap();
        assert_eq!(written, Written::Uploaded);
        assert_eq!(self.registry.blob_size(NAME, digest(&source)), Some(size));
        source
    }

    /// Reads a whole blob and checks its digest.
    pub(crate) async fn pull(&self, digest: &Digest) -> Result<()> {
        let read = self.repository.read_blob(digest, None).await?;
        let mut stream = registry_backend::verified(read, digest)?;
        while stream.try_next().await?.is_some() {}
        Ok(())
    }

    /// Puts a blob of pseudo-random bytes into the registry.
    pub(crate) fn seed(&self, size: usize) -> Digest {
        self.registry.put_blob(NAME, &registry_conformance::pseudo_random(7, size)).unwrap()
    }

    pub(crate) fn backend(&self) -> &dyn RegistryBackend {
        &self.repository
    }
}

pub(crate) fn digest(source: &PseudoRandomSource) -> &Digest {
    registry_backend::BlobSource::digest(source)
}
