//! Sending a blob whole, committing it, and what refusals mean.

use oci_model::Digest;
use registry_backend::{BlobSource, ErrorKind, Result, Retry};
use reqwest::StatusCode;

use super::SMALL_ANSWER;
use super::attempts::{Failure, Next};
use super::session::Session;
use crate::body::SourcePart;
use crate::context::Context;
use crate::registry::{Answer, Payload};
use crate::repository::{Doing, Repository};

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

    pub(super) fn refused_content(&self, answer: &Answer, context: &Context) -> Failure {
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
