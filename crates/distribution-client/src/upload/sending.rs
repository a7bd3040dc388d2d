//! Sending the content of a blob into a session, whole or in chunks, and the meaning of refusals.

use http_transfer::{Answer, StatusCode};
use registry_backend::{BlobSource, Error, ErrorKind, Result, Retry};

use super::session::Session;
use crate::context::Context;
use crate::manifests::check_stored;
use crate::registry::{SMALL_ANSWER, Sent, SourcePart};
use crate::repository::{Doing, Repository};

/// The least number of bytes beyond the furthest place so far that make up for earlier failures.
const LEAST_PROGRESS: u64 = 64 * 1024;

/// A try that failed, and the next step.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) next: Next,
    /// Whether the blob may appear though the answer was a failure, or missing.
    pub(super) may_land: bool,
}

/// The next step after a failed try, once the blob was found to be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// None: it would fail again.
    Stop,
    /// A new session.
    Again,
    /// A new session with another strategy if there is one: this one is refused.
    Otherwise,
    /// A new session, in chunks if the registry takes them: the connection broke in the middle.
    Interrupted {
        /// Number of bytes that the connection had taken.
        sent: u64,
    },
    /// A new session, unless the content itself is wrong.
    DoubtContent,
}

impl Failure {
    pub(super) fn stop(error: Error) -> Self {
        Self { error, next: Next::Stop, may_land: false }
    }

    /// A missing answer, or an error of the source, after so many of all bytes.
    fn without_answer(error: Error, sent: u64, of: u64) -> Self {
        let next = match error.retry() {
            Retry::No => Next::Stop,
            _ if sent > 0 && sent < of => Next::Interrupted { sent },
            _ => Next::Again,
        };
        Self { error, next, may_land: sent >= of }
    }
}

impl Repository {
    /// Sends the whole content in one `PATCH`.
    pub(super) async fn patch_whole(
        &self,
        session: &Session,
        source: &dyn BlobSource,
        context: &Context,
    ) -> Result<Session, Failure> {
        let call = session.patch(self.scopes(Doing::Write));
        let whole = SourcePart { source, offset: 0, length: source.size() };
        let (received, sent) = self.registry().send_counted(&call, Sent::Source(whole), context).await;
        let failed = |error| Failure::without_answer(error, sent, u64::MAX);
        let received = received.map_err(failed)?;
        let answer = self.registry().whole(received, SMALL_ANSWER, context).await.map_err(failed)?;
        // Pulp answers 204 (pulp_container issue 2199), others 200 or 201.
        if !answer.status.is_success() {
            return Err(self.refused_content(&answer, context));
        }
        session.moved(&answer, self.registry(), context).await.map_err(Failure::stop)
    }

