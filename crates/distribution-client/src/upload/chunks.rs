//! Sending a blob in chunks, and going on where a broken session stopped.

use registry_backend::{BlobSource, Error, ErrorKind, Retry};
use reqwest::StatusCode;

use super::SMALL_ANSWER;
use super::attempts::{Failure, Next};
use super::session::Session;
use crate::body::SourcePart;
use crate::context::Context;
use crate::registry::Payload;
use crate::repository::{Doing, Repository};
use crate::retry::count_failures;

impl Repository {
    /// Sends the content in chunks, and commits it.
    pub(super) async fn send_chunks(
        &self,
        mut session: Session,
        source: &dyn BlobSource,
        chunk_bytes: u64,
        context: &Context,
    ) -> Result<(), Failure> {
        let chunk_bytes = chunk_bytes.max(session.least_chunk).max(2);
        let mut failures = count_failures(self.rules());
        let mut offset = 0;
        while offset < source.size() {
            let length = chunk_bytes.min(source.size() - offset);
            let part = SourcePart { source, offset, length };
            let failure = match self.send_chunk(&session, part, context).await {
                Ok(next) => {
                    offset = acknowledged(&session, &next, offset, length);
                    session = next;
                    failures.forget();
                    continue;
                }
                Err(failure) => failure,
            };
            if failure.next == Next::Stop {
                self.cancel_session(&session, context).await;
                return Err(failure);
            }
            let Failure { error, next, may_land } = failure;
            failures.wait_after(error).await.map_err(|error| Failure { error, next, may_land })?;
            let Some(found) = self.session_status(&session, context).await else {
                return Err(lost(context, next));
            };
            let has = found.last_byte.filter(|last| *last > 0).map_or(0, |last| last + 1);
            if has > offset.saturating_add(length) {
                return Err(lost(context, next));
            }
            if has > offset {
                failures.forget();
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
        let (received, sent) = self.registry().send_metered(&call, Payload::Source(part), context).await;
        let failed = |error| Failure::without_answer(error, sent, u64::MAX);
        let received = received.map_err(failed)?;
        let answer = self.registry().whole(received, SMALL_ANSWER, context).await.map_err(failed)?;
        if answer.status.is_success() {
            return session.moved(&answer, context).map_err(Failure::stop);
        }
        let failure = self.refused_content(&answer, context);
        if answer.status == StatusCode::RANGE_NOT_SATISFIABLE && part.offset > 0 {
            // The registry is somewhere else than we are: its status says where.
            let error = failure.error.with_retry(Retry::Yes);
            return Err(Failure { error, next: Next::Again, may_land: false });
        }
        Err(failure)
    }

    /// Commits a session that has everything. A commit that failed without being heard is repeated, if the session is
    /// still there with all its bytes; else it may have landed, and the caller looks.
    async fn close_chunks(
        &self,
        mut session: Session,
        source: &dyn BlobSource,
        context: &Context,
    ) -> Result<(), Failure> {
        let mut failures = count_failures(self.rules());
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
                Some(found)
                    if found.last_byte.is_some_and(|last| last.saturating_add(1) >= source.size()) =>
                {
                    session = found;
                }
                _ => return Err(lost(context, Next::Again)),
            }
        }
    }
}

/// Returns how many bytes the registry has after a chunk.
///
/// What it says is believed where it makes sense: a registry may take a part of a chunk. ECR says the same after every
/// chunk (aws/containers-roadmap issue 2831) and Go servers may be off by one; these have taken all of it, and if not,
/// the digest tells in the end.
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
    // Starting over is all that is left.
    let next = if matches!(next, Next::Otherwise | Next::Interrupted { .. }) { next } else { Next::Again };
    Failure { error: error.with_retry(Retry::Yes), next, may_land: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(last_byte: Option<u64>) -> Session {
        Session {
            url: reqwest::Url::parse("http://r.example/u").unwrap(),
            least_chunk: 0,
            last_byte,
            own_connections: false,
        }
    }

    #[test]
    fn what_the_registry_says_it_has_is_believed_where_it_makes_sense() {
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
