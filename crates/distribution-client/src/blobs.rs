//! Asking for blobs.

use http_transfer::parse_content_range;
use oci_model::Digest;
use registry_backend::{Result, Retry};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};

use crate::context::Context;
use crate::registry::{Payload, Received};
use crate::repository::{Doing, Repository};
use crate::retry::with_retries;
use crate::upload::SMALL_ANSWER;

impl Repository {
    /// Returns the size of a blob in bytes, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If the registry cannot be asked.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let context = self.context("find blob", digest);
        let call = self.call(Method::HEAD, format_args!("blobs/{digest}"), Doing::Read, &context)?;
        let answer = self.registry().exchange(&call, Payload::Nothing, SMALL_ANSWER, &context).await;
        let answer = match answer {
            // A signed link is for GET: GHCR's refuse HEAD (stargz-snapshotter issue 167).
            Ok(answer) if !self.registry().is_own(&answer.url) && !answer.status.is_success() => {
                return self.size_by_reading(digest, &context).await;
            }
            answer => answer?,
        };
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = self.registry().expect(answer, &[StatusCode::OK], &context)?;
        let size = answer.header(CONTENT_LENGTH.as_str()).and_then(|value| value.trim().parse().ok());
        match size {
            Some(size) => {
                self.remember(digest);
                Ok(Some(size))
            }
            None => self.size_by_reading(digest, &context).await,
        }
    }

    /// Finds out the size by reading the first byte.
    async fn size_by_reading(&self, digest: &Digest, context: &Context) -> Result<Option<u64>> {
        let call = self.call(Method::GET, format_args!("blobs/{digest}"), Doing::Read, context)?;
        let call = call.with_header(RANGE, HeaderValue::from_static("bytes=0-0"));
        let received = with_retries(self.rules(), || self.open_once(&call, context)).await?;
        let incoming = &received.incoming;
        let size = match incoming.status {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::PARTIAL_CONTENT => incoming
                .header(CONTENT_RANGE.as_str())
                .and_then(parse_content_range)
                .and_then(|range| range.complete),
            StatusCode::OK => {
                incoming.header(CONTENT_LENGTH.as_str()).and_then(|value| value.trim().parse().ok())
            }
            // The one blob without a first byte.
            StatusCode::RANGE_NOT_SATISFIABLE => Some(0),
            _ => {
                let answer = self.registry().whole(received, SMALL_ANSWER, context).await?;
                return Err(self.registry().error(&answer, context));
            }
        };
        self.remember(digest);
        size.map(Some).ok_or_else(|| context.protocol("the registry does not say how large it is"))
    }

    /// Sends a request for content; failures that another try may mend are errors.
    pub(crate) async fn open_once(
        &self,
        call: &crate::registry::Call,
        context: &Context,
    ) -> Result<Received> {
        let received = self.registry().send(call, Payload::Nothing, context).await?;
        let status = received.incoming.status;
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(received);
        }
        let is_own = self.registry().is_own(&received.url);
        if is_own && status == StatusCode::NOT_FOUND {
            return Ok(received);
        }
        let answer = self.registry().whole(received, SMALL_ANSWER, context).await?;
        let error = self.registry().error(&answer, context);
        Err(if is_own { error } else { error.with_retry(Retry::Yes) })
    }
}
