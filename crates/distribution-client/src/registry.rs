//! One registry: requests with authorization, redirects and budget, whatever they are for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use oci_model::RepositoryName;
use registry_backend::{Access, Error, ErrorKind, Result, Retry};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, WARNING, WWW_AUTHENTICATE,
};
use reqwest::{Method, StatusCode, Url};

use crate::auth::{Authenticator, Authorization, Scopes};
use crate::body::{Meter, SourcePart};
use crate::budget::{Budget, Load};
use crate::context::Context;
use crate::http::location::{is_loopback, resolve, same_origin};
use crate::http::warning::Warnings;
use crate::options::{ClientOptions, Scheme};
use crate::profile::Profile;
use crate::referrers::SubjectLocks;
use crate::refusal::Refusal;
use crate::repository::Repository;
use crate::retry::with_retries;
use crate::transport::{Incoming, Outgoing, OutgoingBody, Transport};

/// A registry, with its connections, tokens and budget. Clones share them.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    host: String,
    base: Url,
    profile: Profile,
    transport: Transport,
    authenticator: Authenticator,
    budget: Budget,
    warnings: Warnings,
    api: AtomicU8,
    locks: SubjectLocks,
}

/// Whether a registry lists referrers by its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReferrersApi {
    Unknown,
    Present,
    Absent,
}

/// A request to the registry.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) scopes: Scopes,
}

/// What a request carries; it can be made again for every try.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Nothing,
    /// Nothing, but the answer may take as long as a commit.
    Commit,
    Bytes(&'a Bytes),
    Source(SourcePart<'a>),
}

/// A head with the place from which it came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) incoming: Incoming,
    pub(crate) url: Url,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) url: Url,
}

/// The most redirects that are followed for one request.
const MOST_REDIRECTS: u32 = 5;

/// How often a request is sent again with another token: once for a token that has expired, and once more where the
/// registry then wants one that allows more.
const MOST_CHALLENGES: u32 = 2;

/// The largest error body that is read, in bytes.
const LARGEST_ERROR: u64 = 64 * 1024;

