//! Places that a server names: where they lead, and whether they may be followed.

use std::net::IpAddr;

use reqwest::Url;

/// Why a place that a server named is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it is no URL")]
    NoUrl,
    #[error("it is neither http nor https")]
    Scheme,
    #[error("it leads from https to http")]
    Downgrade,
    #[error("it leads from a public registry to an address of a private network")]
    PrivateAddress,
}

/// Resolves a `Location` or a link against the URL of the request that it answers (RFC 9110 section 10.2.2).
///
/// A registry behind a proxy that ends TLS may name itself with `http`: that is read as what it means.
///
/// # Errors
///
/// If it must not be followed: no downgrade from https, and no way from a public registry into a private network.
pub(crate) fn resolve(base: &Url, location: &str) -> Result<Url, Refused> {
    let mut url = base.join(location.trim()).map_err(|_| Refused::NoUrl)?;
    if base.scheme() == "https" && url.scheme() == "http" && url.host() == base.host() {
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
    match (base.scheme(), url.scheme()) {
        ("https", "http") => Err(Refused::Downgrade),
        (_, "http" | "https") if !is_private(base) && is_private(url) => Err(Refused::PrivateAddress),
        (_, "http" | "https") => Ok(()),
        _ => Err(Refused::Scheme),
    }
}

/// Tells whether two URLs have one scheme, host and port, and so may share credentials.
pub(crate) fn same_origin(left: &Url, right: &Url) -> bool {
    left.origin() == right.origin()
}

/// Tells whether the host is written as a loopback name or as an address that is not public. Names are not looked up.
pub(crate) fn is_private(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    match address {
        Some(IpAddr::V4(v4)) => is_private_v4(v4),
        Some(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private_v4(v4),
            None => {
                v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
            }
        },
        None => is_localhost(host),
    }
}

fn is_private_v4(address: std::net::Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local() || address.is_unspecified()
}

fn is_localhost(host: &str) -> bool {
    // A name with a dot at its end is the same name (RFC 1034 section 3.1).
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}

/// Tells whether the host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => is_localhost(host),
    }
}

/// Tells whether a registry's host, perhaps with a port, is this machine.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_loopback(&url))
}

/// Returns the URL for logs: without user and password, and with the values of those query parameters only that are
/// known to hold no secret. Upload sessions and signed links carry theirs in the query.
pub(crate) fn redacted(url: &Url) -> String {
    const HARMLESS: [&str; 8] = ["digest", "mount", "from", "n", "last", "artifactType", "scope", "service"];
    let mut shown = format!("{}{}", url.origin().ascii_serialization(), url.path());
    for (number, (name, value)) in url.query_pairs().enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        shown += &name;
        shown.push('=');
        shown += if HARMLESS.contains(&&*name) { &value } else { "…" };
    }
    shown
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
            ("http://cdn.example/u", Refused::Downgrade),
            ("https://127.0.0.1/u", Refused::PrivateAddress),
            ("https://10.0.0.1:8443/u", Refused::PrivateAddress),
            ("https://[::1]/u", Refused::PrivateAddress),
            ("https://[::ffff:169.254.169.254]/latest", Refused::PrivateAddress),
            ("https://localhost/u", Refused::PrivateAddress),
            ("https://localhost./u", Refused::PrivateAddress),
            ("https://127.0.0.1./u", Refused::PrivateAddress),
            ("file:///etc/passwd", Refused::NoUrl),
            ("ftp://r.example/u", Refused::Scheme),
            ("https://", Refused::NoUrl),
        ] {
            assert_eq!(resolve(&public, location), Err(expected), "{location}");
        }
        let private = url("http://127.0.0.1:5000/v2/");
        assert!(resolve(&private, "http://127.0.0.1:5001/u").is_ok());
        assert!(resolve(&private, "https://cdn.example/u").is_ok());
    }

    #[test]
    fn logs_show_no_secret() {
        let shown = redacted(&url("https://u:p@r.example/u/1?_state=abc&digest=sha256%3Aab&sig=x"));
        assert_eq!(shown, "https://r.example/u/1?_state=…&digest=sha256:ab&sig=…");
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
                let _ = redacted(&resolved);
            }
        }
    }
}
