//! Places that a server names: where they lead, and whether they may be followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Says why a place that a server names is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedDestination {
    /// It is not a URL, or names no host.
    #[error("expected a URL with a host")]
    NotUrl,
    /// Its scheme is not one of HTTP.
    #[error("it is neither http nor https")]
    Scheme,
    /// It would take a transfer from TLS to plain HTTP.
    #[error("it leads from https to http")]
    Downgrade,
    /// A public server names an address that only the caller can reach.
    #[error("it leads from a public server to an address of a private network")]
    PrivateAddress,
}

/// Says in which network a server is. Servers in public networks must not name addresses of private ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Anyone can reach it.
    Public,
    /// This machine or a private network.
    Private,
}

impl Network {
    /// Returns the network of a URL's host, by its address or by the name `localhost`. Other names count as public:
    /// [`Session`](crate::Session) resolves them.
    #[must_use]
    pub fn of(url: &Url) -> Self {
        let is_private = address(url).map_or_else(|| is_localhost(url), is_private_address);
        if is_private { Self::Private } else { Self::Public }
    }
}

/// Resolves a `Location` or a link against the URL of the request (RFC 9110 section 10.2.2, RFC 8288 section 3.1).
///
/// A server behind a proxy that ends TLS may name itself with `http`. Such a place is read as `https`.
///
/// # Errors
///
/// As [`check_redirect`].
pub fn resolve(base: &Url, network: Network, location: &str) -> Result<Url, RefusedDestination> {
    let mut url = base.join(location.trim()).map_err(|_| RefusedDestination::NotUrl)?;
    if base.scheme() == "https" && url.scheme() == "http" && url.host() == base.host() {
        // A default port of http says nothing about https.
        let port = if url.port().is_some() { url.port() } else { base.port() };
        url.set_scheme("https").and_then(|()| url.set_port(port)).map_err(|()| RefusedDestination::NotUrl)?;
    }
    check_redirect(base, network, &url)?;
    Ok(url)
}

/// Checks one step of a transfer from a URL to another that its server named.
///
/// # Errors
///
/// [`Downgrade`](RefusedDestination::Downgrade) if it leads from https to http (RFC 9110 section 15.4 leaves the
/// choice to the client); as [`check_destination`].
pub fn check_redirect(base: &Url, network: Network, url: &Url) -> Result<(), RefusedDestination> {
    if base.scheme() == "https" && url.scheme() == "http" {
        return Err(RefusedDestination::Downgrade);
    }
    check_destination(network, url)
}

/// Checks whether a server in this network may name a place for a transfer of its own. Unlike a redirect, such a
/// transfer may use plain HTTP.
///
/// # Errors
///
/// If the URL has no host, is neither http nor https, or leads from a public server to a private address.
pub fn check_destination(network: Network, url: &Url) -> Result<(), RefusedDestination> {
    if url.host().is_none() {
        return Err(RefusedDestination::NotUrl);
    }
    match url.scheme() {
        "http" | "https" if network == Network::Public && Network::of(url) == Network::Private => {
            Err(RefusedDestination::PrivateAddress)
        }
        "http" | "https" => Ok(()),
        _ => Err(RefusedDestination::Scheme),
    }
}

/// Tells whether two URLs have the same scheme, host and port (RFC 6454 section 5), so that they may share
/// credentials.
///
/// ```
/// use http_transfer::{Url, same_origin};
///
/// let registry: Url = "https://quay.io/v2/".parse()?;
/// assert!(same_origin(&registry, &"https://quay.io:443/token".parse()?));
/// assert!(!same_origin(&registry, &"https://cdn.quay.io/blob".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn same_origin(left: &Url, right: &Url) -> bool {
    left.origin() == right.origin()
}

/// Tells whether the host is this machine, by an address or by the name `localhost` (RFC 6761 section 6.3).
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    address(url).map_or_else(|| is_localhost(url), |address| address.is_loopback())
}

/// Returns the URL without user, password, query and fragment, which can hold secrets.
#[must_use]
pub fn without_query(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// Returns the URL for logs: without user and password, and with the values of these query parameters only.
///
/// ```
/// use http_transfer::redacted;
///
/// let url = "https://robot:secret@quay.io/token?service=quay.io&account=robot".parse()?;
/// assert_eq!(redacted(&url, &["service"]), "https://quay.io/token?service=quay.io&account=…");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn redacted(url: &Url, harmless: &[&str]) -> String {
    let mut shown = without_query(url);
    for (number, (name, value)) in url.query_pairs().enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        shown += &name;
        shown.push('=');
        shown += if harmless.contains(&&*name) { &value } else { "…" };
    }
    shown
}

/// Tells whether an address belongs to this machine or a private network: loopback, private use (RFC 1918), link
/// local, shared by carriers (RFC 6598), unique local (RFC 4193), and every IPv6 form that embeds such an IPv4 address.
pub(crate) fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_private_v4(v4),
            None => {
                v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
            }
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        // "This network", RFC 1122 section 3.2.1.3; Linux connects 0.0.0.0 to this machine.
        || first == 0
        // Shared address space, 100.64.0.0/10 (RFC 6598).
        || first == 100 && (64..128).contains(&second)
        // Benchmarks, 198.18.0.0/15 (RFC 2544).
        || first == 198 && (18..20).contains(&second)
}

