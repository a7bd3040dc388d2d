//! Sending blobs: by the registry's strategies, and until they are there.

mod attempts;
mod chunks;
mod session;
mod whole;

use oci_model::{Digest, DigestHasher, RepositoryName};
use registry_backend::{BlobSource, ErrorKind, Result, WriteHint, Written};
use reqwest::{Method, StatusCode};

use crate::context::Context;
use crate::profile::MountRule;
use crate::registry::Payload;
use crate::repository::{Doing, Repository};
use session::Session;
pub(crate) use whole::check_stored;

/// The largest answer that is read where only the head counts, in bytes.
pub(crate) const SMALL_ANSWER: u64 = 64 * 1024;

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
}

enum Mount {
    Done,
    Session(Session),
    Refused,
}
