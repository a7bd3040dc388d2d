//! Places that a node names: where they lead, and whether they may be followed.

use std::net::IpAddr;

use reqwest::Url;

/// Why a place that a node named is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NoUrl,
    Scheme,
    Downgrade,
    PrivateAddress,
}

impl Refused {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoUrl => "it is no URL",
            Self::Scheme => "it is neither http nor https",
            Self::Downgrade => "it leads from https to http",
            Self::PrivateAddress => "it leads from a public node to an address of a private network",
        }
    }
}

/// Resolves a `Location` against the URL of the request that it answers (RFC 9110 section 10.2.2).
///
/// A server behind a proxy that ends TLS may name itself with `http`: that is read as what it means.
///
/// # Errors
///
/// If it must not be followed: no downgrade from https, and no way from a public node into a private network.
pub(crate) fn resolve(base: &Url, location: &str) -> Result<Url, Refused> {
    let mut url = base.join(location.trim()).map_err(|_| Refused::NoUrl)?;
    if base.scheme() == "https" && url.scheme() == "http" {
        if url.host() != base.host() {
            return Err(Refused::Downgrade);
        }
        // The ports are those of http and say nothing about https, unless one was written out.
        let port = if url.port().is_some() { url.port() } else { base.port() };
        url.set_scheme("https").and_then(|()| url.set_port(port)).map_err(|()| Refused::NoUrl)?;
    }
    check_step(base, &url)?;
    Ok(url)
}

/// Checks one step from a URL to another that its server named.
pub(crate) fn check_step(base: &Url, url: &Url) -> Result<(), Refused> {
    if url.host().is_none() {
        return Err(Refused::NoUrl);
    }
    match url.scheme() {
        "http" | "https" if !is_private(base) && is_private(url) => Err(Refused::PrivateAddress),
        "http" | "https" => Ok(()),
        _ => Err(Refused::Scheme),
    }
}

/// Tells whether two URLs have one scheme, host and port, and so may share credentials.
pub(crate) fn same_origin(left: &Url, right: &Url) -> bool {
    left.origin() == right.origin()
}

/// Tells whether the host is written as a loopback name or as an address that is not public. Names are not looked up.
fn is_private(url: &Url) -> bool {
    match address(url) {
        Some(IpAddr::V4(v4)) => is_private_v4(v4),
        Some(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private_v4(v4),
            None => {
                v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
            }
        },
        None => is_localhost(url),
    }
}

/// Tells whether the host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    address(url).map_or_else(|| is_localhost(url), |address| address.is_loopback())
}

/// Returns the URL for logs: without user and password, and without the values of a query that another server wrote.
pub(crate) fn redacted(url: &Url, with_query: bool) -> String {
    let mut shown = format!("{}{}", url.origin().ascii_serialization(), url.path());
    match url.query() {
        Some(query) if with_query => {
            shown.push('?');
            shown += query;
        }
        Some(_) => shown += "?…",
        None => {}
    }
    shown
}

fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_private_v4(address: std::net::Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local() || address.is_unspecified()
}

fn is_localhost(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn locations_are_resolved_against_the_request() {
        let base = url("https://mn.example/d1/mn/v2/object/a%2Fb");
        for (location, expected) in [
            ("/store/a%2Fb", "https://mn.example/store/a%2Fb"),
            ("http://mn.example/x", "https://mn.example/x"),
            ("//cdn.example/u?sig=a%2Fb", "https://cdn.example/u?sig=a%2Fb"),
        ] {
            assert_eq!(resolve(&base, location).unwrap().as_str(), expected, "{location}");
        }
    }

    #[test]
    fn dangerous_places_are_refused() {
        let public = url("https://mn.example/d1/mn");
        for (location, expected) in [
            ("http://cdn.example/u", Refused::Downgrade),
            ("https://127.0.0.1/u", Refused::PrivateAddress),
            ("https://10.0.0.1:8443/u", Refused::PrivateAddress),
            ("https://[::1]/u", Refused::PrivateAddress),
            ("https://[::ffff:169.254.169.254]/latest", Refused::PrivateAddress),
            ("https://localhost./u", Refused::PrivateAddress),
            ("file:///etc/passwd", Refused::NoUrl),
            ("ftp://mn.example/u", Refused::Scheme),
            ("https://", Refused::NoUrl),
        ] {
            assert_eq!(resolve(&public, location), Err(expected), "{location}");
        }
        let private = url("http://127.0.0.1:5000/mn");
        assert!(resolve(&private, "http://127.0.0.1:5001/u").is_ok());
    }

    #[test]
    fn logs_show_no_secret() {
        let shown = redacted(&url("https://u:p@mn.example/u/1?sig=x"), false);
        assert_eq!(shown, "https://mn.example/u/1?…");
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
        fn whatever_is_resolved_never_leaves_https(location in "(https?:)?(//)?[a-z0-9.:/?@#&=-]{0,40}|\\PC{0,40}") {
            if let Ok(resolved) = resolve(&url("https://mn.example/v2/"), &location) {
                proptest::prop_assert_eq!(resolved.scheme(), "https");
                let _ = redacted(&resolved, true);
            }
        }
    }
}
