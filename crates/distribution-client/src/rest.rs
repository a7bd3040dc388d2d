//! A vendor's own interface beside the registry: JSON over HTTP with a token.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_transfer::{is_loopback, resolve, same_origin};
use oci_model::RepositoryName;
use registry_backend::{Error, ErrorKind, Result, Retry};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::auth::sensitive;
use crate::context::Context;
use crate::credentials::{Credential, CredentialSource};
use crate::http::link::next_link;
use crate::options::ClientOptions;
use crate::profile::Profile;
use crate::refusal::Refusal;
use crate::retry::with_retries;
use crate::transport::{Outgoing, OutgoingBody, Transport};

/// A vendor's interface, asked with the password or token that the caller has for the registry, as a bearer token.
pub struct RestApi {
    base: Url,
    host: String,
    repository: Option<RepositoryName>,
    credentials: Arc<dyn CredentialSource>,
    transport: Transport,
    profile: Profile,
    headers: HeaderMap,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestMethod {
    /// Reads.
    Get,
    /// Makes something, or does something.
    Post,
    /// Changes something.
    Put,
    /// Deletes something.
    Delete,
}

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// The most pages of a list that are followed.
const MOST_PAGES: usize = 10_000;

impl RestApi {
    /// Prepares to talk to the interface at a URL with the credentials for a registry's host.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the URL is none, or would send the token in the open.
    pub fn new(base: &str, host: &str, profile: Profile, options: &ClientOptions) -> Result<Self> {
        let invalid =
            |reason: &str| Error::new(ErrorKind::Invalid, "use the interface at", base).because(reason);
        let mut url = Url::parse(base).map_err(|_| invalid("it is no URL"))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(invalid("a token is sent with https only"));
        }
        // Names below it are added, which a URL without a slash at its end would lose.
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        // A client certificate is for the registry, which may be elsewhere.
        let own =
            Url::parse(&format!("https://{host}/")).map_err(|_| invalid("the registry's host is none"))?;
        Ok(Self {
            base: url,
            host: host.to_owned(),
            repository: None,
            credentials: options.credentials.clone(),
            transport: Transport::new(options, profile.times, &own)?,
            profile,
            headers: HeaderMap::new(),
        })
    }

    /// Returns the interface with the credentials for one repository of the registry.
    #[must_use]
    pub fn for_repository(mut self, repository: RepositoryName) -> Self {
        self.repository = Some(repository);
        self
    }

    /// Returns the interface with a header for all requests.
    ///
    /// # Panics
    ///
    /// If name or value cannot stand in a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// Sends a request; the path is given in its parts, in which any character may stand. Returns the answer's JSON,
    /// [`Value::Null`] if it has none.
    ///
    /// # Errors
    ///
    /// What the interface's refusal means, or what keeps it from being asked. `operation` and the last part of the path
    /// are in the error.
    pub async fn send(
        &self,
        operation: &'static str,
        method: RestMethod,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value> {
        let context = self.context(operation, path);
        let url = self.url(path, &[], &context)?;
        let (value, _) = self.exchange(method, url, body, &context).await?;
        Ok(value)
    }

    /// Reads all pages of a list.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`Protocol`](ErrorKind::Protocol) if a page is no list, or there is no end of them.
    pub async fn list(
        &self,
        operation: &'static str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>> {
        let context = self.context(operation, path);
        let mut next = Some(self.url(path, query, &context)?);
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { return Ok(all) };
            let (page, link) = self.exchange(RestMethod::Get, url.clone(), None, &context).await?;
            let Value::Array(entries) = page else { return Err(context.protocol("the answer is no list")) };
            all.extend(entries);
            next = link;
        }
        Err(context.protocol("the list has no end"))
    }

    fn context(&self, operation: &'static str, path: &[&str]) -> Context {
        let last = path.last().copied().unwrap_or_default();
        Context::new(operation, format_args!("{last} by {}", self.base.host_str().unwrap_or_default()))
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)], context: &Context) -> Result<Url> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(path);
            }
            Err(()) => return Err(context.error(ErrorKind::Invalid).because("the URL has no path")),
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn exchange(
        &self,
        method: RestMethod,
        url: Url,
        body: Option<&Value>,
        context: &Context,
    ) -> Result<(Value, Option<Url>)> {
        let body = body.map(|value| Bytes::from(value.to_string()));
        with_retries(&self.profile.retry, || async {
            let outgoing = self.outgoing(method, &url, body.clone()).await?;
            let mut incoming = self.transport.send(outgoing, context).await?;
            let (body, whole) =
                incoming.collect(LARGEST_ANSWER).await.map_err(|error| context.transfer(error))?;
            if !incoming.status.is_success() {
                let refusal = Refusal::new(incoming.status, &incoming.headers, &body);
                let error = refusal.into_error(self.profile.classify, context);
                // Who makes something a second time may have made two.
                return Err(if method == RestMethod::Post { error.with_retry(Retry::No) } else { error });
            }
            if !whole {
                return Err(context.error(ErrorKind::TooLarge).because("the answer is too large"));
            }
            let next =
                next_link(incoming.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()));
            let next =
                next.and_then(|target| resolve(&url, target).ok()).filter(|next| same_origin(next, &url));
            Ok((read(incoming.status, &body, context)?, next))
        })
        .await
    }

    async fn outgoing(&self, method: RestMethod, url: &Url, body: Option<Bytes>) -> Result<Outgoing> {
        let mut headers = self.headers.clone();
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        match self.credentials.credential(&self.host, self.repository.as_ref()).await? {
            Credential::Password { password: token, .. } | Credential::RegistryToken(token) => {
                headers.insert(AUTHORIZATION, sensitive(&format!("Bearer {}", token.reveal()))?);
            }
            // A refresh token is for the registry's token server alone.
            Credential::IdentityToken(_) | Credential::Anonymous => {}
        }
        let body = match body {
            None => OutgoingBody::Nothing,
            Some(bytes) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                OutgoingBody::Bytes(bytes)
            }
        };
        Ok(Outgoing { method: method.into(), url: url.clone(), headers, body })
    }
}

impl From<RestMethod> for Method {
    fn from(method: RestMethod) -> Self {
        match method {
            RestMethod::Get => Self::GET,
            RestMethod::Post => Self::POST,
            RestMethod::Put => Self::PUT,
            RestMethod::Delete => Self::DELETE,
        }
    }
}

impl fmt::Debug for RestApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RestApi").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

fn read(status: StatusCode, body: &[u8], context: &Context) -> Result<Value> {
    if body.is_empty() || status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    // Quay answers some requests with a word of plain text.
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) if status == StatusCode::CREATED => Ok(Value::Null),
        Err(error) => Err(context.protocol("the answer is no JSON").caused_by(error)),
    }
}
