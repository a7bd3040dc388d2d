//! One registry: requests with authorization, redirects and budget, whatever they are for.

mod exchange;
mod send;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use http_transfer::same_origin;
use oci_model::RepositoryName;
use registry_backend::{Access, Error, ErrorKind, Result};
use reqwest::{Method, StatusCode, Url};

use crate::auth::{Authenticator, Scopes};
use crate::budget::Budget;
use crate::context::Context;
use crate::http::warning::Warnings;
use crate::options::ClientOptions;
use crate::profile::Profile;
use crate::referrers::SubjectLocks;
use crate::repository::Repository;
use crate::transport::Transport;
use exchange::LARGEST_ERROR;
pub(crate) use exchange::{Answer, Call, Payload, Received};

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

impl Registry {
    /// Prepares to talk to a registry; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the host is no host, or a certificate or proxy cannot be used.
    pub fn new(host: &str, profile: Profile, options: &ClientOptions) -> Result<Self> {
        let base = base_url(host, options).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "use", host).because("it is not a registry's host")
        })?;
        let transport = Transport::new(options, profile.times, &base)?;
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
}

/// The URL of `/v2/`.
fn base_url(host: &str, options: &ClientOptions) -> Option<Url> {
    let scheme = if options.speaks_plainly_to(host) { "http" } else { "https" };
    // Docker Hub's name is not that of its registry (moby registry/config.go).
    let host = if matches!(host, "docker.io" | "index.docker.io") { "registry-1.docker.io" } else { host };
    let url = Url::parse(&format!("{scheme}://{host}/v2/")).ok()?;
    let is_host_only = url.path() == "/v2/" && url.username().is_empty() && url.query().is_none();
    is_host_only.then_some(url)
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
