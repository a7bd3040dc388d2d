//! One registry: requests with authorization, redirects and budget.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_transfer::{
    Answer, Content, Exchange, HeaderMap, HeaderName, HeaderValue, Load, Method, Network, Payload, Received,
    Redirects, Request, SendError, Session, SessionSettings, StatusCode, Url, same_origin,
};
use registry_backend::{BlobSource, Error, ErrorKind, Result, Retry};
use reqwest::header::{WARNING, WWW_AUTHENTICATE};

use crate::auth::{Authenticator, Authorization, Scopes};
use crate::context::{Context, Failures, Retries};
use crate::options::ClientOptions;
use crate::profile::{Profile, TimeLimits};
use crate::refusal::Refusal;
use crate::upload::open_sessions::OpenSessions;
use crate::warning::Warnings;

/// The largest error body that is read, in bytes.
pub(crate) const LARGEST_ERROR: u64 = 64 * 1024;

/// The largest answer that is read where only the head counts, in bytes.
pub(crate) const SMALL_ANSWER: u64 = 64 * 1024;

/// How often a request is sent again with another token: once for an expired token, and a second time if the registry
/// then wants one with more rights.
const MOST_CHALLENGES: u32 = 2;

/// The query parameters that hold no secrets. Upload sessions and signed links carry theirs in the query.
const LOGGED_PARAMETERS: [&str; 8] =
    ["digest", "mount", "from", "n", "last", "artifactType", "scope", "service"];

/// A registry, with its connections, tokens and budget. Clones share them.
///
/// ```
/// use distribution_client::{ClientOptions, Profile, Registry};
///
/// let registry = Registry::new("registry.example:5000", Profile::generic(), &ClientOptions::default())?;
/// assert_eq!(registry.host(), "registry.example:5000");
/// # Ok::<(), registry_backend::Error>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    host: String,
    base: Url,
    profile: Profile,
    session: Arc<Session>,
    retries: Retries,
    authenticator: Authenticator,
    options: ClientOptions,
    warnings: Warnings,
    referrers_api: AtomicU8,
    locks: SubjectLocks,
    open_sessions: OpenSessions,
}

/// Tells whether a registry has the referrers API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReferrersApi {
    Unknown,
    Present,
    Absent,
}

/// One lock for each subject whose fallback tag is being changed, so that writers of one process take turns.
#[derive(Debug, Default)]
pub(crate) struct SubjectLocks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl SubjectLocks {
    pub(crate) fn of(&self, subject: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(subject.to_owned()).or_default().clone()
    }
}

/// A request to the registry.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) scopes: Scopes,
}

