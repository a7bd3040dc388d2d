//! Requests with whole answers, repeated until they have one.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use d1_model::{Oddity, Parsed};
use http_transfer::{
    Answer, Exchange, HeaderName, HeaderValue, Method, Received, Redirects, Request, RetryPolicy, RetryRules,
    SendError, Url, looks_like_html, same_origin,
};

use crate::client::NodeClient;
use crate::error::{Context, Error, ErrorKind, Result, Retry};
use crate::options::{ApiVersion, Progress};
use crate::refusal::{refusal, refusal_in_success};

/// The largest error body that is read, in bytes.
pub(crate) const LARGEST_ERROR: u64 = 256 * 1024;

/// A document as a node sent it, and its content.
///
/// Store the bytes: a value that is written again need not have the same ones.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The document as it came.
    pub bytes: Bytes,
    /// Its content.
    pub value: T,
    /// Its oddities, in order of first appearance.
    pub oddities: Vec<Oddity>,
}

impl<T> Document<T> {
    pub(crate) fn new(bytes: Bytes, parsed: Parsed<T>) -> Self {
        Self { bytes, value: parsed.value, oddities: parsed.oddities }
    }
}

/// A request to the node.
#[derive(Clone, Debug)]
pub(crate) struct Call(Request);

impl Call {
    pub(crate) fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self(self.0.with_header(name, value))
    }

    /// Returns the request with temporary redirects as answers, which are not followed.
    pub(crate) fn with_redirects_as_answers(self) -> Self {
        Self(self.0.with_redirects(Redirects::Permanent))
    }

    /// Returns the request with another time limit for the beginning of the answer.
    pub(crate) fn with_answer_limit(mut self, limit: Duration) -> Self {
        self.0.answer = limit;
        self
    }

    /// Returns the request with a connection of its own for a large answer.
    pub(crate) fn moving_content(mut self) -> Self {
        self.0.moves_content = true;
        self
    }
}

/// Gives the token to the node itself.
struct NodeExchange<'a> {
    client: &'a NodeClient,
    context: &'a Context,
}

impl Exchange for NodeExchange<'_> {
    type Error = Error;

    fn failed(&self, error: SendError) -> Error {
        self.context.send_error(error)
    }

    async fn authorization(&mut self, url: &Url) -> Result<Option<HeaderValue>> {
        let inner = &self.client.inner;
        Ok(inner.authorization.clone().filter(|_| same_origin(&inner.base, url)))
    }
}

/// Counts failures without progress.
pub(crate) type Failures = http_transfer::Failures<NodeRetries>;

/// The rules of a client for retries.
#[derive(Debug)]
pub(crate) struct NodeRetries(NodeClient);

impl RetryPolicy for NodeRetries {
    type Error = Error;

    fn rules(&self) -> &RetryRules {
        &self.0.inner.shared.options.retry
    }

    fn retry(&self, error: &Error) -> Retry {
        error.retry()
    }

    fn is_rate_limited(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::RateLimited
    }

    fn patience(&self, error: &Error) -> Duration {
        let inner = &self.0.inner;
        let is_new =
            error.kind() == ErrorKind::Unavailable && !inner.shared.session.has_answered(&inner.base);
        if is_new { self.rules().first_patience } else { self.rules().patience }
    }

    fn note_wait(&self, error: &Error, wait: Duration, is_stated: bool) {
        self.0.inner.shared.options.progress.note(&Progress::Waiting { error, wait, is_stated });
    }
}

impl NodeClient {
    /// Returns the version of the interface: that of the options, or version 2 if the node has it.
    ///
    /// # Errors
    ///
    /// If neither version answers.
    pub async fn version(&self) -> Result<ApiVersion> {
        self.inner.version.get_or_try_init(|| self.find_version()).await.copied()
    }

    /// Returns a request for a path below the node's version.
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

