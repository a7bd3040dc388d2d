//! Requests with whole answers, tried again until they have one.

use bytes::Bytes;
use http_transfer::{Incoming, header};
use registry_backend::{Error, ErrorKind, Result, Retry};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::Registry;
use crate::auth::Scopes;
use crate::body::SourcePart;
use crate::context::Context;
use crate::refusal::Refusal;
use crate::retry::with_retries;

/// A request to the registry.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) scopes: Scopes,
    /// Whether a redirect to another host is an answer like any other, and not followed.
    pub(crate) stays: bool,
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

/// The largest error body that is read, in bytes.
pub(super) const LARGEST_ERROR: u64 = 64 * 1024;

impl Registry {
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
        self.slow_down(&answer.url, &error);
        Err(error)
    }

    /// Reads the rest of an answer.
    pub(crate) async fn whole(&self, received: Received, limit: u64, context: &Context) -> Result<Answer> {
        let Received { mut incoming, url } = received;
        let is_success = incoming.status.is_success();
        let limit = if is_success { limit } else { LARGEST_ERROR };
        let (body, whole) = incoming.collect(limit).await.map_err(|error| context.transfer(error))?;
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

    /// Lets everyone wait for whom the registry asks to wait.
    fn slow_down(&self, url: &Url, error: &Error) {
        if !self.is_own(url) {
            return;
        }
        if let (ErrorKind::RateLimited, Retry::After(wait)) = (error.kind(), error.retry()) {
            self.inner.budget.pause(wait.min(self.inner.profile.retry.longest_stated_wait));
        }
    }
}

impl Call {
    pub(crate) fn new(method: Method, url: Url, scopes: Scopes) -> Self {
        Self { method, url, headers: HeaderMap::new(), scopes, stays: false }
    }

    /// Returns the request with no redirect to another host followed.
    #[must_use]
    pub(crate) fn staying(mut self) -> Self {
        self.stays = true;
        self
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
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
            url: Url::parse("https://r.example/v2/").unwrap_or_else(|error| unreachable!("{error}")),
        }
    }

    /// Returns a header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}
