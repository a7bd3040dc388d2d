//! Sending blobs: by the registry's strategies, and until they are there.

mod chunks;
mod session;

use std::time::Duration;

use futures::TryStreamExt;
use oci_model::{Digest, DigestHasher, RepositoryName};
use registry_backend::{BlobSource, Error, ErrorKind, Result, Retry, WriteHint, Written};
use reqwest::{Method, StatusCode};

use crate::body::SourcePart;
use crate::context::Context;
use crate::profile::{MountRule, UploadStrategy};
use crate::registry::{Answer, Payload};
use crate::repository::{Doing, Repository};
use crate::retry::Failures;
use session::Session;

/// The largest answer that is read where only the head counts, in bytes.
pub(crate) const SMALL_ANSWER: u64 = 64 * 1024;

/// A try that failed, and what to do about it.
#[derive(Debug)]
struct Failure {
    error: Error,
    next: Next,
    /// Whether the blob may appear though the answer was a failure, or none.
    may_land: bool,
}

/// What to do after a failed try, once the blob was found not to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing: it would fail again.
    Stop,
    /// A new session.
    Again,
    /// A new session, and another strategy if there is one: this one is refused.
    Otherwise,
    /// A new session, in chunks if the registry takes them: the connection broke in the middle.
    Interrupted,
    /// A new session, unless the content itself is at fault.
    DoubtContent,
}

impl Failure {
    fn stop(error: Error) -> Self {
        Self { error, next: Next::Stop, may_land: false }
    }

    /// A failure to get an answer, or an error of the source, after so many of all bytes.
    fn without_answer(error: Error, sent: u64, of: u64) -> Self {
        let next = match error.retry() {
            Retry::No => Next::Stop,
            _ if sent > 0 && sent < of => Next::Interrupted,
            _ => Next::Again,
        };
        Self { error, next, may_land: sent >= of }
    }
}

impl Repository {
    /// Stores a blob unless it is there already.
    ///
    /// # Errors
    ///
    /// As [`write_blob`](registry_backend::RegistryBackend::write_blob) states.
    pub async fn write_blob(&self, source: &dyn BlobSource, hint: &WriteHint) -> Result<Written> {
        let digest = source.digest();
        let context = self.context("write blob", digest);
        if DigestHasher::matching(digest).is_none() {
            let error = context.error(ErrorKind::Unsupported);
            return Err(error.because("the digest's algorithm is neither sha256 nor sha512"));
        }
        if let Some(limit) = self.profile().capabilities.max_blob_bytes.filter(|limit| source.size() > *limit)
        {
            let reason = format!("it has {} bytes, and the registry takes at most {limit}", source.size());
            return Err(context.error(ErrorKind::TooLarge).because(reason));
        }
        if self.stat_blob(digest).await?.is_some() {
            return Ok(Written::AlreadyThere);
        }
        let session = match hint.mount_from.as_ref().filter(|from| self.may_mount(from)) {
            None => None,
            Some(from) => match self.mount(digest, from, &context).await {
                Mount::Done => {
                    self.remember(digest);
                    return Ok(Written::Mounted);
                }
                Mount::Session(session) => Some(session),
                Mount::Refused => None,
            },
        };
        self.upload(source, session, &context).await?;
        self.remember(digest);
        Ok(Written::Uploaded)
    }

    fn may_mount(&self, from: &RepositoryName) -> bool {
        let owner = |name: &RepositoryName| name.as_str().split('/').next().map(str::to_owned);
        match self.profile().mounts {
            MountRule::Never => false,
            MountRule::AnyRepository => from != self.name(),
            MountRule::SameOwner => from != self.name() && owner(from) == owner(self.name()),
        }
    }