    fn call_of(
        &self,
        version: ApiVersion,
        method: Method,
        path: &str,
        query: &str,
        context: &Context,
    ) -> Result<Call> {
        let url = self.url(version, path, query, context)?;
        Ok(Call(Request::new(method, url, self.inner.shared.options.times.answer)))
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
            Err(_) => {
                let status = error.status().map(|status| format!(" (status {status})")).unwrap_or_default();
                let reason =
                    format!("found no DataONE node at this URL: neither /v2 nor /v1 answers{status}");
                Err(error.because(reason).with_kind(ErrorKind::Protocol))
            }
        }
    }

    /// Begins to count failures.
    pub(crate) fn failures(&self) -> Failures {
        Failures::new(NodeRetries(self.clone()))
    }

    /// Sends a request until it has a whole answer of success.
    ///
    /// # Errors
    ///
    /// The meaning of another answer; [`TooLarge`](ErrorKind::TooLarge) above `limit` bytes.
    pub(crate) async fn exchange(&self, call: &Call, limit: u64, context: &Context) -> Result<Answer> {
        self.failures().retry(|| self.exchange_once(call, limit, context)).await
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// As [`exchange`](Self::exchange); [`Protocol`](ErrorKind::Protocol) if the answer is not that document.
    pub(crate) async fn document<T>(
        &self,
        call: &Call,
        limit: u64,
        context: &Context,
        parse: impl Fn(&[u8]) -> d1_model::Result<Parsed<T>>,
    ) -> Result<Document<T>> {
        let Answer { body, .. } = self.exchange(call, limit, context).await?;
        match parse(&body) {
            Ok(parsed) => Ok(Document::new(body, parsed)),
            Err(_) if looks_like_html(&body) => Err(context.protocol("the node answers with a web page")),
            Err(error) => {
                Err(context.protocol(format!("the answer cannot be read: {error}")).caused_by(error))
            }
        }
    }

    /// Sends a request once, and returns the head of the answer.
    pub(crate) async fn send(&self, call: &Call, context: &Context) -> Result<Received> {
        self.inner.shared.session.send(&call.0, &mut NodeExchange { client: self, context }).await
    }

    async fn exchange_once(&self, call: &Call, limit: u64, context: &Context) -> Result<Answer> {
        let received = self.send(call, context).await?;
        let status = received.incoming.status;
        let takes_redirect = call.0.redirects == Redirects::Permanent && status.is_redirection();
        if !status.is_success() && !takes_redirect {
            return Err(self.refused(received, context).await);
        }
        let answer = received.whole(limit, limit).await.map_err(|error| context.transfer(error))?;
        if !answer.is_whole {
            let reason = format!("the answer has more than {limit} bytes");
            return Err(context.error(ErrorKind::TooLarge).because(reason));
        }
        match refusal_in_success(answer.status, &answer.body, context) {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    /// Returns the error that an answer means, and lets everyone wait if the node asks for it.
    pub(crate) async fn refused(&self, mut received: Received, context: &Context) -> Error {
        let incoming = &mut received.incoming;
        // The status says enough if the body breaks off.
        let body = incoming.collect(LARGEST_ERROR).await.map(|(body, _)| body).unwrap_or_default();
        let error = refusal(incoming.status, &incoming.headers, &body, context);
        if let Retry::After(wait) = error.retry() {
            let shared = &self.inner.shared;
            shared.session.pause(&received.url, wait.min(shared.options.retry.longest_stated_wait));
        }
        error
    }
}

/// Writes names and values as `name=value&…`. All but unreserved characters (RFC 3986 section 2.3) are escaped, because
/// servers disagree about `+`, `;` and `'` in queries.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut written = String::new();
    for (name, value) in pairs {
        if !written.is_empty() {
            written.push('&');
        }
        escape(&mut written, name);
        written.push('=');
        escape(&mut written, value);
    }
    written
}

fn escape(written: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(written, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::options::{ClientOptions, ProgressSink};

    #[test]
    fn ambiguous_characters_are_escaped() {
        assert_eq!(
            query([("fromDate", "2020-01-01T00:00:00.000+00:00"), ("q", "id:\"é;'&\"")]),
            "fromDate=2020-01-01T00%3A00%3A00.000%2B00%3A00&q=id%3A%22%C3%A9%3B%27%26%22"
        );
        assert_eq!(query([]), "");
    }

    #[tokio::test(start_paused = true)]
    async fn tries_are_bounded_success_ends_them_and_waits_are_reported() {
        for (retry, succeeds_at, expected) in [(Retry::No, 9, 1), (Retry::Yes, 99, 6), (Retry::Yes, 3, 3)] {
            let (tries, waits) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
            let reported = waits.clone();
            let progress = ProgressSink::new(move |_| {
                reported.fetch_add(1, Ordering::Relaxed);
            });
            let mut options = ClientOptions { progress, ..ClientOptions::default() };
            options.retry.attempts = 6;
            let client = NodeClient::new("https://mn.example", &options).unwrap();
            let result = client
                .failures()
                .retry(|| async {
                    match tries.fetch_add(1, Ordering::Relaxed) + 1 {
                        number if number == succeeds_at => Ok(number),
                        _ => {
                            Err(Error::new(ErrorKind::ServiceFailure, "test", "x", "node").with_retry(retry))
                        }
                    }
                })
                .await;
            assert_eq!(result.is_ok(), succeeds_at == expected);
            assert_eq!(tries.into_inner(), expected);
            assert_eq!(waits.load(Ordering::Relaxed), expected - 1);
        }
    }
}