/// The content of a request; it is opened for every try.
#[derive(Clone, Copy)]
pub(crate) enum Sent<'a> {
    Nothing,
    /// Nothing, but the answer may take as long as a commit.
    Commit,
    Bytes(&'a Bytes),
    Source(SourcePart<'a>),
}

/// A part of a source that is sent as the content of one request.
#[derive(Clone, Copy)]
pub(crate) struct SourcePart<'a> {
    pub(crate) source: &'a dyn BlobSource,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Registry {
    /// Prepares to talk to a registry. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the host is not a host, or a certificate or proxy cannot be used.
    pub fn new(host: &str, profile: Profile, options: &ClientOptions) -> Result<Self> {
        let base = base_url(host, options).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "use registry", host).because("expected a host, or HOST:PORT")
        })?;
        let session = Arc::new(session(options, &profile, &base, &base)?);
        let retries = Retries {
            rules: profile.retry.clone(),
            session: session.clone(),
            url: base.clone(),
            observer: options.waits.clone(),
            answer_limit: profile.times.silence,
        };
        let authenticator = Authenticator::new(host, &base, options.credentials.clone(), retries.clone());
        let warnings = Warnings::new(host, options.warnings.clone());
        let inner = Inner {
            host: host.to_owned(),
            base,
            profile,
            session,
            retries,
            authenticator,
            options: options.clone(),
            warnings,
            referrers_api: AtomicU8::new(0),
            locks: SubjectLocks::default(),
            open_sessions: OpenSessions::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the host, with a port if it was given.
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// Returns the profile.
    pub fn profile(&self) -> &Profile {
        &self.inner.profile
    }

    /// Asks whether the host is a registry and accepts the caller's credentials (distribution-spec, "Determining
    /// Support").
    ///
    /// # Errors
    ///
    /// [`Denied`](ErrorKind::Denied) if it does not accept them; if it cannot be asked.
    pub async fn check_login(&self) -> Result<()> {
        let context = Context::new("log in to", self.host());
        let call = Call::new(Method::GET, self.url("", &context)?, Scopes::none());
        let answer = self.exchange(&call, Sent::Nothing, LARGEST_ERROR, &context).await?;
        self.expect(answer, &[StatusCode::OK], &context).map(drop)
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// Returns the URL of a path below `/v2/`.
    pub(crate) fn url(&self, path: &str, context: &Context) -> Result<Url> {
        let url = self.inner.base.join(path);
        url.map_err(|error| {
            context
                .error(ErrorKind::Invalid)
                .because(format!("`{path}` cannot be written as a path"))
                .caused_by(error)
        })
    }

    pub(crate) fn is_own(&self, url: &Url) -> bool {
        same_origin(&self.inner.base, url)
    }

    /// Returns the network of the registry, for places that it names.
    pub(crate) async fn network(&self) -> Network {
        self.inner.session.network_of(&self.inner.base).await
    }

    pub(crate) fn retries(&self) -> &Retries {
        &self.inner.retries
    }

    pub(crate) fn failures(&self) -> Failures {
        self.inner.retries.failures()
    }

    pub(crate) fn referrers_api(&self) -> ReferrersApi {
        match self.inner.referrers_api.load(Ordering::Relaxed) {
            1 => ReferrersApi::Present,
            2 => ReferrersApi::Absent,
            _ => ReferrersApi::Unknown,
        }
    }

    pub(crate) fn note_referrers_api(&self, present: bool) {
        self.inner.referrers_api.store(if present { 1 } else { 2 }, Ordering::Relaxed);
    }

    pub(crate) fn subject_locks(&self) -> &SubjectLocks {
        &self.inner.locks
    }

    pub(crate) fn open_sessions(&self) -> &OpenSessions {
        &self.inner.open_sessions
    }

    /// Sends a request until it has a whole answer that another try would not improve.
    ///
    /// # Errors
    ///
    /// If there is no such answer, or a successful one has more than `limit` bytes.
    pub(crate) async fn exchange(
        &self,
        call: &Call,
        sent: Sent<'_>,
        limit: u64,
        context: &Context,
    ) -> Result<Answer> {
        self.retries().retry(|| self.exchange_once(call, sent, limit, context)).await
    }

    /// As [`exchange`](Self::exchange), but only once.
    pub(crate) async fn exchange_once(
        &self,
        call: &Call,
        sent: Sent<'_>,
        limit: u64,
        context: &Context,
    ) -> Result<Answer> {
        let received = self.send(call, sent, context).await?;
        let answer = self.whole(received, limit, context).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let error = self.refusal(&answer).into_error(self.inner.profile.classify, context);
        if error.retry() == Retry::No {
            return Ok(answer);
        }
        self.slow_down(&answer.url, &error);
        Err(error)
    }

    /// Reads the rest of an answer.
    pub(crate) async fn whole(&self, received: Received, limit: u64, context: &Context) -> Result<Answer> {
        let answer = received.whole(limit, LARGEST_ERROR).await.map_err(|error| context.transfer(error))?;
        if answer.status.is_success() && !answer.is_whole {
            let error = context.error(ErrorKind::TooLarge);
            return Err(error.because(format!("the answer has more than {limit} bytes")));
        }
        Ok(answer)
    }

    /// Returns the answer if its status is one of these.
    ///
    /// # Errors
    ///
    /// The meaning of any other status.
    pub(crate) fn expect(
        &self,
        answer: Answer,
        statuses: &[StatusCode],
        context: &Context,
    ) -> Result<Answer> {
        if statuses.contains(&answer.status) { Ok(answer) } else { Err(self.error(&answer, context)) }
    }

    /// Returns the error of an answer that is not the expected one.
    pub(crate) fn error(&self, answer: &Answer, context: &Context) -> Error {
        let error = self.refusal(answer).into_error(self.inner.profile.classify, context);
        self.slow_down(&answer.url, &error);
        // A signed link that has expired: the registry makes a new one.
        if !self.is_own(&answer.url) && matches!(answer.status.as_u16(), 400..=410) {
            return error.with_retry(Retry::Yes);
        }
        error
    }

    pub(crate) fn refusal(&self, answer: &Answer) -> Refusal {
        Refusal::new(answer.status, &answer.headers, &answer.body)
    }

    /// Sends a request once, and returns the head of the answer.
    pub(crate) async fn send(&self, call: &Call, sent: Sent<'_>, context: &Context) -> Result<Received> {
        let (received, _) = self.send_counted(call, sent, context).await;
        received
    }

    /// As [`send`](Self::send), with how many bytes of content the connection took in the last try.
    pub(crate) async fn send_counted(
        &self,
        call: &Call,
        sent: Sent<'_>,
        context: &Context,
    ) -> (Result<Received>, u64) {
        let TimeLimits { silence, commit, .. } = self.inner.profile.times;
        let mut request = call.request.clone();
        (request.load, request.answer) = match sent {
            Sent::Nothing => (Load::Small, silence),
            Sent::Bytes(_) => (Load::Small, commit),
            Sent::Commit | Sent::Source(_) => (Load::Upload, commit),
        };
        request.moves_content |= matches!(sent, Sent::Source(_));
        let mut exchange = RegistryExchange {
            registry: self,
            scopes: &call.scopes,
            sent,
            context,
            shown: None,
            fresh: None,
            challenges: 0,
            taken: 0,
        };
        let received = self.inner.session.send(&request, &mut exchange).await;
        let taken = exchange.taken;
        if let Ok(received) = &received {
            let warnings = received.incoming.headers.get_all(WARNING).iter();
            warnings
                .filter_map(|value| value.to_str().ok())
                .for_each(|value| self.inner.warnings.note(value));
        }
        (received, taken)
    }

    /// Lets everyone wait if the registry asks for fewer requests. Without a stated time, the rate alone falls.
    fn slow_down(&self, url: &Url, error: &Error) {
        if error.kind() != ErrorKind::RateLimited {
            return;
        }
        let wait = match error.retry() {
            Retry::After(wait) => wait.min(self.inner.profile.retry.longest_stated_wait),
            Retry::Yes | Retry::No => Duration::ZERO,
        };
        self.inner.session.pause(url, wait);
    }
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

impl Call {
    /// Returns a request. The time limit for its answer is decided when it is sent.
    pub(crate) fn new(method: Method, url: Url, scopes: Scopes) -> Self {
        Self { request: Request::new(method, url, Duration::ZERO), scopes }
    }

    /// Returns the request with redirects to other hosts as answers, which are not followed.
    #[must_use]
    pub(crate) fn staying(mut self) -> Self {
        self.request.redirects = Redirects::SameOrigin;
        self
    }

    /// Returns the request with a connection of its own for a large answer.
    #[must_use]
    pub(crate) fn moving_content(mut self) -> Self {
        self.request.moves_content = true;
        self
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.request.headers.insert(name, value);
        self
    }

    /// Returns the request with one more parameter in its query.
    #[must_use]
    pub(crate) fn with_parameter(mut self, name: &str, value: &str) -> Self {
        self.request.url.query_pairs_mut().append_pair(name, value);
        self
    }
}

/// Shows tokens to the registry itself, and sends content.
struct RegistryExchange<'a> {
    registry: &'a Registry,
    scopes: &'a Scopes,
    sent: Sent<'a>,
    context: &'a Context,
    /// The authorization of the last request.
    shown: Option<Authorization>,
    /// The authorization for the next request, after a challenge.
    fresh: Option<Authorization>,
    challenges: u32,
    taken: u64,
}

impl Exchange for RegistryExchange<'_> {
    type Error = Error;

    fn failed(&self, error: SendError) -> Error {
        let Inner { base, session, .. } = &*self.registry.inner;
        self.context.send_error(error, base, session)
    }

    async fn authorization(&mut self, url: &Url) -> Result<Option<HeaderValue>> {
        if !self.registry.is_own(url) {
            return Ok(None);
        }
        self.shown = match self.fresh.take() {
            Some(fresh) => Some(fresh),
            None => self.registry.inner.authenticator.authorization(self.scopes).await?,
        };
        self.shown.as_ref().map(Authorization::header).transpose()
    }

    async fn challenged(&mut self, url: &Url, headers: &HeaderMap) -> Result<bool> {
        if !self.registry.is_own(url) || self.challenges >= MOST_CHALLENGES {
            return Ok(false);
        }
        self.challenges += 1;
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let values: Vec<&str> = values.collect();
        let authenticator = &self.registry.inner.authenticator;
        let fresh = authenticator.after_challenge(self.scopes, self.shown.as_ref(), &values, self.context);
        self.fresh = Some(fresh.await?);
        Ok(true)
    }

    async fn payload(&mut self) -> Result<Payload<Error>> {
        Ok(match self.sent {
            Sent::Nothing | Sent::Commit => Payload::Nothing,
            Sent::Bytes(bytes) => Payload::Content(Content::bytes(bytes.clone())),
            Sent::Source(SourcePart { source, offset, length }) => {
                let is_last = offset + length == source.size();
                Payload::Content(Content::new(source.open(offset).await?, length, is_last))
            }
        })
    }

    fn note_taken(&mut self, bytes: u64) {
        self.taken = bytes;
    }
}

