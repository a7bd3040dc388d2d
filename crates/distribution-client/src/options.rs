//! How the caller wants to talk to registries.

use std::fmt;
use std::sync::Arc;

use http_transfer::{ClientCertificate, Proxies, Url, is_loopback};

use crate::WarningSink;
use crate::credentials::{CredentialSource, NoCredentials};

/// How to talk to a registry.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Where credentials come from.
    pub credentials: Arc<dyn CredentialSource>,
    /// With or without TLS.
    pub scheme: Scheme,
    /// Certificates in PEM of further authorities to trust, beside those of the system.
    pub extra_authorities: Vec<Vec<u8>>,
    /// The certificate by which the caller identifies itself.
    pub client_certificate: Option<ClientCertificate>,
    /// The proxies to use; none are looked up.
    pub proxies: Proxies,
    /// What to do with warnings of registries; without it they are logged.
    pub warnings: Option<WarningSink>,
}

/// With or without TLS.
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

    /// Tells whether a registry at this host is spoken to without TLS.
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
