//! How a client is set up.

use std::fmt;
use std::time::Duration;

use crate::Secret;

/// How an [`HttpClient`](crate::HttpClient) is set up.
#[derive(Clone, Copy, Debug)]
pub struct HttpSettings<'a> {
    /// The `User-Agent` header.
    pub user_agent: &'a str,
    /// Certificates in PEM of further authorities to trust, beside those of the system.
    pub extra_authorities: &'a [Vec<u8>],
    /// The certificate by which the caller identifies itself to every server that asks for one.
    pub client_certificate: Option<&'a ClientCertificate>,
    /// The proxies to use; none are looked up.
    pub proxies: &'a Proxies,
    /// How long to wait for a connection, TLS included.
    pub connect: Duration,
    /// How long to wait for the next bytes of an answer.
    pub silence: Duration,
}

/// The certificate by which a caller identifies itself.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and its chain in PEM.
    pub chain: Vec<u8>,
    /// The private key in PEM.
    pub key: Secret,
}

/// Proxies, as URLs: `http://[USER:PASSWORD@]HOST:PORT`.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For requests without TLS.
    pub http: Option<Secret>,
    /// For requests with TLS.
    pub https: Option<Secret>,
    /// Hosts, domains and networks for which none is used, divided by commas.
    pub except: Option<String>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs may hold passwords.
        formatter
            .debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("except", &self.except)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_proxy_is_not_shown() {
        let proxies = Proxies { http: Some(Secret::new("http://u:hidden@proxy:3128")), ..Proxies::default() };
        assert!(!format!("{proxies:?}").contains("hidden"));
    }
}
