//! One HTTP request and its answer, under time limits: the only file that knows how connections are made.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use registry_backend::{Error, ErrorKind, Result, Retry};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Method, NoProxy, Proxy, StatusCode, Url};
use tokio::time::Instant;

use crate::body::{Meter, Waiting};
use crate::context::Context;
use crate::http::location::{redacted, same_origin};
use crate::options::{ClientCertificate, ClientOptions, Proxies};
use crate::profile::TimeLimits;
use crate::tls;

/// Sends requests of one registry.
#[derive(Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    /// For all but the registry itself, if there is a client certificate, which is shown to nobody else.
    elsewhere: Option<reqwest::Client>,
    own: Url,
    times: TimeLimits,
}

/// A request as it goes out.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: OutgoingBody,
}

/// What a request carries.
pub(crate) enum OutgoingBody {
    Nothing,
    /// Nothing either, but the answer may take as long as a commit.
    Commit,
    Bytes(Bytes),
    Stream {
        body: reqwest::Body,
        length: u64,
        meter: Arc<Meter>,
    },
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
    /// Prepares to send requests to `own` and to wherever it leads.
    pub(crate) fn new(options: &ClientOptions, times: TimeLimits, own: &Url) -> Result<Self> {
        let certificate = options.client_certificate.as_ref();
        let http = Self::client(options, times, certificate)?;
        let elsewhere = certificate.map(|_| Self::client(options, times, None)).transpose()?;
        Ok(Self { http, elsewhere, own: own.clone(), times })
    }

    fn client(
        options: &ClientOptions,
        times: TimeLimits,
        certificate: Option<&ClientCertificate>,
    ) -> Result<reqwest::Client> {
        let fail =
            |reason: String| Error::new(ErrorKind::Invalid, "set up", "the HTTP client").because(reason);
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(options, certificate)?)
            .user_agent(&options.user_agent)
            // Redirects are followed where credentials are known: see `Registry::send`.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(times.connect)
            .tcp_keepalive(Duration::from_secs(30))
            .http2_adaptive_window(true)
            .referer(false);
        for proxy in proxies(&options.proxies).map_err(|error| fail(format!("a proxy's URL: {error}")))? {
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| fail(error.to_string()))
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// If there is none; what the source of a streamed body returns.
    pub(crate) async fn send(&self, outgoing: Outgoing, context: &Context) -> Result<Incoming> {
        let Outgoing { method, url, mut headers, body } = outgoing;
        let started = Instant::now();
        let shown = redacted(&url);
        let http = self.elsewhere.as_ref().filter(|_| !same_origin(&self.own, &url)).unwrap_or(&self.http);
        let request = http.request(method.clone(), url);
        let answer = match body {
            OutgoingBody::Nothing | OutgoingBody::Commit => {
                if method == Method::POST || method == Method::PUT || method == Method::PATCH {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                let is_commit = matches!(body, OutgoingBody::Commit);
                let limit = if is_commit { self.times.commit } else { self.times.silence };
                self.wait_for(request.headers(headers), limit, context).await
            }
            OutgoingBody::Bytes(bytes) => {
                self.wait_for(request.headers(headers).body(bytes), self.times.silence, context).await
            }
            OutgoingBody::Stream { body, length, meter } => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                let answer = self.stream(request.headers(headers).body(body), &meter, context).await;
                // What went wrong at the source is the cause of whatever the connection says.
                meter.take_failure().map_or(answer, Err)
            }
        };
        let milliseconds = started.elapsed().as_millis();
        match &answer {
            Ok(incoming) => {
                tracing::debug!(%method, url = shown, status = incoming.status.as_u16(), milliseconds, "request");
            }
            Err(error) => tracing::debug!(%method, url = shown, %error, milliseconds, "request failed"),
        }
        answer
    }

    async fn wait_for(
        &self,
        request: reqwest::RequestBuilder,
        limit: Duration,
        context: &Context,
    ) -> Result<Incoming> {
        // The limit for connecting is its own, and comes first.
        let limit = self.times.connect + limit;
        match tokio::time::timeout(limit, request.send()).await {
            Ok(answer) => self.incoming(answer, context),
            Err(_) => Err(silent(context, "the registry does not answer", limit)),
        }
    }

    async fn stream(
        &self,
        request: reqwest::RequestBuilder,
        meter: &Meter,
        context: &Context,
    ) -> Result<Incoming> {
        let sending = std::pin::pin!(request.send());
        let watching = std::pin::pin!(self.watch(meter, context));
        match futures::future::select(sending, watching).await {
            futures::future::Either::Left((answer, _)) => self.incoming(answer, context),
            futures::future::Either::Right((error, _)) => Err(error),
        }
    }

    /// Ends with an error once nothing has moved for too long.
    async fn watch(&self, meter: &Meter, context: &Context) -> Error {
        loop {
            let (since, waiting) = meter.state();
            let (limit, what) = match waiting {
                // How long a source takes is its own business.
                Waiting::Source => (None, ""),
                Waiting::Connection => (
                    Some(self.times.silence + self.times.connect),
                    "the registry takes no more of the content",
                ),
                Waiting::Answer => (Some(self.times.commit), "the registry does not confirm the content"),
            };
            let left = limit.map_or(self.times.silence, |limit| limit.saturating_sub(since));
            if let (Some(limit), true) = (limit, left.is_zero()) {
                return silent(context, what, limit);
            }
            tokio::time::sleep(left).await;
        }
    }

    fn incoming(&self, answer: reqwest::Result<reqwest::Response>, context: &Context) -> Result<Incoming> {
        let response = answer.map_err(|error| broken(error, context))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Incoming { status, headers, response, silence: self.times.silence })
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
            Err(_) => Err(silent(context, "the registry sends nothing more", self.silence)),
        }
    }

    /// Returns the body if it has at most `limit` bytes, else its start of at least that size and `false`.
    pub(crate) async fn collect(&mut self, limit: u64, context: &Context) -> Result<(Bytes, bool)> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next(context).await? {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > limit {
                return Ok((body.freeze(), false));
            }
        }
        Ok((body.freeze(), true))
    }

    /// Returns a header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn proxies(settings: &Proxies) -> reqwest::Result<Vec<Proxy>> {
    let except = settings.except.as_deref().and_then(NoProxy::from_string);
    let mut proxies = Vec::new();
    if let Some(url) = &settings.http {
        proxies.push(Proxy::http(url.reveal())?.no_proxy(except.clone()));
    }
    if let Some(url) = &settings.https {
        proxies.push(Proxy::https(url.reveal())?.no_proxy(except));
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
    let (reason, retry) = if is_certificate_problem(&error) {
        ("the registry's certificate is not trusted", Retry::No)
    } else if error.is_builder() || error.is_request() && error.status().is_some() {
        ("the request cannot be made", Retry::No)
    } else if error.is_connect() {
        ("the registry cannot be reached", Retry::Yes)
    } else {
        ("the connection broke", Retry::Yes)
    };
    context.error(ErrorKind::Unavailable).because(reason).caused_by(error).with_retry(retry)
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
