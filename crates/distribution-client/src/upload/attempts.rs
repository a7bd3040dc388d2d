//! Trying to upload until the blob is there.

use std::time::Duration;

use futures::TryStreamExt;
use oci_model::DigestHasher;
use registry_backend::{BlobSource, Error, ErrorKind, Result, Retry};

use super::session::Session;
use crate::context::Context;
use crate::profile::UploadStrategy;
use crate::repository::Repository;
use crate::retry::count_failures;

/// A try that failed, and what to do about it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) next: Next,
    /// Whether the blob may appear though the answer was a failure, or none.
    pub(super) may_land: bool,
}

/// What to do after a failed try, once the blob was found not to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it would fail again.
    Stop,
    /// A new session.
    Again,
    /// A new session, and another strategy if there is one: this one is refused.
    Otherwise,
    /// A new session, in chunks if the registry takes them: the connection broke in the middle, after so many bytes.
    Interrupted {
        /// Number of bytes that the connection had taken.
        sent: u64,
    },
    /// A new session, unless the content itself is at fault.
    DoubtContent,
}

/// The bytes whose loss is reason enough to send chunks.
const LARGE_LOSS: u64 = 16 * 1024 * 1024;

impl Failure {
    pub(super) fn stop(error: Error) -> Self {
        Self { error, next: Next::Stop, may_land: false }
    }

    /// A failure to get an answer, or an error of the source, after so many of all bytes.
    pub(super) fn without_answer(error: Error, sent: u64, of: u64) -> Self {
        let next = match error.retry() {
            Retry::No => Next::Stop,
            _ if sent > 0 && sent < of => Next::Interrupted { sent },
            _ => Next::Again,
        };
        Self { error, next, may_land: sent >= of }
    }
}

impl Repository {
    /// Sends the blob until it is there: after every failed try the registry is asked for it before a new session is
    /// started, since a commit that failed may have landed.
    pub(super) async fn upload(
        &self,
        source: &dyn BlobSource,
        first: Option<Session>,
        context: &Context,
    ) -> Result<()> {
        let mut strategies = Strategies::new(&self.profile().uploads);
        let mut failures = count_failures(self.rules());
        let mut session = first;
        let mut doubted = false;
        let mut interrupted = false;
        loop {
            let strategy = strategies.current();
            let tried = self.try_upload(source, strategy, session.take(), interrupted, context).await;
            let Err(failure) = tried else {
                return Ok(());
            };
            tracing::debug!(error = %failure.error, next = ?failure.next, ?strategy, "upload failed");
            if failure.next == Next::Stop {
                return Err(failure.error);
            }
            if self.landed(source, failure.may_land, context).await? {
                return Ok(());
            }
            let mut error = failure.error;
            match failure.next {
                Next::Otherwise => {
                    if !strategies.advance() {
                        return Err(error);
                    }
                    error = error.with_retry(Retry::Yes);
                }
                Next::Interrupted { sent } => {
                    // A kept connection that the other side has closed meanwhile breaks early, once.
                    if interrupted || sent >= LARGE_LOSS {
                        strategies.advance_to_chunks();
                    }
                    interrupted = true;
                }
                Next::DoubtContent if doubted => return Err(error),
                Next::DoubtContent => {
                    doubted = true;
                    check_content(source, context).await?;
                    error = error.with_retry(Retry::Yes);
                }
                Next::Again | Next::Stop => {}
            }
            failures.wait_after(error).await?;
        }
    }

    async fn try_upload(
        &self,
        source: &dyn BlobSource,
        strategy: UploadStrategy,
        session: Option<Session>,
        own_connections: bool,
        context: &Context,
    ) -> Result<(), Failure> {
        let mut session = match session {
            Some(session) => session,
            None => match self.start_session(context).await.map_err(Failure::stop)? {
                Some(session) => session,
                None => return Ok(()),
            },
        };
        session.own_connections = own_connections;
        let tried = match strategy {
            UploadStrategy::Put => self.commit(&session, source, true, context).await,
            UploadStrategy::Patch => match self.patch_whole(&session, source, context).await {
                Ok(session) => self.commit(&session, source, false, context).await,
                Err(failure) => Err(failure),
            },
            UploadStrategy::Chunks { bytes } => {
                return self.send_chunks(session, source, bytes, context).await;
            }
        };
        if tried.as_ref().is_err_and(|failure| failure.next == Next::Stop) {
            self.cancel_session(&session, context).await;
        }
        tried
    }

    /// Asks for a blob whose upload failed: once, or as often as the profile says that it may take to appear.
    pub(super) async fn landed(
        &self,
        source: &dyn BlobSource,
        may_land: bool,
        context: &Context,
    ) -> Result<bool> {
        let checks = &self.profile().commit_checks;
        let checks = if may_land { checks.as_slice() } else { &[Duration::ZERO] };
        for wait in checks {
            tokio::time::sleep(*wait).await;
            match self.stat_blob(source.digest()).await? {
                Some(size) if size == source.size() => return Ok(true),
                Some(size) => {
                    let reason = format!("the registry has {size} bytes of it, not {}", source.size());
                    return Err(context.error(ErrorKind::Invalid).because(reason));
                }
                None => {}
            }
        }
        Ok(false)
    }
}

/// The profile's strategies, and how far they have been tried.
struct Strategies<'a> {
    all: &'a [UploadStrategy],
    place: usize,
}

impl<'a> Strategies<'a> {
    fn new(all: &'a [UploadStrategy]) -> Self {
        Self { all, place: 0 }
    }

    fn current(&self) -> UploadStrategy {
        self.all.get(self.place).copied().unwrap_or(UploadStrategy::Put)
    }

    fn advance(&mut self) -> bool {
        let has_next = self.place + 1 < self.all.len();
        self.place += usize::from(has_next);
        has_next
    }

    fn advance_to_chunks(&mut self) {
        let is_chunks = |strategy: &UploadStrategy| matches!(strategy, UploadStrategy::Chunks { .. });
        if let Some(steps) = self.all.get(self.place..).and_then(|rest| rest.iter().position(is_chunks)) {
            self.place += steps;
        }
    }
}

/// Reads the source to find out who is at fault for a wrong digest.
async fn check_content(source: &dyn BlobSource, context: &Context) -> Result<()> {
    let Some(mut hasher) = DigestHasher::matching(source.digest()) else { return Ok(()) };
    let mut stream = source.open(0).await?;
    while let Some(chunk) = stream.try_next().await? {
        hasher.update(&chunk);
    }
    let actual = hasher.finish();
    if actual == *source.digest() {
        return Ok(());
    }
    Err(context.error(ErrorKind::Invalid).because(format!("its bytes have the digest {actual}")))
}
