//! An upload session: its place, and the number of bytes that it has.

use std::time::Duration;

use http_transfer::{Answer, HeaderValue, Method, StatusCode, Url, resolve, without_query};
use oci_model::Digest;
use registry_backend::Result;
use reqwest::header::{CONNECTION, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};

use crate::auth::Scopes;
use crate::context::Context;
use crate::headers::parse_upload_range;
use crate::registry::{Call, Registry, SMALL_ANSWER, Sent};
use crate::repository::{Doing, Repository};

/// The time between two requests to cancel a session.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How often a session is cancelled that does not go.
const MOST_CANCELS: usize = 5;

/// A session that the registry has opened (distribution-spec, "Pushing blobs").
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The place for the next request, which changes with every answer.
    pub(super) url: Url,
    /// The smallest chunk that the registry takes, in bytes; 0 if it states none.
    pub(super) least_chunk: u64,
    /// The place of the last byte that the registry has, as it states.
    pub(super) last_byte: Option<u64>,
    /// Whether each chunk gets a connection of its own, because connections break after some number of bytes.
    pub(super) own_connections: bool,
    /// Its number among the open sessions of the registry; 0 if an earlier run opened it.
    pub(super) number: u64,
}

impl Session {
    /// Returns a session at a place, about which nothing else is known.
    pub(super) fn at(url: Url) -> Self {
        Self { url, least_chunk: 0, last_byte: None, own_connections: false, number: 0 }
    }

    /// Returns the session that an answer opens, which is now one of the registry's open sessions.
    ///
    /// # Errors
    ///
    /// If the answer does not state the session's place, or the place must not be followed.
    pub(super) async fn opened_by(
        answer: &Answer,
        registry: &Registry,
        scopes: Scopes,
        context: &Context,
    ) -> Result<Self> {
        let location = answer.header(LOCATION.as_str());
        let location = location.ok_or_else(|| context.protocol("the upload session has no location"))?;
        let least_chunk = answer.header("oci-chunk-min-length").and_then(|value| value.trim().parse().ok());
        let session = Self::at(follow(answer, registry, location, context).await?);
        let number = registry.open_sessions().add(session.url.clone(), scopes);
        Ok(Self { least_chunk: least_chunk.unwrap_or(0), number, ..session })
    }

    /// Returns the session as an answer to one of its requests describes it.
    ///
    /// # Errors
    ///
    /// If the session's new place must not be followed.
    pub(super) async fn moved(
        &self,
        answer: &Answer,
        registry: &Registry,
        context: &Context,
    ) -> Result<Self> {
        // Quay's answer to a request for the status has no location.
        let url = match answer.header(LOCATION.as_str()) {
            Some(location) => follow(answer, registry, location, context).await?,
            None => self.url.clone(),
        };
        registry.open_sessions().moved(self.number, &url);
        let last_byte = answer.header(RANGE.as_str()).and_then(parse_upload_range);
        Ok(Self { url, last_byte, ..*self })
    }

    /// Returns how many bytes the session has. `0-0` stands for none, as Docker's registry writes it.
    pub(super) fn bytes(&self) -> u64 {
        self.last_byte.filter(|last| *last > 0).map_or(0, |last| last.saturating_add(1))
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
            call = call.with_header(CONNECTION, HeaderValue::from_static("close"));
        }
        call
    }

    /// Returns the request that closes the session. The registry's own query stays as it is.
    pub(super) fn put(&self, digest: &Digest, scopes: Scopes) -> Call {
        Call::new(Method::PUT, self.url.clone(), scopes)
            .with_parameter("digest", digest.as_str())
            .with_header(CONTENT_TYPE, octet_stream())
    }
}

fn octet_stream() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

async fn follow(answer: &Answer, registry: &Registry, location: &str, context: &Context) -> Result<Url> {
    resolve(&answer.url, registry.network().await, location).map_err(|reason| {
        let place = answer.url.join(location).map_or_else(|_| location.to_owned(), |url| without_query(&url));
        context.protocol(format!("the registry names {place} as the upload session's place: {reason}"))
    })
}

