//! Options of a client.

use std::fmt;
use std::sync::Arc;

use http_transfer::{ClientCertificate, Proxies, Url, WaitObserver, is_loopback};

use crate::credentials::{CredentialSource, NoCredentials};
use crate::upload_memory::UploadMemory;
use crate::warning::WarningSink;

/// Says how to talk to a registry.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The source of credentials.
    pub credentials: Arc<dyn CredentialSource>,
    /// Whether to use TLS.
    pub scheme: Scheme,
    /// Certificates of further trusted authorities in PEM, beside those of the system.
    pub extra_authorities: Vec<Vec<u8>>,
    /// The certificate by which the caller identifies itself to the registry.
    pub client_certificate: Option<ClientCertificate>,
    /// The proxies to use; the environment is not read.
    pub proxies: Proxies,
    /// Takes the warnings of registries. Without it they are logged.
    pub warnings: Option<WarningSink>,
    /// Takes note of waits between tries.
    pub waits: WaitObserver,
    /// Remembers the sessions of large uploads across runs of the program.
    pub uploads: Option<Arc<dyn UploadMemory>>,
}

/// Says whether to use TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// With TLS, except on this machine.
    #[default]
    Auto,
    /// Always with TLS.
    Https,
    /// Without TLS.
    Http,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("distribution-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: Arc::new(NoCredentials),
            scheme: Scheme::default(),
            extra_authorities: Vec::new(),
            client_certificate: None,
            proxies: Proxies::default(),
            warnings: None,
            waits: WaitObserver::default(),
            uploads: None,
        }
    }
}

impl ClientOptions {
    /// Returns the options with another source of credentials.
    #[must_use]
    pub fn with_credentials(mut self, credentials: impl CredentialSource + 'static) -> Self {
        self.credentials = Arc::new(credentials);
        self
    }

    /// Tells whether the client uses plain HTTP for a registry at this host.
    pub fn speaks_plainly_to(&self, host: &str) -> bool {
        match self.scheme {
            Scheme::Https => false,
            Scheme::Http => true,
            Scheme::Auto => is_loopback_host(host),
        }
    }

    /// Returns the options with or without TLS.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientOptions")
            .field("user_agent", &self.user_agent)
            .field("credentials", &self.credentials)
            .field("scheme", &self.scheme)
            .field("extra_authorities", &self.extra_authorities.len())
            .field("client_certificate", &self.client_certificate.is_some())
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

/// Tells whether a registry's host, perhaps with a port, is this machine.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_loopback(&url))
}
