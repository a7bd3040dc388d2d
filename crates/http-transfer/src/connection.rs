//! Connections: how they are set up, and which names may be connected to.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{NoProxy, Proxy, Url};
use rustls::ClientConfig;

use crate::Secret;
use crate::budget::BudgetRules;
use crate::destination::{Network, is_private_address, same_origin};
use crate::error::{PrivateName, SettingsError};
use crate::tls::{self, ClientCertificate};

/// How often the operating system checks that an idle connection still stands.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The settings of a [`Session`](crate::Session).
///
/// ```
/// use http_transfer::{Session, SessionSettings, Url};
///
/// let origin = Url::parse("https://registry.example/v2/")?;
/// let mut settings = SessionSettings::new(&origin);
/// settings.user_agent = "example/1.0";
/// let session = Session::new(&settings)?;
/// # let _ = session;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SessionSettings<'a> {
    /// A URL of the service. Its origin is the only one that sees the client certificate.
    pub origin: &'a Url,
    /// The `User-Agent` header.
    pub user_agent: &'a str,
    /// Certificates of further trusted authorities in PEM, beside those of the system.
    pub extra_authorities: &'a [Vec<u8>],
    /// The certificate by which the caller identifies itself to the service.
    pub client_certificate: Option<&'a ClientCertificate>,
    /// The proxies to use; the environment is not read.
    pub proxies: &'a Proxies,
    /// The time limit for a connection, TLS included.
    pub connect: Duration,
    /// The time limit for the next bytes of an answer.
    pub silence: Duration,
    /// How much one server is asked at once.
    pub budget: BudgetRules,
    /// Whether other servers than the service have budgets by the same rules, or none.
    pub budget_for_all: bool,
    /// Query parameters whose values may appear in logs.
    pub logged_parameters: &'static [&'static str],
}

/// Proxies, as URLs: `http://[USER:PASSWORD@]HOST:PORT`, or `socks5://…` and `socks5h://…`.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For requests without TLS.
    pub http: Option<Secret>,
    /// For requests with TLS.
    pub https: Option<Secret>,
    /// Hosts, domains and networks that are reached without a proxy, divided by commas.
    pub except: Option<String>,
}

impl<'a> SessionSettings<'a> {
    /// Returns the usual settings for a service.
    #[must_use]
    pub fn new(origin: &'a Url) -> Self {
        static NO_PROXIES: Proxies = Proxies { http: None, https: None, except: None };
        Self {
            origin,
            user_agent: concat!("http-transfer/", env!("CARGO_PKG_VERSION")),
            extra_authorities: &[],
            client_certificate: None,
            proxies: &NO_PROXIES,
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            budget: BudgetRules::default(),
            budget_for_all: false,
            logged_parameters: &[],
        }
    }
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

/// The HTTP clients of a session. None of them follows redirects or repeats requests.
#[derive(Debug)]
pub(crate) struct Connections {
    origin: Url,
    /// For small requests to the service: over HTTP/2 they share one connection.
    small: reqwest::Client,
    /// For content to and from the service. HTTP/1.1 gives every transfer its own connection, so that one slow
    /// transfer does not hold the others.
    content: reqwest::Client,
    /// For all other servers: no client certificate, and no private addresses for a public service.
    foreign: reqwest::Client,
    names: Arc<Names>,
}

impl Connections {
    pub(crate) fn new(settings: &SessionSettings<'_>) -> Result<Self, SettingsError> {
        let tls = tls::settings(settings.extra_authorities, settings.client_certificate)?;
        let names = Arc::new(Names::new(settings, system_lookup()));
        let own = OwnNames(names.clone());
        let foreign = ForeignNames(names.clone());
        Ok(Self {
            origin: settings.origin.clone(),
            small: client(settings, tls.own.clone(), true, own.clone())?,
            content: client(settings, tls.own, false, own)?,
            foreign: client(settings, tls.foreign, false, foreign)?,
            names,
        })
    }

