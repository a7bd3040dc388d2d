//! One HTTP request and its answer, and content on its way out, under time limits.

use std::sync::Arc;

use bytes::Bytes;
use http_transfer::{ClientCertificate, HttpClient, HttpSettings, Incoming, TransferError, same_origin};
use registry_backend::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Url};
use tokio::time::Instant;

use crate::body::{Meter, Waiting};
use crate::context::Context;
use crate::http::redacted::redacted;
use crate::options::ClientOptions;
use crate::profile::TimeLimits;

/// Sends requests of one registry.
#[derive(Debug)]
pub(crate) struct Transport {
    http: HttpClient,
    /// For all but the registry itself, if there is a client certificate, which is shown to nobody else.
    elsewhere: Option<HttpClient>,
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
    ) -> Result<HttpClient> {
        let settings = HttpSettings {
            user_agent: &options.user_agent,
            extra_authorities: &options.extra_authorities,
            client_certificate: certificate,
            proxies: &options.proxies,
            connect: times.connect,
            silence: times.silence,
        };
        HttpClient::new(&settings)
            .map_err(|error| Error::new(ErrorKind::Invalid, "use", error.what).because(error.reason))
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
                http.send(request.headers(headers), limit).await.map_err(|error| context.transfer(error))
            }
            OutgoingBody::Bytes(bytes) => {
                let sent = http.send(request.headers(headers).body(bytes), self.times.silence).await;
                sent.map_err(|error| context.transfer(error))
            }
            OutgoingBody::Stream { body, length, meter } => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                let answer = self.stream(http, request.headers(headers).body(body), &meter).await;
                let answer = answer.map_err(|error| context.transfer(error));
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

    async fn stream(
        &self,
        http: &HttpClient,
        request: RequestBuilder,
        meter: &Meter,
    ) -> Result<Incoming, TransferError> {
        let sending = std::pin::pin!(http.send_unwatched(request));
        let watching = std::pin::pin!(self.watch(meter));
        match futures::future::select(sending, watching).await {
            futures::future::Either::Left((answer, _)) => answer,
            futures::future::Either::Right((error, _)) => Err(error),
        }
    }

    /// Ends with an error once nothing has moved for too long.
    async fn watch(&self, meter: &Meter) -> TransferError {
        loop {
            let (since, waiting) = meter.state();
            let (limit, what) = match waiting {
                // How long a source takes is its own business.
                Waiting::Source => (None, ""),
                Waiting::Connection => {
                    let limit = self.times.silence.saturating_add(self.times.connect);
                    (Some(limit), "takes no more of the content")
                }
                Waiting::Answer => (Some(self.times.commit), "does not confirm the content"),
            };
            let left = limit.map_or(self.times.silence, |limit| limit.saturating_sub(since));
            if let (Some(limit), true) = (limit, left.is_zero()) {
                return TransferError::Silence { what, limit };
            }
            tokio::time::sleep(left).await;
        }
    }
}
