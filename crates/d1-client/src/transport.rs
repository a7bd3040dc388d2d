//! One HTTP request and its answer, under time limits: the only file that knows how connections are made.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Method, NoProxy, Proxy, StatusCode, Url};
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::http::place::redacted;
use crate::options::{ClientOptions, Proxies, TimeLimits};
use crate::tls;

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    times: TimeLimits,
}

/// A request as it goes out.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// How long to wait for the beginning of the answer.
    pub(crate) answer: Duration,
    /// Whether the whole URL may stand in a log.
    pub(crate) is_own: bool,
}

/// The head of an answer, and its body as it comes.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    response: reqwest::Response,
    silence: Duration,
}

impl Transport {
    pub(crate) fn new(options: &ClientOptions, context: &Context) -> Result<Self> {
        let fail = |reason: String| context.error(ErrorKind::Settings).because(reason);
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(&options.extra_authorities, context)?)
            .user_agent(&options.user_agent)
            // Redirects are followed where credentials are known: see `exchange`.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(options.times.connect)
            .tcp_keepalive(Duration::from_secs(30))
            .http2_adaptive_window(true)
            .referer(false);
        for proxy in proxies(&options.proxies).map_err(|error| fail(format!("a proxy's URL: {error}")))? {
            builder = builder.proxy(proxy);
        }
        let http = builder.build().map_err(|error| fail(error.to_string()))?;
        Ok(Self { http, times: options.times })
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) async fn send(&self, outgoing: Outgoing, context: &Context) -> Result<Incoming> {
        let Outgoing { method, url, headers, answer, is_own } = outgoing;
        let started = Instant::now();
        let shown = redacted(&url, is_own);
        let request = self.http.request(method.clone(), url).headers(headers);
        // The limit for connecting is its own, and comes first.
        let limit = self.times.connect.saturating_add(answer);
        let incoming = match tokio::time::timeout(limit, request.send()).await {
            Ok(Ok(response)) => Ok(Incoming {
                status: response.status(),
                headers: response.headers().clone(),
                response,
                silence: self.times.silence,
            }),
            Ok(Err(error)) => Err(broken(error, context)),
            Err(_) => Err(silent(context, "the node does not answer", limit)),
        };
        let milliseconds = started.elapsed().as_millis();
        match &incoming {
            Ok(Incoming { status, .. }) => {
                tracing::debug!(%method, url = shown, status = status.as_u16(), milliseconds, "request");
            }
            Err(error) => tracing::debug!(%method, url = shown, %error, milliseconds, "request failed"),
        }
        incoming
    }
}

impl Incoming {
    /// Returns the next bytes of the body, `None` at its end.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or nothing comes for too long.
    pub(crate) async fn next(&mut self, context: &Context) -> Result<Option<Bytes>> {
        match tokio::time::timeout(self.silence, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| broken(error, context)),
            Err(_) => Err(silent(context, "the node sends nothing more", self.silence)),
        }
    }

    /// Returns the body if it has at most `limit` bytes, else its start of at least that size and `false`.
    pub(crate) async fn collect(&mut self, limit: usize, context: &Context) -> Result<(Bytes, bool)> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next(context).await? {
            body.extend_from_slice(&chunk);
            if body.len() > limit {
                return Ok((body.freeze(), false));
            }
        }
        Ok((body.freeze(), true))
    }

    /// Returns a header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// Returns a header's text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // Java writes texts of other languages as they are: what is UTF-8 is read.
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).map(str::trim)
}

fn proxies(settings: &Proxies) -> reqwest::Result<Vec<Proxy>> {
    let except = settings.except.as_deref().and_then(NoProxy::from_string);
    let mut proxies = Vec::new();
    if let Some(url) = &settings.http {
        proxies.push(Proxy::http(url)?.no_proxy(except.clone()));
    }
    if let Some(url) = &settings.https {
        proxies.push(Proxy::https(url)?.no_proxy(except));
    }
    Ok(proxies)
}

fn silent(context: &Context, what: &str, limit: Duration) -> Error {
    context
        .error(ErrorKind::Unavailable)
        .because(format!("{what} for {} seconds", limit.as_secs_f64()))
        .with_retry(Retry::Yes)
}

fn broken(error: reqwest::Error, context: &Context) -> Error {
    let error = error.without_url();
    let (kind, reason, retry) = if is_certificate_problem(&error) {
        (ErrorKind::Unavailable, "the node's certificate is not trusted", Retry::No)
    } else if error.is_builder() {
        (ErrorKind::Settings, "the request cannot be made", Retry::No)
    } else if error.is_connect() {
        (ErrorKind::Unavailable, "the node cannot be reached", Retry::Yes)
    } else {
        (ErrorKind::Unavailable, "the connection broke", Retry::Yes)
    };
    context.error(kind).because(reason).caused_by(error).with_retry(retry)
}

fn is_certificate_problem(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(rustls::Error::InvalidCertificate(_)) = cause.downcast_ref() {
            return true;
        }
        // What an I/O error wraps is not its source but that source's.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = wrapped.map(|wrapped| wrapped as &dyn std::error::Error).or_else(|| cause.source());
    }
    false
}
