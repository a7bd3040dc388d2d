//! The client of one node.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http_transfer::{HeaderValue, Session, SessionSettings, Url, is_loopback};
use tokio::sync::OnceCell;

use crate::error::{Context, ErrorKind, Result};
use crate::options::{ApiVersion, ClientOptions};

/// The base URL of DataONE's production Coordinating Node.
pub const PRODUCTION_COORDINATING_NODE: &str = "https://cn.dataone.org/cn";

/// The query parameters of the interface, which hold no secrets.
const LOGGED_PARAMETERS: [&str; 13] = [
    "fromDate",
    "toDate",
    "formatId",
    "identifier",
    "replicaStatus",
    "start",
    "count",
    "checksumAlgorithm",
    "q",
    "fl",
    "fq",
    "rows",
    "wt",
];

/// Reads from one Member Node or Coordinating Node. Cloning is cheap, and clones share everything.
///
/// [`list_nodes`](Self::list_nodes), [`formats`](Self::formats) and [`resolve`](Self::resolve) are calls of Coordinating
/// Nodes, [`node`](Self::node) is one of Member Nodes. A node answers with an error to a call that it does not offer.
#[derive(Clone)]
pub struct NodeClient {
    pub(crate) inner: Arc<Inner>,
}

/// A node that has an object.
#[derive(Clone, Debug)]
pub struct Location {
    /// The node's identifier, such as `urn:node:KNB`.
    pub node: Option<String>,
    /// The client of that node; it has no token.
    pub client: NodeClient,
}

pub(crate) struct Inner {
    pub(crate) base: Url,
    /// The base URL as text, without a slash at its end.
    pub(crate) name: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) version: OnceCell<ApiVersion>,
    /// The nodes of the network by their identifiers, if this is a Coordinating Node that was asked for them.
    pub(crate) nodes: OnceCell<HashMap<String, Location>>,
}

/// The session, options and version-independent settings that clients of several nodes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) session: Session,
    pub(crate) options: ClientOptions,
}

impl NodeClient {
    /// Makes a client from a node's base URL, such as `https://arcticdata.io/metacat/d1/mn`. A version at its end is
    /// dropped. No request is made.
    ///
    /// # Errors
    ///
    /// [`Settings`](ErrorKind::Settings) if the URL is not one of http or https, or has a user, a query or a fragment; if
    /// a token would go over the network without TLS; if certificates or proxies cannot be used.
    pub fn new(base_url: &str, options: &ClientOptions) -> Result<Self> {
        let context = Context::new("set up", "the client", base_url.into());
        let base =
            parse_base(base_url).map_err(|reason| context.error(ErrorKind::Settings).because(reason))?;
        let mut settings = SessionSettings::new(&base);
        settings.user_agent = &options.user_agent;
        settings.extra_authorities = &options.extra_authorities;
        settings.proxies = &options.proxies;
        settings.connect = options.times.connect;
        settings.silence = options.times.silence;
        settings.budget = options.budget;
        // A list of locations leads to many nodes, and the budget spares each of them.
        settings.budget_for_all = true;
        settings.logged_parameters = &LOGGED_PARAMETERS;
        let session = Session::new(&settings)
            .map_err(|error| context.error(ErrorKind::Settings).because(error.to_string()))?;
        let shared = Arc::new(Shared { session, options: options.clone() });
        let client = Self::with(base_url, shared, options.token.is_some(), &context)?;
        Ok(client.with_version(options.version))
    }

    /// Makes a client of another node that shares connections and settings, but neither token nor version.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new) for the URL.
    pub fn sibling(&self, base_url: &str) -> Result<Self> {
        let context = Context::new("set up", "the client", base_url.into());
        Self::with(base_url, self.inner.shared.clone(), false, &context)
    }