impl Registry {
    /// Prepares to talk to a registry; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the host is no host, or a certificate or proxy cannot be used.
    pub fn new(host: &str, profile: Profile, options: &ClientOptions) -> Result<Self> {
        let base = base_url(host, options.scheme).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "use", host).because("it is not a registry's host")
        })?;
        let transport = Transport::new(options, profile.times)?;
        let inner = Inner {
            authenticator: Authenticator::new(host, &base, options.credentials.clone(), &profile.retry),
            budget: Budget::new(profile.budget),
            warnings: Warnings::new(host, options.warnings.clone()),
            host: host.to_owned(),
            base,
            transport,
            profile,
            api: AtomicU8::new(0),
            locks: SubjectLocks::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the host, with its port if it has one.
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// Returns what is known about the registry.
    pub fn profile(&self) -> &Profile {
        &self.inner.profile
    }

    /// Returns a repository of the registry.
    pub fn repository(&self, name: RepositoryName, access: Access) -> Repository {
        Repository::new(self.clone(), name, access)
    }

    /// Asks the registry whether it is one and accepts the caller's credentials (distribution-spec, "Determining
    /// Support").
    ///
    /// # Errors
    ///
    /// [`Denied`](ErrorKind::Denied) if it does not accept them; what keeps it from being asked.
    pub async fn check_login(&self) -> Result<()> {
        let context = Context::new("log in to", self.host());
        let call = Call::new(Method::GET, self.url("", &context)?, Scopes::none());
        let answer = self.exchange(&call, Payload::Nothing, LARGEST_ERROR, &context).await?;
        self.expect(answer, &[StatusCode::OK], &context).map(drop)
    }

    /// Returns the URL of a path below `/v2/`.
    pub(crate) fn url(&self, path: &str, context: &Context) -> Result<Url> {
        let url = self.inner.base.join(path);
        url.map_err(|error| {
            context.error(ErrorKind::Invalid).because(format!("`{path}` is no path")).caused_by(error)
        })
    }

    pub(crate) fn is_own(&self, url: &Url) -> bool {
        same_origin(&self.inner.base, url)
    }

    pub(crate) fn referrers_api(&self) -> ReferrersApi {
        match self.inner.api.load(Ordering::Relaxed) {
            1 => ReferrersApi::Present,
            2 => ReferrersApi::Absent,
            _ => ReferrersApi::Unknown,
        }
    }

    pub(crate) fn note_referrers_api(&self, present: bool) {
        self.inner.api.store(if present { 1 } else { 2 }, Ordering::Relaxed);
    }

    pub(crate) fn subject_locks(&self) -> &SubjectLocks {
        &self.inner.locks
    }

    /// Sends a request until it has a whole answer that trying again would not better.
    ///
    /// # Errors
    ///
    /// If there is no such answer, or a successful one has more than `limit` bytes.
    pub(crate) async fn exchange(
        &self,
        call: &Call,
        payload: Payload<'_>,
        limit: u64,
        context: &Context,
    ) -> Result<Answer> {
        with_retries(&self.inner.profile.retry, || self.exchange_once(call, payload, limit, context)).await
    }

    /// As [`exchange`](Self::exchange), but only once.
    pub(crate) async fn exchange_once(
        &self,
        call: &Call,
        payload: Payload<'_>,
        limit: u64,
        context: &Context,
    ) -> Result<Answer> {
        let received = self.send(call, payload, context).await?;
        let answer = self.whole(received, limit, context).await?;
        let error = self.refusal(&answer).into_error(self.inner.profile.classify, context);
        if answer.status.is_success() || error.retry() == Retry::No {
            return Ok(answer);
        }
        self.slow_down(&error);
        Err(error)
    }

    /// Reads the rest of an answer.
    pub(crate) async fn whole(&self, received: Received, limit: u64, context: &Context) -> Result<Answer> {
        let Received { mut incoming, url } = received;
        let is_success = incoming.status.is_success();
        let limit = if is_success { limit } else { LARGEST_ERROR };
        let (body, whole) = incoming.collect(limit, context).await?;
        if is_success && !whole {
            let error = context.error(ErrorKind::TooLarge);
            return Err(error.because(format!("the answer has more than {limit} bytes")));
        }
        let Incoming { status, headers, .. } = incoming;
        Ok(Answer { status, headers, body, url })
    }

    /// Returns the answer if its status is one of these.
    ///
    /// # Errors
    ///
    /// What the registry means by another one.
    pub(crate) fn expect(
        &self,
        answer: Answer,
        statuses: &[StatusCode],
        context: &Context,
    ) -> Result<Answer> {
        if statuses.contains(&answer.status) { Ok(answer) } else { Err(self.error(&answer, context)) }
    }

    pub(crate) fn error(&self, answer: &Answer, context: &Context) -> Error {
        let error = self.refusal(answer).into_error(self.inner.profile.classify, context);
        self.slow_down(&error);
        // A signed link that has expired: the registry makes a new one.
        if !self.is_own(&answer.url) && matches!(answer.status.as_u16(), 400..=410) {
            return error.with_retry(Retry::Yes);
        }
        error
    }

    pub(crate) fn refusal(&self, answer: &Answer) -> Refusal {
        Refusal::new(answer.status, &answer.headers, &answer.body)
    }

    /// Lets everyone wait for whom the registry asks to wait.
    fn slow_down(&self, error: &Error) {
        if let (ErrorKind::RateLimited, Retry::After(wait)) = (error.kind(), error.retry()) {
            self.inner.budget.pause(wait.min(self.inner.profile.retry.longest_stated_wait));
        }
    }

    /// Sends a request with authorization; renews a token that is refused, and follows redirects.
    pub(crate) async fn send(
        &self,
        call: &Call,
        payload: Payload<'_>,
        context: &Context,
    ) -> Result<Received> {
        let (received, _) = self.send_metered(call, payload, context).await;
        received
    }

    /// As [`send`](Self::send), with how many bytes of content the connection took in the last try.
    pub(crate) async fn send_metered(
        &self,
        call: &Call,
        payload: Payload<'_>,
        context: &Context,
    ) -> (Result<Received>, u64) {
        let mut taken = 0;
        let received = self.send_following(call, payload, context, &mut taken).await;
        (received, taken)
    }

    async fn send_following(
        &self,
        call: &Call,
        payload: Payload<'_>,
        context: &Context,
        taken: &mut u64,
    ) -> Result<Received> {
        let Inner { transport, authenticator, .. } = &*self.inner;
        let mut call = call.clone();
        let mut fresh: Option<Authorization> = None;
        let (mut redirects, mut challenges) = (0, 0);
        loop {
            let own = self.is_own(&call.url);
            let authorization = match fresh.take() {
                _ if !own => None,
                Some(fresh) => Some(fresh),
                None => authenticator.authorization(transport, &call.scopes).await?,
            };
            let incoming = self.send_once(&call, payload, authorization.as_ref(), taken, context).await?;
            let status = incoming.status;
            if status == StatusCode::UNAUTHORIZED && own && challenges < MOST_CHALLENGES {
                challenges += 1;
                fresh = Some(self.meet_challenge(&call, authorization.as_ref(), incoming, context).await?);
            } else if let Some(next) = redirect(&call, &incoming, context)? {
                redirects += 1;
                if redirects > MOST_REDIRECTS {
                    return Err(context.protocol("it redirects without end"));
                }
                call = next;
            } else {
                return Ok(Received { incoming, url: call.url });
            }
        }
    }

    async fn send_once(
        &self,
        call: &Call,
        payload: Payload<'_>,
        authorization: Option<&Authorization>,
        taken: &mut u64,
        context: &Context,
    ) -> Result<Incoming> {
        let Inner { transport, budget, warnings, .. } = &*self.inner;
        let load = match payload {
            Payload::Source(_) | Payload::Commit => Load::Upload,
            Payload::Nothing | Payload::Bytes(_) => Load::Small,
        };
        // Other hosts have budgets of their own, which nobody states.
        let _permit = if self.is_own(&call.url) { budget.enter(load).await } else { None };
        let mut headers = call.headers.clone();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.header()?);
        }
        let mut meter: Option<Arc<Meter>> = None;
        let body = match payload {
            Payload::Nothing => OutgoingBody::Nothing,
            Payload::Commit => OutgoingBody::Commit,
            Payload::Bytes(bytes) => OutgoingBody::Bytes(bytes.clone()),
            Payload::Source(part) => {
                let (body, own) = part.open(context).await?;
                meter = Some(own);
                body
            }
        };
        let outgoing = Outgoing { method: call.method.clone(), url: call.url.clone(), headers, body };
        let sent = transport.send(outgoing, context).await;
        *taken = meter.map_or(0, |meter| meter.taken());
        let incoming = sent?;
        for value in incoming.headers.get_all(WARNING).iter().filter_map(|value| value.to_str().ok()) {
            warnings.note(value);
        }
        Ok(incoming)
    }

    /// Returns what to show the registry after a `401`.
    async fn meet_challenge(
        &self,
        call: &Call,
        rejected: Option<&Authorization>,
        mut incoming: Incoming,
        context: &Context,
    ) -> Result<Authorization> {
        let Inner { transport, authenticator, .. } = &*self.inner;
        let headers = incoming.headers.clone();
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        // Read to its end, so that the connection can be used again; what it says is of no use.
        let _ = incoming.collect(LARGEST_ERROR, context).await;
        authenticator.after_challenge(transport, &call.scopes, rejected, values, context).await
    }
}