    pub(crate) fn client(&self, url: &Url, moves_content: bool) -> &reqwest::Client {
        match (same_origin(&self.origin, url), moves_content) {
            (false, _) => &self.foreign,
            (true, true) => &self.content,
            (true, false) => &self.small,
        }
    }

    /// Returns the network of the service, by the addresses of its name.
    pub(crate) async fn network(&self) -> Network {
        self.names.network().await
    }
}

fn client(
    settings: &SessionSettings<'_>,
    mut tls: ClientConfig,
    http2: bool,
    names: impl Resolve + 'static,
) -> Result<reqwest::Client, SettingsError> {
    tls.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(names))
        .user_agent(settings.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(settings.connect)
        .tcp_keepalive(KEEP_ALIVE)
        .http2_adaptive_window(true)
        .referer(false);
    // The system's default limit on unconfirmed data would otherwise end the connection at another time.
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    {
        builder = builder.tcp_user_timeout(settings.connect.saturating_add(settings.silence));
    }
    for proxy in proxies(settings.proxies).map_err(|error| SettingsError::new("a proxy's URL", error))? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| SettingsError::new("the HTTP client", error))
}

fn proxies(settings: &Proxies) -> reqwest::Result<Vec<Proxy>> {
    let except = settings.except.as_deref().and_then(NoProxy::from_string);
    let mut proxies = Vec::new();
    if let Some(url) = &settings.http {
        proxies.push(Proxy::http(url.reveal())?.no_proxy(except.clone()));
    }
    if let Some(url) = &settings.https {
        proxies.push(Proxy::https(url.reveal())?.no_proxy(except));
    }
    Ok(proxies)
}

type Lookup = Box<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

fn system_lookup() -> Lookup {
    Box::new(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed())
}

/// Resolves names, and decides which addresses a server may name.
///
/// The decision is made on the addresses that the connection uses. A check before the connection would not help: a
/// name can have other addresses a moment later.
struct Names {
    /// The service's host, if it is a name.
    own: Option<String>,
    network: OnceLock<Network>,
    /// The hosts of proxies, which the caller trusts.
    proxies: Vec<String>,
    lookup: Lookup,
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Names").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Names {
    fn new(settings: &SessionSettings<'_>, lookup: Lookup) -> Self {
        let host = settings.origin.host_str().unwrap_or_default();
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let network = OnceLock::new();
        if is_address || Network::of(settings.origin) == Network::Private {
            let _ = network.set(Network::of(settings.origin));
        }
        let host_of = |url: &Secret| Url::parse(url.reveal()).ok()?.host_str().map(str::to_owned);
        let proxies = [&settings.proxies.http, &settings.proxies.https];
        Self {
            own: (!is_address).then(|| host.to_owned()),
            network,
            proxies: proxies.into_iter().flatten().filter_map(host_of).collect(),
            lookup,
        }
    }

    async fn resolve_own(&self, name: String) -> io::Result<Vec<SocketAddr>> {
        let is_own = self.own.as_deref() == Some(&name);
        let addresses = (self.lookup)(name).await?;
        if is_own && !addresses.is_empty() {
            let _ = self.network.set(network_of(&addresses));
        }
        Ok(addresses)
    }

    /// Resolves a name that a server gave.
    async fn resolve_foreign(&self, name: String) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let addresses = (self.lookup)(name.clone()).await?;
        if self.proxies.contains(&name) || self.network().await == Network::Private {
            return Ok(addresses);
        }
        let (private, public): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| is_private_address(address.ip()));
        match private.first() {
            Some(address) if public.is_empty() => Err(Box::new(PrivateName { name, address: address.ip() })),
            _ => Ok(public),
        }
    }

    async fn network(&self) -> Network {
        if let Some(network) = self.network.get() {
            return *network;
        }
        let own = self.own.clone().unwrap_or_default();
        match (self.lookup)(own).await {
            Ok(addresses) if !addresses.is_empty() => *self.network.get_or_init(|| network_of(&addresses)),
            // Behind a proxy, names of the outside need not resolve.
            _ => Network::Public,
        }
    }
}

