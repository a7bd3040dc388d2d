//! One request: within the budget, after redirects, and tried again until it has an answer.

use std::time::Duration;

use bytes::Bytes;
use d1_model::Parsed;
use http_transfer::{Incoming, resolve, same_origin};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use crate::client::{ApiVersion, NodeClient, no_node};
use crate::context::Context;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::refusal::{looks_like_html, refusal, refusal_in_success};
use crate::transport::{Outgoing, redacted};

/// The most redirects that are followed for one request.
const MOST_REDIRECTS: u32 = 5;

/// The largest error body that is read, in bytes.
pub(crate) const LARGEST_ERROR: usize = 256 * 1024;

/// A request to the node.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) answer: Duration,
    /// Whether a redirect of status 302, 303 or 307 is an answer like any other, and not followed.
    pub(crate) stays: bool,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl NodeClient {
    /// Returns a request for a path below the version that the node has.
    ///
    /// # Errors
    ///
    /// If the path cannot be written as a URL, or no version answers.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &str,
        context: &Context,
    ) -> Result<Call> {
        let version = self.version().await?;
        self.call_of(version, method, path, query, context)
    }

    /// Returns the version of the interface that is used: the one of the options, or version 2 if the node has it.
    ///
    /// # Errors
    ///
    /// If neither version answers.
    pub async fn version(&self) -> Result<ApiVersion> {
        self.inner.version.get_or_try_init(|| self.find_version()).await.copied()
    }

    async fn find_version(&self) -> Result<ApiVersion> {
        let context = self.context("reach", self.base_url());
        let ping = async |version| {
            let call = self.call_of(version, Method::GET, "monitor/ping", "", &context)?;
            self.exchange(&call, LARGEST_ERROR, &context).await
        };
        let Err(error) = ping(ApiVersion::V2).await else { return Ok(ApiVersion::V2) };
        let is_other = matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::NotImplemented | ErrorKind::InvalidRequest | ErrorKind::Protocol
        );
        if !is_other {
            return Err(error);
        }
        match ping(ApiVersion::V1).await {
            Ok(_) => Ok(ApiVersion::V1),
            Err(_) => Err(no_node(error)),
        }
    }

    fn call_of(
        &self,
        version: ApiVersion,
        method: Method,
        path: &str,
        query: &str,
        context: &Context,
    ) -> Result<Call> {
        let url = self.url(version, path, query, context)?;
        let answer = self.inner.connections.options.times.answer;
        Ok(Call { method, url, headers: HeaderMap::new(), answer, stays: false })
    }

    /// Sends a request until it has a whole answer of success.
    ///
    /// # Errors
    ///
    /// What the node means by another answer; or it has more than `limit` bytes.
    pub(crate) async fn exchange(&self, call: &Call, limit: usize, context: &Context) -> Result<Answer> {
        let failures = self.inner.connections.failures();
        failures.retry(|| self.exchange_once(call, limit, context)).await
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// As [`exchange`](Self::exchange); [`Protocol`](ErrorKind::Protocol) if the answer is not that document.
    pub(crate) async fn document<T>(
        &self,
        call: &Call,
        limit: usize,
        context: &Context,
        parse: impl Fn(&[u8]) -> d1_model::Result<Parsed<T>>,
    ) -> Result<Document<T>> {
        let Answer { body, .. } = self.exchange(call, limit, context).await?;
        match parse(&body) {
            Ok(parsed) => Ok(Document::new(body, parsed)),
            Err(error) => Err(not_a_document(&body, error, context)),
        }
    }

    async fn exchange_once(&self, call: &Call, limit: usize, context: &Context) -> Result<Answer> {
        let _permit = self.inner.budget.enter().await;
        let mut incoming = self.send(call, context).await?;
        let is_answer = incoming.status.is_success() || call.stays && incoming.status.is_redirection();
        if !is_answer {
            return Err(self.refused(incoming, context).await);
        }
        let (body, is_whole) =
            incoming.collect(limit as u64).await.map_err(|error| context.transfer(error))?;
        if !is_whole {
            let reason = format!("the answer has more than {limit} bytes");
            return Err(context.error(ErrorKind::TooLarge).because(reason));
        }
        if let Some(error) = refusal_in_success(incoming.status, &body, context) {
            return Err(error);
        }
        let Incoming { status, headers, .. } = incoming;
        Ok(Answer { status, headers, body })
    }

    /// Returns the error that an answer means, and lets everyone wait if the node asks for it.
    pub(crate) async fn refused(&self, mut incoming: Incoming, context: &Context) -> Error {
        // The status says enough where the body breaks off.
        let body = incoming.collect(LARGEST_ERROR as u64).await.map(|(body, _)| body).unwrap_or_default();
        let error = refusal(incoming.status, &incoming.headers, &body, context);
        if let Retry::After(wait) = error.retry() {
            self.inner.budget.pause(wait.min(self.inner.connections.options.retry.longest_stated_wait));
        }
        error
    }

    /// Sends a request once and follows redirects. The token goes to the node itself only.
    pub(crate) async fn send(&self, call: &Call, context: &Context) -> Result<Incoming> {
        let mut url = call.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let is_own = same_origin(&self.inner.base, &url);
            let mut headers = call.headers.clone();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(authorization) = self.inner.authorization.as_ref().filter(|_| is_own) {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            let outgoing = Outgoing {
                method: call.method.clone(),
                url: url.clone(),
                headers,
                answer: call.answer,
                is_own,
            };
            let incoming = self.inner.connections.transport.send(outgoing, context).await?;
            match next_place(call, &url, &incoming, context)? {
                Some(next) => url = next,
                None => return Ok(incoming),
            }
        }
        Err(context.protocol(format!("it redirects without end, last to {}", redacted(&url, false))))
    }
}

/// Returns where a redirect leads, if the answer is one.
fn next_place(call: &Call, base: &Url, incoming: &Incoming, context: &Context) -> Result<Option<Url>> {
    let follows = match incoming.status.as_u16() {
        301 | 308 => true,
        302 | 303 | 307 => !call.stays,
        _ => false,
    };
    let (true, Some(location)) = (follows, incoming.header(LOCATION.as_str())) else { return Ok(None) };
    let url = resolve(base, location)
        .map_err(|reason| context.protocol(format!("it redirects to where it should not: {reason}")))?;
    Ok(Some(url))
}

fn not_a_document(body: &[u8], error: d1_model::Error, context: &Context) -> Error {
    if looks_like_html(body) {
        return context.protocol("the node answers with a web page");
    }
    context.protocol(format!("the answer cannot be read: {error}")).caused_by(error)
}
