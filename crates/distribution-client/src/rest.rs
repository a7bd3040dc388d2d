//! A vendor's own API beside the registry: JSON over HTTP with a token.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_transfer::{
    Answer, Content, Exchange, HeaderMap, HeaderName, HeaderValue, Method, Payload, Request, SendError,
    StatusCode, Url, is_loopback, resolve, same_origin,
};
use oci_model::RepositoryName;
use registry_backend::{Error, ErrorKind, Result, Retry};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use serde_json::Value;

use crate::auth::sensitive;
use crate::context::{Context, Retries};
use crate::credentials::{Credential, CredentialSource};
use crate::headers::next_link;
use crate::lists::unreadable;
use crate::options::ClientOptions;
use crate::profile::Profile;
use crate::refusal::Refusal;
use crate::registry::session;

/// A vendor's API. The caller's password or token for the registry is its bearer token.
pub struct RestApi {
    base: Url,
    host: String,
    repository: Option<RepositoryName>,
    account: Option<&'static str>,
    credentials: Arc<dyn CredentialSource>,
    retries: Retries,
    profile: Profile,
    headers: HeaderMap,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestMethod {
    /// Reads.
    Get,
    /// Creates something, or does something.
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
    /// Prepares to talk to the API at a URL with the credentials for a registry's host.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if it is not a URL, or would send the token over plain HTTP.
    pub fn new(base: &str, host: &str, profile: Profile, options: &ClientOptions) -> Result<Self> {
        let invalid = |reason: &str| Error::new(ErrorKind::Invalid, "use the API at", base).because(reason);
        let mut url = Url::parse(base).map_err(|_| invalid("expected a URL"))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(invalid("a token is sent over https only"));
        }
        // Names are added below it. A URL without a slash at its end would lose its last segment.
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        // Only the registry sees a client certificate, and the API may be elsewhere.
        let registry =
            Url::parse(&format!("https://{host}/")).map_err(|_| invalid("expected the registry's host"))?;
        let retries = Retries {
            rules: profile.retry.clone(),
            session: Arc::new(session(options, &profile, &url, &registry)?),
            url: url.clone(),
            observer: options.waits.clone(),
            answer_limit: profile.times.silence,
        };
        Ok(Self {
            base: url,
            host: host.to_owned(),
            repository: None,
            account: None,
            credentials: options.credentials.clone(),
            retries,
            profile,
            headers: HeaderMap::new(),
        })
    }

    /// Returns the API with the credentials for one repository of the registry.
    #[must_use]
    pub fn for_repository(mut self, repository: RepositoryName) -> Self {
        self.repository = Some(repository);
        self
    }

    /// Returns the API that gets the password of this user only: the passwords of others are not tokens.
    #[must_use]
    pub fn for_account(mut self, username: &'static str) -> Self {
        self.account = Some(username);
        self
    }

    /// Returns the API with a header for all requests.
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
    /// The meaning of a refusal; if the API cannot be asked. `operation` and the last part of the path are in the error.
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

    /// Reads a document; the path is given in its parts, and the parameters as pairs.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn get(&self, operation: &'static str, path: &[&str], query: &[(&str, &str)]) -> Result<Value> {
        let context = self.context(operation, path);
        let url = self.url(path, query, &context)?;
        let (value, _) = self.exchange(RestMethod::Get, url, None, &context).await?;
        Ok(value)
    }

    /// Reads all pages of a list.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`Protocol`](ErrorKind::Protocol) if a page is not a list, or the list has no end.
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
            let Value::Array(entries) = page else {
                return Err(context.protocol("expected a list, found another JSON value"));
            };
            all.extend(entries);
            next = link;
        }
        Err(context.protocol("the list has no end"))
    }

    fn context(&self, operation: &'static str, path: &[&str]) -> Context {
        let last = path.iter().rfind(|part| !part.is_empty()).copied().unwrap_or_default();
        Context::new(operation, format_args!("{last} by {}", self.base.host_str().unwrap_or_default()))
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)], context: &Context) -> Result<Url> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(path);
            }
            Err(()) => return Err(context.error(ErrorKind::Invalid).because("expected a URL with a path")),
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
        let mut request = Request::new(method.into(), url.clone(), self.retries.answer_limit);
        request.headers.clone_from(&self.headers);
        request.headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        if body.is_some() {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answer = self
            .retries
            .retry(|| async {
                let mut exchange = RestExchange { api: self, method, body: body.as_ref(), context };
                let received = self.retries.session.send(&request, &mut exchange).await?;
                let answer = received.whole(LARGEST_ANSWER, LARGEST_ANSWER).await;
                let answer = answer.map_err(|error| once(method, context.transfer(error)))?;
                if answer.status.is_success() {
                    return Ok(answer);
                }
                let refusal = Refusal::new(answer.status, &answer.headers, &answer.body);
                let error = refusal.into_error(self.profile.classify, context);
                // The API has not done anything that it refuses because of a rate limit.
                let is_untouched = error.kind() == ErrorKind::RateLimited;
                Err(if is_untouched { error } else { once(method, error) })
            })
            .await?;
        if !answer.is_whole {
            let error = context.error(ErrorKind::TooLarge);
            return Err(error.because(format!("the answer has more than {LARGEST_ANSWER} bytes")));
        }
        let links = answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let network = self.retries.session.network_of(&url).await;
        let next = next_link(links).and_then(|target| resolve(&url, network, target).ok());
        let next = next.filter(|next| same_origin(next, &url));
        Ok((read(&answer, context)?, next))
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>> {
        match self.credentials.credential(&self.host, self.repository.as_ref()).await? {
            Credential::Password { username, .. }
                if self.account.is_some_and(|account| account != username) =>
            {
                Ok(None)
            }
            Credential::Password { password: token, .. } | Credential::RegistryToken(token) => {
                sensitive(&format!("Bearer {}", token.reveal())).map(Some)
            }
            // A refresh token is for the registry's token server alone.
            Credential::IdentityToken(_) | Credential::Anonymous => Ok(None),
        }
    }
}

/// Returns the error of a request that was or may have been received. A `POST` is not repeated: it could create two
/// things.
fn once(method: RestMethod, error: Error) -> Error {
    if method == RestMethod::Post { error.with_retry(Retry::No) } else { error }
}

/// Shows the token to the API itself.
struct RestExchange<'a> {
    api: &'a RestApi,
    method: RestMethod,
    body: Option<&'a Bytes>,
    context: &'a Context,
}

impl Exchange for RestExchange<'_> {
    type Error = Error;

    fn failed(&self, error: SendError) -> Error {
        let was_sent = matches!(&error, SendError::Transfer { error, .. } if error.may_have_been_sent());
        let error = self.context.send_error(error, &self.api.base, &self.api.retries.session);
        if was_sent { once(self.method, error) } else { error }
    }

    async fn authorization(&mut self, url: &Url) -> Result<Option<HeaderValue>> {
        if same_origin(&self.api.base, url) { self.api.authorization().await } else { Ok(None) }
    }

    async fn payload(&mut self) -> Result<Payload<Error>> {
        Ok(match self.body {
            Some(bytes) => Payload::Content(Content::bytes(bytes.clone())),
            None => Payload::Nothing,
        })
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

fn read(answer: &Answer, context: &Context) -> Result<Value> {
    if answer.body.is_empty() || answer.status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    match serde_json::from_slice(&answer.body) {
        Ok(value) => Ok(value),
        // Quay answers some requests with a word of plain text.
        Err(_) if answer.status == StatusCode::CREATED => Ok(Value::Null),
        Err(error) => Err(unreadable(answer, "JSON", error, context)),
    }
}