fn network_of(addresses: &[SocketAddr]) -> Network {
    let is_private = addresses.iter().any(|address| is_private_address(address.ip()));
    if is_private { Network::Private } else { Network::Public }
}

#[derive(Clone)]
struct OwnNames(Arc<Names>);

impl Resolve for OwnNames {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.0.clone();
        async move { Ok(boxed(names.resolve_own(name.as_str().to_owned()).await?)) }.boxed()
    }
}

struct ForeignNames(Arc<Names>);

impl Resolve for ForeignNames {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.0.clone();
        async move { Ok(boxed(names.resolve_foreign(name.as_str().to_owned()).await?)) }.boxed()
    }
}

fn boxed(addresses: Vec<SocketAddr>) -> Addrs {
    Box::new(addresses.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small domain name system.
    fn names(origin: &str) -> Names {
        let origin = Url::parse(origin).unwrap();
        let proxies = Proxies { http: Some(Secret::new("http://proxy.corp:3128")), ..Proxies::default() };
        let settings = SessionSettings { proxies: &proxies, ..SessionSettings::new(&origin) };
        let lookup: Lookup = Box::new(|name| {
            let addresses: &[&str] = match name.as_str() {
                "registry.example" => &["93.184.216.34"],
                "registry.corp" | "proxy.corp" => &["10.0.0.1"],
                "inside.example" => &["10.0.0.1", "fd00::1"],
                "carrier.example" => &["100.64.1.1"],
                "mapped.example" => &["::ffff:192.168.0.1"],
                "nat64.example" => &["64:ff9b::169.254.169.254"],
                "both.example" => &["10.0.0.1", "93.184.216.34"],
                "cdn.example" => &["2606:4700::1"],
                _ => return async { Err(io::Error::other("no such name")) }.boxed(),
            };
            let addresses = addresses.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect();
            async { Ok(addresses) }.boxed()
        });
        Names::new(&settings, lookup)
    }

    #[tokio::test]
    async fn a_public_service_leads_to_no_private_address() {
        let names = names("https://registry.example/v2/");
        for name in ["inside.example", "carrier.example", "mapped.example", "nat64.example"] {
            let error = names.resolve_foreign(name.to_owned()).await.unwrap_err();
            let refused = error.downcast::<PrivateName>().unwrap();
            assert_eq!(refused.name, name);
        }
        for (name, expected) in [("cdn.example", "2606:4700::1"), ("both.example", "93.184.216.34")] {
            let found = names.resolve_foreign(name.to_owned()).await.unwrap();
            assert_eq!(found, [SocketAddr::new(expected.parse().unwrap(), 0)]);
        }
        assert!(names.resolve_foreign("nowhere.example".to_owned()).await.is_err());
        assert_eq!(names.resolve_foreign("proxy.corp".to_owned()).await.unwrap().len(), 1);
        assert_eq!(names.network().await, Network::Public);
    }

    #[tokio::test]
    async fn a_service_in_a_private_network_may_name_its_neighbours() {
        for origin in ["https://registry.corp/v2/", "http://127.0.0.1:5000/", "http://localhost/"] {
            let names = names(origin);
            assert_eq!(
                names.resolve_foreign("inside.example".to_owned()).await.unwrap().len(),
                2,
                "{origin}"
            );
            assert_eq!(names.network().await, Network::Private);
        }
    }

    #[tokio::test]
    async fn the_network_is_known_from_the_connection() {
        let names = names("https://registry.corp/v2/");
        names.resolve_own("registry.corp".to_owned()).await.unwrap();
        assert_eq!(names.network.get(), Some(&Network::Private));
    }

    #[test]
    fn the_password_of_a_proxy_is_not_shown() {
        let proxies = Proxies { http: Some(Secret::new("http://u:hidden@proxy:3128")), ..Proxies::default() };
        assert!(!format!("{proxies:?}").contains("hidden"));
    }
}
