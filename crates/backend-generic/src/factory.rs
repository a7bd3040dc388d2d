//! Opening repositories of any registry.

use std::sync::Arc;

use async_trait::async_trait;
use distribution_client::{Profile, Registries};
use oci_model::{Location, RepositoryName};
use registry_backend::{BackendFactory, Error, ErrorKind, Fit, OpenOptions, RegistryBackend, Result};

/// Opens repositories of registries of which nothing special is known.
#[derive(Debug)]
pub struct GenericFactory {
    registries: Arc<Registries>,
    profile: Option<Profile>,
}

impl GenericFactory {
    /// Takes the registries, which other kinds of backend may share.
    pub fn new(registries: Arc<Registries>) -> Self {
        Self { registries, profile: None }
    }

    /// Returns the factory with another profile for all registries, such as one with limits that an operator states.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }
}

#[async_trait]
impl BackendFactory for GenericFactory {
    fn name(&self) -> &'static str {
        "generic"
    }

    fn about(&self) -> &'static str {
        "any registry that speaks the OCI distribution specification"
    }

    fn fit(&self, location: &Location) -> Fit {
        match location {
            Location::Registry { .. } => Fit::General,
            _ => Fit::No,
        }
    }

    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        let Location::Registry { host, repository } = location else {
            return Err(Error::new(ErrorKind::Unsupported, "open", location));
        };
        let profile = self.profile.clone().unwrap_or_else(|| Profile::generic_at(host));
        let registry = self.registries.open(host, profile)?;
        Ok(Box::new(registry.repository(full_name(host, repository)?, options.access)))
    }
}

/// Docker Hub keeps repositories without an owner under `library/` (distribution reference/normalize.go).
fn full_name(host: &str, name: &RepositoryName) -> Result<RepositoryName> {
    if !matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
        || name.as_str().contains('/')
    {
        return Ok(name.clone());
    }
    let full = format!("library/{name}").parse();
    full.map_err(|error| Error::new(ErrorKind::Invalid, "open", name).caused_by(error))
}

#[cfg(test)]
mod tests {
    use oci_model::Reference;
    use registry_backend::Access;

    use super::*;

    #[tokio::test]
    async fn registries_are_opened_and_nothing_else() {
        let factory = GenericFactory::new(Arc::default());
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
}