    /// Asks the registry to link the blob from another repository (distribution-spec, "Mounting a blob from another
    /// repository"). Whatever it says instead, the blob can still be sent.
    async fn mount(&self, digest: &Digest, from: &RepositoryName, context: &Context) -> Mount {
        let Ok(mut call) = self.call(Method::POST, format_args!("blobs/uploads/"), Doing::Write, context)
        else {
            return Mount::Refused;
        };
        call.url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from.as_str());
        call.scopes = call.scopes.and_repository(from, "pull");
        match self.registry().exchange(&call, Payload::Nothing, SMALL_ANSWER, context).await {
            Ok(answer) if answer.status == StatusCode::CREATED => Mount::Done,
            Ok(answer) if answer.status == StatusCode::ACCEPTED => {
                Session::from_answer(&answer, context).map_or(Mount::Refused, Mount::Session)
            }
            Ok(answer) => {
                tracing::debug!(status = answer.status.as_u16(), %digest, %from, "not mounted");
                Mount::Refused
            }
            Err(error) => {
                tracing::debug!(%error, %digest, %from, "not mounted");
                Mount::Refused
            }
        }
    }

    /// Sends the blob until it is there: after every failed try the registry is asked for it before a new session is
    /// started, since a commit that failed may have landed.
    async fn upload(&self, source: &dyn BlobSource, first: Option<Session>, context: &Context) -> Result<()> {
        let mut strategies = Strategies::new(&self.profile().uploads);
        let mut failures = Failures::new(self.rules());
        let mut session = first;
        let mut doubted = false;
        loop {
            let strategy = strategies.current();
            let Err(failure) = self.try_upload(source, strategy, session.take(), context).await else {
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
                Next::Interrupted => strategies.advance_to_chunks(),
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
        context: &Context,
    ) -> Result<(), Failure> {
        let session = match session {
            Some(session) => session,
            None => match self.start_session(context).await.map_err(Failure::stop)? {
                Some(session) => session,
                None => return Ok(()),
            },
        };
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

    /// Sends the whole content in one `PATCH`.
    async fn patch_whole(
        &self,
        session: &Session,
        source: &dyn BlobSource,
        context: &Context,
    ) -> Result<Session, Failure> {
        let call = session.patch(self.scopes(Doing::Write));
        let whole = SourcePart { source, offset: 0, length: source.size() };
        let (received, sent) = self.registry().send_metered(&call, Payload::Source(whole), context).await;
        let failed = |error| Failure::without_answer(error, sent, u64::MAX);
        let received = received.map_err(failed)?;
        let answer = self.registry().whole(received, SMALL_ANSWER, context).await.map_err(failed)?;
        // Pulp answers 204 (pulp_container issue 2199), others 200 or 201.
        if !answer.status.is_success() {
            return Err(self.refused_content(&answer, context));
        }
        session.moved(&answer, context).map_err(Failure::stop)
    }

    /// Closes a session, with the whole content or with what it has, and checks what the registry stored.
    async fn commit(
        &self,
        session: &Session,
        source: &dyn BlobSource,
        with_content: bool,
        context: &Context,
    ) -> Result<(), Failure> {
        let call = session.put(source.digest(), self.scopes(Doing::Write));
        let length = if with_content { source.size() } else { 0 };
        let whole = SourcePart { source, offset: 0, length };
        let payload = if with_content { Payload::Source(whole) } else { Payload::Commit };
        let (received, sent) = self.registry().send_metered(&call, payload, context).await;
        let failed = |error| Failure::without_answer(error, sent, length);
        let received = received.map_err(failed)?;
        let answer = self.registry().whole(received, SMALL_ANSWER, context).await.map_err(failed)?;
        if !answer.status.is_success() || answer.status == StatusCode::ACCEPTED {
            return Err(self.refused_content(&answer, context));
        }
        check_stored(&answer, source.digest(), context).map_err(Failure::stop)
    }

    fn refused_content(&self, answer: &Answer, context: &Context) -> Failure {
        let refusal = self.registry().refusal(answer);
        let error = self.registry().error(answer, context);
        let next = match answer.status.as_u16() {
            _ if refusal.has_code("DIGEST_INVALID") => Next::DoubtContent,
            // The session is gone.
            404 | 410 => Next::Again,
            // Too much at once, no length, no such range, no such method: another strategy may do.
            405 | 411 | 413 | 416 | 501 => Next::Otherwise,
            _ if error.kind() == ErrorKind::TooLarge => Next::Otherwise,
            _ if error.retry() != Retry::No => Next::Again,
            _ if refusal.has_code("BLOB_UPLOAD_INVALID") || refusal.has_code("BLOB_UPLOAD_UNKNOWN") => {
                Next::Again
            }
            _ => Next::Stop,
        };
        // What is worth a new session is worth trying again, whatever the status alone would say.
        let error = if next == Next::Again && error.retry() == Retry::No {
            error.with_retry(Retry::Yes)
        } else {
            error
        };
        Failure { error, next, may_land: answer.status.is_server_error() || next == Next::Again }
    }

    /// Asks for a blob whose upload failed: once, or as often as the profile says that it may take to appear.
    async fn landed(&self, source: &dyn BlobSource, may_land: bool, context: &Context) -> Result<bool> {
        let checks = &self.rules().commit_checks;
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

enum Mount {
    Done,
    Session(Session),
    Refused,
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

/// Checks that the registry stored the blob under the digest under which it is looked for: Docker's registry stores
/// what was sent with a SHA-512 digest under the SHA-256 one.
pub(crate) fn check_stored(answer: &Answer, digest: &Digest, context: &Context) -> Result<()> {
    match answer.header("docker-content-digest") {
        Some(stored) if stored != digest.as_str() && !stored.is_empty() => {
            let reason = format!("the registry stores it under another digest, {stored}");
            Err(context.error(ErrorKind::Unsupported).because(reason))
        }
        _ => Ok(()),
    }
}
