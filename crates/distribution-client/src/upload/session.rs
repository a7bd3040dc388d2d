//! An upload session: where it is, and how much it has.

use http_transfer::resolve;
use oci_model::Digest;
use registry_backend::Result;
use reqwest::header::{CONNECTION, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, StatusCode, Url};

use super::SMALL_ANSWER;
use crate::auth::Scopes;
use crate::context::Context;
use crate::http::upload_range::parse_upload_range;
use crate::registry::{Answer, Call, Payload};
use crate::repository::{Doing, Repository};

/// A session that the registry has opened (distribution-spec, "Pushing blobs").
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Where the next request goes: it changes with every answer.
    pub(super) url: Url,
    /// The smallest chunk that the registry takes, in bytes; 0 if it states none.
    pub(super) least_chunk: u64,
    /// The place of the last byte that the registry says it has.
    pub(super) last_byte: Option<u64>,
    /// Whether each chunk gets a connection of its own: where connections break after so many bytes, none has that many.
    pub(super) own_connections: bool,
}

impl Session {
    /// Returns the session that an answer opens.
    ///
    /// # Errors
    ///
    /// If it does not say where the session is, or it must not be followed there.
    pub(super) fn from_answer(answer: &Answer, context: &Context) -> Result<Self> {
        let location = answer.header(LOCATION.as_str());
        let location = location.ok_or_else(|| context.protocol("the upload session has no location"))?;
        let least_chunk = answer.header("oci-chunk-min-length").and_then(|value| value.trim().parse().ok());
        Ok(Self {
            url: follow(&answer.url, location, context)?,
            least_chunk: least_chunk.unwrap_or(0),
            last_byte: None,
            own_connections: false,
        })
    }

    /// Returns the session as an answer to one of its requests describes it.
    ///
    /// # Errors
    ///
    /// If it must not be followed to where it is now.
    pub(super) fn moved(&self, answer: &Answer, context: &Context) -> Result<Self> {
        // Quay's answer to a request for the status has no location.
        let url = match answer.header(LOCATION.as_str()) {
            Some(location) => follow(&answer.url, location, context)?,
            None => self.url.clone(),
        };
        let last_byte = answer.header(RANGE.as_str()).and_then(parse_upload_range);
        Ok(Self { url, last_byte, ..*self })
    }

    /// Returns the request that adds content at the end.
    pub(super) fn patch(&self, scopes: Scopes) -> Call {
        Call::new(Method::PATCH, self.url.clone(), scopes).with_header(CONTENT_TYPE, octet_stream())
    }

    /// Returns the request that adds a chunk. `Content-Range` has no unit here (distribution-spec, "Pushing a blob in
    /// chunks").
    pub(super) fn patch_chunk(&self, start: u64, length: u64, scopes: Scopes) -> Call {
        let last = (start + length).saturating_sub(1);
        let mut call = self.patch(scopes);
        if let Ok(value) = HeaderValue::from_str(&format!("{start}-{last}")) {
            call = call.with_header(CONTENT_RANGE, value);
        }
        if self.own_connections {
            // HTTP/2 has no such header, and the client leaves it out there.
            call = call.with_header(CONNECTION, HeaderValue::from_static("close"));
        }
        call
    }

    /// Returns the request that closes the session.
    pub(super) fn put(&self, digest: &Digest, scopes: Scopes) -> Call {
        let mut url = self.url.clone();
        // What the registry put into the query stays as it is.
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        Call::new(Method::PUT, url, scopes).with_header(CONTENT_TYPE, octet_stream())
    }
}

fn octet_stream() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

fn follow(base: &Url, location: &str, context: &Context) -> Result<Url> {
    resolve(base, location)
        .map_err(|reason| context.protocol(format!("the upload session is where it should not be: {reason}")))
}

impl Repository {
    /// Opens a session; `None` if the registry says that the blob is there already.
    pub(super) async fn start_session(&self, context: &Context) -> Result<Option<Session>> {
        let call = self.call(Method::POST, format_args!("blobs/uploads/"), Doing::Write, context)?;
        let answer = self.registry().exchange(&call, Payload::Nothing, SMALL_ANSWER, context).await?;
        if answer.status == StatusCode::CREATED {
            return Ok(None);
        }
        let answer = self.registry().expect(answer, &[StatusCode::ACCEPTED], context)?;
        Session::from_answer(&answer, context).map(Some)
    }

    /// Asks how far a session is; `None` if it is gone, or the registry does not tell.
    pub(super) async fn session_status(&self, session: &Session, context: &Context) -> Option<Session> {
        let call = Call::new(Method::GET, session.url.clone(), self.scopes(Doing::Write));
        let answer = self.registry().exchange(&call, Payload::Nothing, SMALL_ANSWER, context).await.ok()?;
        let is_alive =
            matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::OK | StatusCode::ACCEPTED);
        is_alive.then(|| session.moved(&answer, context).ok()).flatten()
    }

    /// Gives a session up, if the registry can do that; it ends by itself otherwise.
    pub(super) async fn cancel_session(&self, session: &Session, context: &Context) {
        let call = Call::new(Method::DELETE, session.url.clone(), self.scopes(Doing::Write));
        if let Err(error) =
            self.registry().exchange_once(&call, Payload::Nothing, SMALL_ANSWER, context).await
        {
            tracing::debug!(%error, "the upload session was not given up");
        }
    }
}