    /// Closes a session, with the whole content or with the content that it has, and checks the stored digest.
    pub(super) async fn commit(
        &self,
        session: &Session,
        source: &dyn BlobSource,
        with_content: bool,
        context: &Context,
    ) -> Result<(), Failure> {
        let call = session.put(source.digest(), self.scopes(Doing::Write));
        let length = if with_content { source.size() } else { 0 };
        let whole = SourcePart { source, offset: 0, length };
        let content = if with_content { Sent::Source(whole) } else { Sent::Commit };
        let (received, sent) = self.registry().send_counted(&call, content, context).await;
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
            // Quay's word for a wrong digest (endpoints/v2/blob.py:588).
            400 if refusal.has_code("BLOB_UPLOAD_INVALID") => Next::DoubtContent,
            // The session is gone.
            404 | 410 => Next::Again,
            // A proxy's 413 during an outage, by the profile.
            413 if error.retry() != Retry::No => Next::Again,
            // Too much at once, no length, no such range, no such method: another strategy may do.
            405 | 411 | 413 | 416 | 501 => Next::Otherwise,
            _ if error.kind() == ErrorKind::TooLarge => Next::Otherwise,
            _ if error.retry() != Retry::No => Next::Again,
            _ if refusal.has_code("BLOB_UPLOAD_INVALID") || refusal.has_code("BLOB_UPLOAD_UNKNOWN") => {
                Next::Again
            }
            _ => Next::Stop,
        };
        // A new session is a new try, whatever the status alone would say.
        let error = if next == Next::Again && error.retry() == Retry::No {
            error.with_retry(Retry::Yes)
        } else {
            error
        };
        Failure { error, next, may_land: answer.status.is_server_error() || next == Next::Again }
    }

    /// Sends the content in chunks, from the byte after those that the session has, and commits it. `note` receives
    /// every location to which the session moves.
    pub(super) async fn send_chunks(
        &self,
        mut session: Session,
        source: &dyn BlobSource,
        chunk_bytes: u64,
        note: &(dyn Fn(&Session) + Send + Sync),
        context: &Context,
    ) -> Result<(), Failure> {
        let chunk_bytes = chunk_bytes.max(session.least_chunk).max(2);
        let mut failures = self.registry().failures();
        let mut offset = session.bytes();
        // The furthest place so far. Only bytes beyond it count as progress: a registry that loses what it took must
        // not keep the client busy without end.
        let mut reached = offset;
        while offset < source.size() {
            let length = chunk_bytes.min(source.size() - offset);
            let part = SourcePart { source, offset, length };
            let failure = match self.send_chunk(&session, part, context).await {
                Ok(next) => {
                    offset = acknowledged(&session, &next, offset, length);
                    session = next;
                    note(&session);
                    if offset >= reached.saturating_add(LEAST_PROGRESS.min(length)) {
                        failures.forget();
                        reached = offset;
                        continue;
                    }
                    let error = context.error(ErrorKind::Unavailable).with_retry(Retry::Yes);
                    let error =
                        error.because(format!("the registry keeps only {offset} bytes of the upload"));
                    Failure { error, next: Next::Again, may_land: false }
                }
                Err(failure) => {
                    if failure.next == Next::Stop {
                        self.cancel_session(&session, context).await;
                        return Err(failure);
                    }
                    failure
                }
            };
            let Failure { error, next, may_land } = failure;
            failures.wait_after(error).await.map_err(|error| Failure { error, next, may_land })?;
            let Some(found) = self.session_status(&session, context).await else {
                return Err(lost(context, next));
            };
            let has = found.bytes();
            if has > offset.saturating_add(length) {
                return Err(lost(context, next));
            }
            if has >= reached.saturating_add(LEAST_PROGRESS) {
                failures.forget();
                reached = has;
            }
            offset = has;
            session = found;
        }
        self.close_chunks(session, source, context).await
    }

    async fn send_chunk(
        &self,
        session: &Session,
        part: SourcePart<'_>,
        context: &Context,
    ) -> Result<Session, Failure> {
        let call = session.patch_chunk(part.offset, part.length, self.scopes(Doing::Write));
        let (received, sent) = self.registry().send_counted(&call, Sent::Source(part), context).await;
        let failed = |error| Failure::without_answer(error, sent, u64::MAX);
        let received = received.map_err(failed)?;
        let answer = self.registry().whole(received, SMALL_ANSWER, context).await.map_err(failed)?;
        if answer.status.is_success() {
            return session.moved(&answer, self.registry(), context).await.map_err(Failure::stop);
        }
        let failure = self.refused_content(&answer, context);
        if answer.status == StatusCode::RANGE_NOT_SATISFIABLE && part.offset > 0 {
            // The session is at another place than the client: its status says where.
            let error = failure.error.with_retry(Retry::Yes);
            return Err(Failure { error, next: Next::Again, may_land: false });
        }
        Err(failure)
    }

    /// Commits a session that has all bytes. A commit without an answer is repeated if the session still exists with all
    /// its bytes. Otherwise it may have landed, and the caller looks for the blob.
    async fn close_chunks(
        &self,
        mut session: Session,
        source: &dyn BlobSource,
        context: &Context,
    ) -> Result<(), Failure> {
        let mut failures = self.registry().failures();
        loop {
            let Err(failure) = self.commit(&session, source, false, context).await else { return Ok(()) };
            if matches!(failure.next, Next::Stop | Next::DoubtContent) {
                return Err(failure);
            }
            match self.landed(source, failure.may_land, context).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(Failure::stop(error)),
            }
            let Failure { error, next, may_land } = failure;
            failures.wait_after(error).await.map_err(|error| Failure { error, next, may_land })?;
            match self.session_status(&session, context).await {
                Some(found) if found.bytes() >= source.size() => session = found,
                _ => return Err(lost(context, Next::Again)),
            }
        }
    }
}

/// Returns how many bytes the registry has after a chunk.
///
/// The registry's own number counts where it makes sense: it may take a part of a chunk. ECR states the same number after
/// every chunk (aws/containers-roadmap issue 2831), and Go servers may be off by one. These have taken the whole chunk; if
/// not, the digest shows it in the end.
fn acknowledged(before: &Session, after: &Session, offset: u64, length: u64) -> u64 {
    let all = offset + length;
    match after.last_byte {
        Some(last) if before.last_byte == after.last_byte || last == 0 => {
            tracing::debug!(last, "the registry's range does not move");
            all
        }
        Some(last) if last.saturating_add(1) > offset && last < all => last + 1,
        _ => all,
    }
}

fn lost(context: &Context, next: Next) -> Failure {
    let error: Error = context.error(ErrorKind::Unavailable).because("the upload session is lost");
    // The only way on is to start over.
    let next = if matches!(next, Next::Otherwise | Next::Interrupted { .. }) { next } else { Next::Again };
    Failure { error: error.with_retry(Retry::Yes), next, may_land: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(last_byte: Option<u64>) -> Session {
        Session { last_byte, ..Session::at(http_transfer::Url::parse("http://r.example/u").unwrap()) }
    }

    #[test]
    fn the_registry_is_believed_where_its_number_makes_sense() {
        for (before, after, offset, length, expected) in [
            (None, Some(9), 0, 10, 10),
            (Some(9), Some(19), 10, 10, 20),
            // A short accept.
            (Some(9), Some(14), 10, 10, 15),
            (None, Some(4), 0, 10, 5),
            // Stuck at the first chunk, off by one, absent, nonsense.
            (Some(9), Some(9), 10, 10, 20),
            (Some(9), Some(20), 10, 10, 20),
            (None, None, 0, 10, 10),
            (None, Some(0), 0, 10, 10),
            (Some(19), Some(5), 20, 10, 30),
            (None, Some(u64::MAX), 0, 10, 10),
        ] {
            let has = acknowledged(&session(before), &session(after), offset, length);
            assert_eq!(has, expected, "{before:?} {after:?} {offset} {length}");
        }
    }
}