    /// Returns the node's base URL, without a version and without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.inner.name
    }

    pub(crate) fn with_version(mut self, version: Option<ApiVersion>) -> Self {
        if let (Some(version), Some(inner)) = (version, Arc::get_mut(&mut self.inner)) {
            inner.version = OnceCell::new_with(Some(version));
        }
        self
    }

    pub(crate) fn context(&self, operation: &'static str, target: impl fmt::Display) -> Context {
        Context::new(operation, target, self.inner.name.clone())
    }

    /// Returns the URL of a path below the base URL. The segments of the path are already encoded.
    pub(crate) fn url(&self, version: ApiVersion, path: &str, query: &str, context: &Context) -> Result<Url> {
        let base = self.inner.base.path().trim_end_matches('/');
        let wanted = format!("{base}/{}/{path}", version.as_str());
        let mut url = self.inner.base.clone();
        url.set_path(&wanted);
        if url.path() != wanted {
            // RFC 3986 section 5.2.4: the segments `.` and `..` cannot be written.
            let reason = "it cannot be written as a segment of a URL";
            return Err(context.error(ErrorKind::Settings).because(reason));
        }
        url.set_query((!query.is_empty()).then_some(query));
        Ok(url)
    }

    fn with(base_url: &str, shared: Arc<Shared>, shows_token: bool, context: &Context) -> Result<Self> {
        let fail = |reason: &str| context.error(ErrorKind::Settings).because(reason);
        let base = parse_base(base_url).map_err(fail)?;
        let token = shared.options.token.as_ref().filter(|_| shows_token);
        let authorization =
            token.map(|token| authorization(&base, token.reveal()).map_err(fail)).transpose()?;
        let name = base.as_str().trim_end_matches('/').into();
        let (version, nodes) = (OnceCell::new(), OnceCell::new());
        Ok(Self { inner: Arc::new(Inner { base, name, shared, authorization, version, nodes }) })
    }
}

impl fmt::Debug for NodeClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NodeClient").field("base_url", &self.inner.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inner").field("name", &self.name).finish_non_exhaustive()
    }
}

fn parse_base(text: &str) -> Result<Url, &'static str> {
    let mut url = Url::parse(text.trim()).map_err(|_| "expected a URL such as `https://HOST/PATH`")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("it is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL of a node must not have a user or a password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the URL of a node must not have a query or a fragment");
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v2").or_else(|| path.strip_suffix("/v1")).unwrap_or(path);
    let path = path.trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

fn authorization(base: &Url, token: &str) -> Result<HeaderValue, &'static str> {
    if base.scheme() != "https" && !is_loopback(base) {
        return Err("a token is not sent without TLS");
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| "the token has characters that HTTP does not allow")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use http_transfer::Secret;

    use super::*;

    #[test]
    fn base_urls_are_brought_into_one_form() {
        for (given, expected) in [
            ("https://cn.dataone.org/cn", "https://cn.dataone.org/cn"),
            (" https://cn.dataone.org/cn/v2/ ", "https://cn.dataone.org/cn"),
            ("https://mn.example/", "https://mn.example"),
            ("http://mn.example:8080/d1/mn//v1", "http://mn.example:8080/d1/mn"),
        ] {
            let client = NodeClient::new(given, &ClientOptions::default()).unwrap();
            assert_eq!(client.base_url(), expected, "{given}");
        }
        for given in ["cn.dataone.org/cn", "ftp://x/", "https://u:p@x/", "https://x/?a", "https://x/#a", ""] {
            let error = NodeClient::new(given, &ClientOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings, "{given}");
        }
    }

    #[test]
    fn a_token_is_not_sent_in_the_open() {
        let mut options = ClientOptions { token: Some(Secret::new("abc")), ..ClientOptions::default() };
        assert!(NodeClient::new("http://mn.example/mn", &options).is_err());
        for allowed in ["https://mn.example/mn", "http://127.0.0.1:80/mn"] {
            let client = NodeClient::new(allowed, &options).unwrap();
            assert!(client.inner.authorization.is_some());
            assert!(client.sibling(allowed).unwrap().inner.authorization.is_none());
            assert!(!format!("{client:?} {:?} {options:?}", client.inner).contains("abc"));
        }
        options.token = Some(Secret::new(" abc\n"));
        let client = NodeClient::new("https://mn.example/mn", &options).unwrap();
        assert_eq!(client.inner.authorization.as_ref().unwrap(), "Bearer abc");
        options.token = Some(Secret::new("a\nb"));
        assert!(NodeClient::new("https://mn.example/mn", &options).is_err());
    }

    #[test]
    fn paths_go_out_as_they_are_encoded() {
        let client = NodeClient::new("https://mn.example/d1/mn", &ClientOptions::default()).unwrap();
        let context = client.context("test", "x");
        let url = client.url(ApiVersion::V2, "object/a%2F%2Bb%3B'(x)*", "q=%22", &context).unwrap();
        assert_eq!(url.as_str(), "https://mn.example/d1/mn/v2/object/a%2F%2Bb%3B'(x)*?q=%22");
        for dots in [".", ".."] {
            let error = client.url(ApiVersion::V1, &format!("object/{dots}"), "", &context).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
        }
    }
}
