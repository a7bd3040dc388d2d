//! Credentials and their sources.

use std::fmt;

use async_trait::async_trait;
use http_transfer::Secret;
use oci_model::RepositoryName;
use registry_backend::Result;

/// A caller's proof of identity for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// None: public content only.
    Anonymous,
    /// A name with a password, or with a token in its place.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, which Docker's configuration calls `identitytoken`; it is exchanged for access tokens with
    /// `POST` (distribution, "OAuth2 token authentication").
    IdentityToken(Secret),
    /// An access token that is sent as it is, which Docker's configuration calls `registrytoken`.
    RegistryToken(Secret),
}

/// A source of credentials: a file, a helper program, the environment, a prompt.
///
/// The client asks it when a registry demands authentication, and again whenever a token has to be renewed. A slow source
/// should cache its results.
#[async_trait]
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// Returns the credential for a repository of a registry, or for the registry as a whole;
    /// [`Credential::Anonymous`] if there is none.
    ///
    /// # Errors
    ///
    /// If the credential exists but cannot be read.
    async fn credential(&self, host: &str, repository: Option<&RepositoryName>) -> Result<Credential>;
}

/// No credentials for anyone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

#[async_trait]
impl CredentialSource for NoCredentials {
    async fn credential(&self, _host: &str, _repository: Option<&RepositoryName>) -> Result<Credential> {
        Ok(Credential::Anonymous)
    }
}

/// One credential for one registry, and none for any other.
#[derive(Clone, Debug)]
pub struct FixedCredential {
    host: String,
    credential: Credential,
}

impl FixedCredential {
    /// Takes the credential for a registry's host, with its port if it has one.
    pub fn new(host: impl Into<String>, credential: Credential) -> Self {
        Self { host: host.into(), credential }
    }
}

#[async_trait]
impl CredentialSource for FixedCredential {
    async fn credential(&self, host: &str, _repository: Option<&RepositoryName>) -> Result<Credential> {
        Ok(if host == self.host { self.credential.clone() } else { Credential::Anonymous })
    }
}