impl Call {
    pub(crate) fn new(method: Method, url: Url, scopes: Scopes) -> Self {
        Self { method, url, headers: HeaderMap::new(), scopes }
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: reqwest::header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl Answer {
    #[cfg(test)]
    pub(crate) fn for_test(status: u16, body: &str) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            url: base_url("r.example", Scheme::Auto).unwrap_or_else(|| unreachable!()),
        }
    }

    /// Returns a header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Returns the request that a redirect asks for, if the answer is one.
fn redirect(call: &Call, incoming: &Incoming, context: &Context) -> Result<Option<Call>> {
    let is_read = call.method == Method::GET || call.method == Method::HEAD;
    let follows = match incoming.status.as_u16() {
        301 | 302 | 303 => is_read,
        307 | 308 => true,
        _ => false,
    };
    let (true, Some(location)) = (follows, incoming.header(LOCATION.as_str())) else { return Ok(None) };
    let url = resolve(&call.url, location)
        .map_err(|reason| context.protocol(format!("it redirects to where it should not: {reason}")))?;
    if !is_read && !same_origin(&call.url, &url) {
        return Err(context.protocol("it redirects content to another host"));
    }
    Ok(Some(Call { url, ..call.clone() }))
}

/// The URL of `/v2/`.
fn base_url(host: &str, scheme: Scheme) -> Option<Url> {
    // Docker Hub's name is not that of its registry (moby registry/config.go).
    let host = if matches!(host, "docker.io" | "index.docker.io") { "registry-1.docker.io" } else { host };
    let parse = |scheme: &str| Url::parse(&format!("{scheme}://{host}/v2/")).ok();
    let secure = parse("https")?;
    let plain = match scheme {
        Scheme::Https => false,
        Scheme::Http => true,
        Scheme::Auto => is_loopback(&secure),
    };
    let is_host_only = secure.path() == "/v2/" && secure.username().is_empty() && secure.query().is_none();
    if !is_host_only {
        return None;
    }
    if plain { parse("http") } else { Some(secure) }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("host", &self.inner.host)
            .field("profile", &self.inner.profile.name)
            .finish_non_exhaustive()
    }
}
