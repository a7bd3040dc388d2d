//! A request: its path, split before it is decoded, its query, and the client behind the proxies.

use std::net::IpAddr;

use axum::http::header::{HOST, HeaderName};
use axum::http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use crate::options::GatewayOptions;

/// The most parameters of a query that are read.
const MOST_PARAMETERS: usize = 256;

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path, percent-encoded, without the slash at its beginning.
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) client: IpAddr,
    /// The URL of the gateway, without a slash at its end.
    pub(crate) base_url: String,
}

/// The reason why a request cannot be understood.
#[derive(Debug)]
pub(crate) struct BadRequest(pub(crate) &'static str);

impl Request {
    /// Reads the head of a request from the client at an address.
    pub(crate) fn of(
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        peer: IpAddr,
        options: &GatewayOptions,
    ) -> Result<Self, BadRequest> {
        let trusts = |address| options.trusted_proxies.iter().any(|network| network.contains(address));
        let is_proxy = trusts(peer);
        let forwarded = |name: &'static str| {
            let value = headers.get(HeaderName::from_static(name)).filter(|_| is_proxy)?;
            value.to_str().ok()
        };
        // Each proxy appends the address that it sees. The last one that is not a proxy is the client.
        let hops = forwarded("x-forwarded-for").unwrap_or_default().rsplit(',');
        let addresses = hops.map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        let mut client = peer;
        for address in addresses {
            client = address;
            if !trusts(address) {
                break;
            }
        }
        let base_url = match &options.base_url {
            Some(url) => url.clone(),
            None => {
                let host = headers.get(HOST).and_then(|host| host.to_str().ok());
                let host = forwarded("x-forwarded-host").or(host).or_else(|| Some(uri.authority()?.as_str()));
                let host = host.unwrap_or("localhost");
                if !is_host(host) {
                    return Err(BadRequest("expected a host name and a port in the header Host"));
                }
                let scheme = match forwarded("x-forwarded-proto") {
                    Some("https") => "https",
                    _ => "http",
                };
                format!("{scheme}://{host}")
            }
        };
        let query = Query::parse(uri.query().unwrap_or_default());
        let path = uri.path().strip_prefix('/').unwrap_or(uri.path()).to_owned();
        Ok(Self { method, path, query, headers, client, base_url })
    }

    /// Returns a header, if it is text.
    pub(crate) fn header(&self, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns whether the client prefers a web page: a browser.
    pub(crate) fn wants_page(&self) -> bool {
        let accept = self.header("accept").unwrap_or_default();
        accept.contains("text/html") || accept.contains("application/xhtml+xml")
    }
}

/// Returns whether a text is a host with an optional port, and cannot end a URL or a header early.
fn is_host(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(is_part)
}

/// The parameters of a query or a form, decoded, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses `application/x-www-form-urlencoded`. Of a parameter that is not UTF-8, the wrong bytes are replaced.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MOST_PARAMETERS);
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (form_decoded(name), form_decoded(value))
                })
                .collect(),
        )
    }

    /// Returns the first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Returns all values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the parameters of another query.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.truncate(MOST_PARAMETERS);
    }

    /// Adds a parameter.
    pub(crate) fn push(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }
}

/// Decodes a part of a query once: `+` is a space.
pub(crate) fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// Decodes a part of a path once. `None` if it is not percent-encoded UTF-8.
pub(crate) fn path_decoded(text: &str) -> Option<String> {
    d1_model::decode_path_segment(text).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn request(pairs: &[(&'static str, &str)], trusted: &[&str]) -> Result<Request, BadRequest> {
        let trusted_proxies = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let options = GatewayOptions { trusted_proxies, ..GatewayOptions::default() };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Request::of(Method::GET, &Uri::from_static("/a%2Fb?x=1+2"), headers, [10, 0, 0, 1].into(), &options)
    }

    #[test]
    fn forwarded_headers_count_from_trusted_proxies_only() {
        let headers = [
            ("host", "inner:80"),
            ("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.9"),
            ("x-forwarded-host", "data.example.org"),
            ("x-forwarded-proto", "https"),
        ];
        let trusted = request(&headers, &["10.0.0.0/8"]).unwrap();
        assert_eq!(
            (trusted.base_url.as_str(), trusted.client),
            ("https://data.example.org", [1, 2, 3, 4].into())
        );
        let other = request(&headers, &[]).unwrap();
        assert_eq!((other.base_url.as_str(), other.client), ("http://inner:80", [10, 0, 0, 1].into()));
    }

    #[test]
    fn a_host_that_could_end_a_url_is_refused() {
        for host in ["a/b", "a\"b", "a b", "user@a", "", "a?b", "a#b", "a\\b"] {
            assert!(request(&[("host", host)], &[]).is_err(), "{host}");
        }
        assert!(request(&[("host", "[::1]:8080")], &[]).is_ok());
    }

    #[test]
    fn queries_are_decoded_once() {
        let query = Query::parse("q=a+b%2Bc%2525&q=2&&empty=&alone&bad=%ff%zz");
        let pairs: Vec<_> = query.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [("q", "a b+c%25"), ("q", "2"), ("empty", ""), ("alone", ""), ("bad", "\u{fffd}%zz")];
        assert_eq!(pairs, expected);
        assert_eq!(path_decoded("a+b%2Fc").as_deref(), Some("a+b/c"));
        assert_eq!(path_decoded("%ff"), None);
    }
}