/// Prepares a session with a service at `origin` for the registry at `registry`, the only one that sees the caller's
/// certificate.
pub(crate) fn session(
    options: &ClientOptions,
    profile: &Profile,
    origin: &Url,
    registry: &Url,
) -> Result<Session> {
    let mut settings = SessionSettings::new(origin);
    settings.user_agent = &options.user_agent;
    settings.extra_authorities = &options.extra_authorities;
    settings.client_certificate =
        options.client_certificate.as_ref().filter(|_| same_origin(origin, registry));
    settings.proxies = &options.proxies;
    settings.connect = profile.times.connect;
    settings.silence = profile.times.silence;
    settings.budget = profile.budget;
    settings.logged_parameters = &LOGGED_PARAMETERS;
    Session::new(&settings)
        .map_err(|error| Error::new(ErrorKind::Invalid, "use", error.what).because(error.reason))
}

/// Returns the URL of `/v2/`.
fn base_url(host: &str, options: &ClientOptions) -> Option<Url> {
    let scheme = if options.speaks_plainly_to(host) { "http" } else { "https" };
    // Docker Hub's registry has another host than its name (moby registry/config.go).
    let host = if matches!(host, "docker.io" | "index.docker.io") { "registry-1.docker.io" } else { host };
    let url = Url::parse(&format!("{scheme}://{host}/v2/")).ok()?;
    let is_host_only = url.path() == "/v2/" && url.username().is_empty() && url.query().is_none();
    is_host_only.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subject_has_one_lock() {
        let locks = SubjectLocks::default();
        let one = locks.of("a");
        assert!(Arc::ptr_eq(&one, &locks.of("a")));
        assert!(!Arc::ptr_eq(&one, &locks.of("b")));
    }
}
