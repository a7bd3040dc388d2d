//! Places that a server names: where they lead, and whether they may be followed.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

/// Why a place that a server named is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedPlace {
    /// It cannot be read, or names no host.
    #[error("it is no URL")]
    NoUrl,
    /// It has another scheme than HTTP's.
    #[error("it is neither http nor https")]
    Scheme,
    /// What was protected by TLS would be no longer.
    #[error("it leads from https to http")]
    Downgrade,
    /// A stranger's server names a place that only the caller can reach.
    #[error("it leads from a public server to an address of a private network")]
    PrivateAddress,
}

/// Resolves a `Location` or a link against the URL of the request that it answers (RFC 9110 section 10.2.2, RFC 8288
/// section 3.1).
///
/// A server behind a proxy that ends TLS may name itself with `http`: that is read as what it means.
///
/// # Errors
///
/// If it must not be followed, by [`check_step`].
pub fn resolve(base: &Url, location: &str) -> Result<Url, RefusedPlace> {
    let mut url = base.join(location.trim()).map_err(|_| RefusedPlace::NoUrl)?;
    if base.scheme() == "https" && url.scheme() == "http" && url.host() == base.host() {
        // The ports are those of http and say nothing about https, unless one was written out.
        let port = if url.port().is_some() { url.port() } else { base.port() };
        url.set_scheme("https").and_then(|()| url.set_port(port)).map_err(|()| RefusedPlace::NoUrl)?;
    }
    check_step(base, &url)?;
    Ok(url)
}

/// Checks one step of a transfer from a URL to another that its server named.
///
/// # Errors
///
/// If it leads from https to http (RFC 9110 section 15.4 leaves the choice to the client), or is refused by
/// [`check_reach`].
pub fn check_step(base: &Url, url: &Url) -> Result<(), RefusedPlace> {
    if base.scheme() == "https" && url.scheme() == "http" {
        return Err(RefusedPlace::Downgrade);
    }
    check_reach(base, url)
}

/// Checks whether a server may name this place at all, be it for a transfer of its own: TLS may end here.
///
/// # Errors
///
/// If it has no host, is neither http nor https, or a public server names an address of a private network.
pub fn check_reach(base: &Url, url: &Url) -> Result<(), RefusedPlace> {
    if url.host().is_none() {
        return Err(RefusedPlace::NoUrl);
    }
    match url.scheme() {
        "http" | "https" if !is_private(base) && is_private(url) => Err(RefusedPlace::PrivateAddress),
        "http" | "https" => Ok(()),
        _ => Err(RefusedPlace::Scheme),
    }
}

/// Tells whether two URLs have one scheme, host and port (RFC 6454 section 5), and so may share credentials.
#[must_use]
pub fn same_origin(left: &Url, right: &Url) -> bool {
    left.origin() == right.origin()
}

/// Tells whether the host is this machine, by an address or by the name `localhost` (RFC 6761 section 6.3).
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    address(url).map_or_else(|| is_localhost(url), |address| address.is_loopback())
}

/// Returns the URL without user, password, query and fragment, in which secrets may be.
#[must_use]
pub fn without_query(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
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

fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local() || address.is_unspecified()
}

fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_localhost(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    // A name with a dot at its end is the same name (RFC 1034 section 3.1).
    let host = host.strip_suffix('.').unwrap_or(host);
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
            assert_eq!(resolve(&base, location).unwrap().as_str(), expected, "{location}");
        }
        let with_port = url("https://r.example:5000/v2/");
        assert_eq!(resolve(&with_port, "http://r.example/u").unwrap().as_str(), "https://r.example:5000/u");
    }

    #[test]
    fn dangerous_places_are_refused() {
        let public = url("https://r.example/v2/");
        for (location, expected) in [
            ("http://cdn.example/u", RefusedPlace::Downgrade),
            ("https://127.0.0.1/u", RefusedPlace::PrivateAddress),
            ("https://10.0.0.1:8443/u", RefusedPlace::PrivateAddress),
            ("https://[::1]/u", RefusedPlace::PrivateAddress),
            ("https://[::ffff:169.254.169.254]/latest", RefusedPlace::PrivateAddress),
            ("https://localhost/u", RefusedPlace::PrivateAddress),
            ("https://localhost./u", RefusedPlace::PrivateAddress),
            ("https://127.0.0.1./u", RefusedPlace::PrivateAddress),
            ("file:///etc/passwd", RefusedPlace::NoUrl),
            ("ftp://r.example/u", RefusedPlace::Scheme),
            ("https://", RefusedPlace::NoUrl),
        ] {
            assert_eq!(resolve(&public, location), Err(expected), "{location}");
        }
        let private = url("http://127.0.0.1:5000/v2/");
        assert!(resolve(&private, "http://127.0.0.1:5001/u").is_ok());
        assert!(resolve(&private, "https://cdn.example/u").is_ok());
    }

    #[test]
    fn tls_may_end_where_another_transfer_begins() {
        let public = url("https://r.example/v2/");
        assert_eq!(check_reach(&public, &url("http://mn.example/mn")), Ok(()));
        assert_eq!(check_step(&public, &url("http://mn.example/mn")), Err(RefusedPlace::Downgrade));
        let private = url("http://10.0.0.1/mn");
        assert_eq!(check_reach(&public, &private), Err(RefusedPlace::PrivateAddress));
    }

    #[test]
    fn logs_show_no_secret() {
        let shown = without_query(&url("https://u:p@r.example:8443/u/1?sig=x#y"));
        assert_eq!(shown, "https://r.example:8443/u/1");
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
            if let Ok(resolved) = resolve(&url("https://r.example/v2/"), &location) {
                proptest::prop_assert_eq!(resolved.scheme(), "https");
                let _ = without_query(&resolved);
            }
        }
    }
}