/// Returns the IPv4 address inside an IPv6 one: mapped (RFC 4291 section 2.5.5.2), compatible (2.5.5.1), NAT64
/// (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let joined = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(joined(high, low)),
        [0x64, 0xff9b, 1, .., high, low] => Some(joined(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(joined(high, low)),
        [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_localhost(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    // A dot at the end does not change a name (RFC 1034 section 3.1).
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn public(location: &str) -> Result<Url, RefusedDestination> {
        resolve(&url("https://r.example/v2/"), Network::Public, location)
    }

    #[test]
    fn locations_are_resolved_against_the_request() {
        let base = url("https://r.example/v2/a/b/blobs/uploads/");
        for (location, expected) in [
            ("/v2/a/b/blobs/uploads/1?_state=x", "https://r.example/v2/a/b/blobs/uploads/1?_state=x"),
            ("1?_state=x", "https://r.example/v2/a/b/blobs/uploads/1?_state=x"),
            ("https://r.example:443/u/1", "https://r.example/u/1"),
            ("http://r.example/u/1", "https://r.example/u/1"),
            ("http://r.example:80/u/1", "https://r.example/u/1"),
            ("//cdn.example/u", "https://cdn.example/u"),
            ("https://cdn.example/u?sig=a%2Fb", "https://cdn.example/u?sig=a%2Fb"),
        ] {
            assert_eq!(resolve(&base, Network::Public, location).unwrap().as_str(), expected, "{location}");
        }
        let with_port = url("https://r.example:5000/v2/");
        let resolved = resolve(&with_port, Network::Public, "http://r.example/u").unwrap();
        assert_eq!(resolved.as_str(), "https://r.example:5000/u");
    }

    #[test]
    fn dangerous_places_are_refused() {
        for (location, expected) in [
            ("http://cdn.example/u", RefusedDestination::Downgrade),
            ("https://127.0.0.1/u", RefusedDestination::PrivateAddress),
            ("https://10.0.0.1:8443/u", RefusedDestination::PrivateAddress),
            ("https://100.64.0.1/u", RefusedDestination::PrivateAddress),
            ("https://100.127.255.255/u", RefusedDestination::PrivateAddress),
            ("https://0.1.2.3/u", RefusedDestination::PrivateAddress),
            ("https://[::1]/u", RefusedDestination::PrivateAddress),
            ("https://[::ffff:169.254.169.254]/latest", RefusedDestination::PrivateAddress),
            ("https://[64:ff9b::10.0.0.1]/u", RefusedDestination::PrivateAddress),
            ("https://[64:ff9b:1::10.0.0.1]/u", RefusedDestination::PrivateAddress),
            ("https://[::10.0.0.1]/u", RefusedDestination::PrivateAddress),
            ("https://[2002:7f00:1::]/u", RefusedDestination::PrivateAddress),
            ("https://[fd00::1]/u", RefusedDestination::PrivateAddress),
            ("https://localhost/u", RefusedDestination::PrivateAddress),
            ("https://localhost./u", RefusedDestination::PrivateAddress),
            ("https://127.0.0.1./u", RefusedDestination::PrivateAddress),
            ("file:///etc/passwd", RefusedDestination::NotUrl),
            ("ftp://r.example/u", RefusedDestination::Scheme),
            ("https://", RefusedDestination::NotUrl),
        ] {
            assert_eq!(public(location), Err(expected), "{location}");
        }
        for location in ["https://100.63.0.1/u", "https://[64:ff9b::8.8.8.8]/u", "https://[2606:4700::1]/u"] {
            assert!(public(location).is_ok(), "{location}");
        }
        let private = url("http://127.0.0.1:5000/v2/");
        assert!(resolve(&private, Network::of(&private), "http://127.0.0.1:5001/u").is_ok());
        assert!(resolve(&private, Network::of(&private), "https://cdn.example/u").is_ok());
    }

    #[test]
    fn tls_may_end_where_another_transfer_begins() {
        let base = url("https://r.example/v2/");
        let plain = url("http://mn.example/mn");
        assert_eq!(check_destination(Network::Public, &plain), Ok(()));
        assert_eq!(check_redirect(&base, Network::Public, &plain), Err(RefusedDestination::Downgrade));
        let private = url("http://10.0.0.1/mn");
        assert_eq!(check_destination(Network::Public, &private), Err(RefusedDestination::PrivateAddress));
        assert_eq!(check_destination(Network::Private, &private), Ok(()));
    }

    #[test]
    fn logs_show_no_secret() {
        let secret = url("https://u:p@r.example:8443/u/1?_state=abc&digest=sha256%3Aab#y");
        assert_eq!(without_query(&secret), "https://r.example:8443/u/1");
        assert_eq!(redacted(&secret, &["digest"]), "https://r.example:8443/u/1?_state=…&digest=sha256:ab");
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (text, expected) in [
            ("http://localhost:5000/", true),
            ("http://127.8.0.1/", true),
            ("http://[::1]:5000/", true),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&url(text)), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_location_leaves_https(location in "(https?:)?(//)?[a-z0-9.:/?@#&=-]{0,40}|\\PC{0,40}") {
            if let Ok(resolved) = public(&location) {
                proptest::prop_assert_eq!(resolved.scheme(), "https");
                let _ = redacted(&resolved, &["a"]);
            }
        }
    }
}
