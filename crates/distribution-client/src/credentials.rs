//! Who the caller is, and where that is looked up.

use std::fmt;

use async_trait::async_trait;
use oci_model::RepositoryName;
use registry_backend::Result;

use crate::Secret;

/// What a caller shows a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// Nothing: public content only.
    Anonymous,
    /// A name with a password or with a token that is used like one.
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

/// Where credentials come from: a file, a helper program, an environment, a prompt.
///
/// It is asked when a registry demands authentication, and again whenever a token has to be renewed; a source that is
/// slow keeps what it found.
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