impl Repository {
    /// Opens a session; `None` if the registry says that the blob is already there.
    ///
    /// The request is repeated even if the registry may have received it: a second session does no harm, and the first one
    /// expires.
    pub(super) async fn start_session(&self, context: &Context) -> Result<Option<Session>> {
        let call = self.call(Method::POST, format_args!("blobs/uploads/"), Doing::Write, context)?;
        match self.request_session(call, context).await? {
            Requested::Session(session) => Ok(Some(session)),
            Requested::Other(answer) if answer.status == StatusCode::CREATED => Ok(None),
            Requested::Other(answer) => Err(self.registry().error(&answer, context)),
        }
    }

    /// Sends a request that may open a session. It goes on if the caller stops waiting: whoever cancels the open sessions has to know
    /// its answer. After they were cancelled, nothing is sent and the future never ends: its command was interrupted.
    pub(super) async fn request_session(&self, call: Call, context: &Context) -> Result<Requested> {
        let (registry, context) = (self.registry().clone(), context.clone());
        // The request counts before its task first runs, which may be after a signal.
        let Some(opening) = registry.open_sessions().opening() else { return std::future::pending().await };
        let requesting = tokio::spawn(async move {
            let _opening = opening;
            let answer = registry.exchange(&call, Sent::Nothing, SMALL_ANSWER, &context).await?;
            if answer.status != StatusCode::ACCEPTED {
                return Ok(Requested::Other(answer));
            }
            let session = Session::opened_by(&answer, &registry, call.scopes, &context).await?;
            Ok(Requested::Session(session))
        });
        match requesting.await {
            Ok(requested) => requested,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that shuts down cancels the request, and then the caller ends too.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Asks how many bytes a session has; `None` if it is gone, or the registry does not tell.
    pub(super) async fn session_status(&self, session: &Session, context: &Context) -> Option<Session> {
        let call = Call::new(Method::GET, session.url.clone(), self.scopes(Doing::Write));
        let answer = self.registry().exchange(&call, Sent::Nothing, SMALL_ANSWER, context).await.ok()?;
        let is_alive =
            matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::OK | StatusCode::ACCEPTED);
        if is_alive { session.moved(&answer, self.registry(), context).await.ok() } else { None }
    }

    /// Cancels a session, if the registry supports that. It expires otherwise.
    pub(super) async fn cancel_session(&self, session: &Session, context: &Context) {
        self.registry().cancel_session(session.url.clone(), self.scopes(Doing::Write), context).await;
        self.registry().open_sessions().remove(session.number);
    }
}

/// The answer to a request that may open a session.
pub(super) enum Requested {
    Session(Session),
    Other(Answer),
}

impl Registry {
    /// Cancels all upload sessions that are open, after the command that uses them was interrupted. Sessions that an
    /// [`UploadMemory`](crate::UploadMemory) holds stay, so that the next run continues them.
    ///
    /// Uploads that have not yet begun wait for ever: the registry opens no other session.
    pub async fn cancel_uploads(&self) {
        while self.open_sessions().close() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let context = Context::new("cancel the uploads to", self.host());
        let sessions = self.open_sessions().take();
        let cancelled = sessions.into_iter().map(|(url, scopes)| self.cancel_surely(url, scopes, &context));
        futures::future::join_all(cancelled).await;
    }

    /// Cancels a session until it is gone.
    ///
    /// A registry may still receive the content of an interrupted upload, and write its state again after the session was cancelled. So
    /// a session counts as gone when the registry says twice that it does not know it. Docker's registry 2 refuses to cancel a session
    /// whose content was interrupted: the session's place names another number of bytes than it has. It removes such sessions later.
    async fn cancel_surely(&self, url: Url, scopes: Scopes, context: &Context) {
        let mut is_unknown = false;
        for _ in 0..MOST_CANCELS {
            tokio::time::sleep(LOOK_AGAIN).await;
            let was_unknown = is_unknown;
            match self.cancel_session(url.clone(), scopes.clone(), context).await {
                Some(answer) if answer.status.is_success() => is_unknown = false,
                Some(answer) if answer.status == StatusCode::NOT_FOUND && !was_unknown => is_unknown = true,
                Some(_) => return,
                None => {}
            }
        }
    }

    /// Asks the registry to cancel a session, and returns its answer if it has one.
    async fn cancel_session(&self, url: Url, scopes: Scopes, context: &Context) -> Option<Answer> {
        let call = Call::new(Method::DELETE, url, scopes);
        let answer = self.exchange_once(&call, Sent::Nothing, SMALL_ANSWER, context).await;
        answer.inspect_err(|error| tracing::debug!(%error, "the upload session was not cancelled")).ok()
    }
}
