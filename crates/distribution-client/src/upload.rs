//! Uploads: by the registry's strategies, until the blob is there.

pub(crate) mod open_sessions;
mod sending;
mod session;

use std::time::Duration;

use futures::TryStreamExt;
use http_transfer::{Method, Secret, StatusCode, Url, resolve};
use oci_model::{Digest, DigestHasher, RepositoryName};
use registry_backend::{BlobSource, Error, ErrorKind, Result, Retry, WriteHint, Written};

use crate::context::Context;
use crate::profile::{MountRule, UploadStrategy};
use crate::repository::{Doing, Repository};
use crate::upload_memory::{UploadMemory, UploadName};
use sending::{Failure, Next};
use session::{Requested, Session};

const MIB: u64 = 1024 * 1024;

/// The number of lost bytes from which a broken upload continues in chunks.
const LARGE_LOSS: u64 = 16 * 1024 * 1024;

/// The size in bytes from which the session of a blob is remembered. Smaller blobs are quickly sent again.
const REMEMBERED_BYTES: u64 = 32 * 1024 * 1024;

impl Repository {
    /// Stores a blob unless it is already there.
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
        let mut session = None;
        // Whether the registry has a blob of another size under the digest.
        let mut is_cut = false;
        if !hint.replace {
            if self.profile().mounts_from_itself {
                match self.mount(digest, self.name(), &context).await {
                    Mount::Done => {
                        self.remember(digest);
                        return Ok(Written::AlreadyThere);
                    }
                    Mount::Session(opened) => session = Some(opened),
                    Mount::Refused => {}
                }
            }
            if session.is_none() {
                match self.stored_size(digest, source.size(), &context).await? {
                    Some(size) if size == source.size() => return Ok(Written::AlreadyThere),
                    Some(_) => is_cut = true,
                    None => {}
                }
            }
        }
        if let Some(from) = hint.mount_from.as_ref().filter(|from| self.may_mount(from)) {
            match self.mount(digest, from, &context).await {
                Mount::Done => {
                    self.remember(digest);
                    return Ok(Written::Mounted);
                }
                Mount::Session(opened) => session = Some(opened),
                Mount::Refused => {}
            }
        }
        self.upload(source, session, &context).await?;
        if is_cut
            && let Some(size) =
                self.stored_size(digest, source.size(), &context).await?.filter(|size| *size != source.size())
        {
            let reason = format!(
                "the registry keeps {size} of its {} bytes under this digest, although it took all of them; its operator can remove the blob",
                source.size()
            );
            return Err(context.error(ErrorKind::Invalid).because(reason));
        }
        self.remember(digest);
        Ok(Written::Uploaded)
    }

    /// Returns the size of a blob. Some registries and proxies answer HEAD with another length, so a read decides if it differs.
    async fn stored_size(&self, digest: &Digest, wanted: u64, context: &Context) -> Result<Option<u64>> {
        match self.stat_blob(digest).await? {
            Some(size) if size != wanted => self.size_by_reading(digest, context).await,
            size => Ok(size),
        }
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
    /// repository"). After any other answer, the blob can still be sent.
    async fn mount(&self, digest: &Digest, from: &RepositoryName, context: &Context) -> Mount {
        let Ok(call) = self.call(Method::POST, format_args!("blobs/uploads/"), Doing::Write, context) else {
            return Mount::Refused;
        };
        let mut call = call.with_parameter("mount", digest.as_str()).with_parameter("from", from.as_str());
        if from != self.name() {
            call.scopes = call.scopes.and_repository(from, "pull");
        }
        match self.request_session(call, context).await {
            Ok(Requested::Session(session)) => Mount::Session(session),
            Ok(Requested::Other(answer)) if answer.status == StatusCode::CREATED => Mount::Done,
            Ok(Requested::Other(answer)) => {
                tracing::debug!(status = answer.status.as_u16(), %digest, %from, "not mounted");
                Mount::Refused
            }
            Err(error) => {
                tracing::debug!(%error, %digest, %from, "not mounted");
                Mount::Refused
            }
        }
    }

    /// Sends the blob until it is there. After every failed try, the client looks for the blob before it starts a new
    /// session: a commit that failed may have landed.
    async fn upload(&self, source: &dyn BlobSource, first: Option<Session>, context: &Context) -> Result<()> {
        let memory = self.memory(source);
        let mut strategies = Strategies::new(&self.profile().uploads, memory.is_some());
        let mut failures = self.registry().failures();
        let mut session = match &memory {
            Some(memory) => self.recalled_session(memory, context).await.or(first),
            None => first,
        };
        let mut doubted = false;
        let mut interrupted = false;
        loop {
            let strategy = strategies.current();
            let tried =
                self.try_upload(source, strategy, session.take(), interrupted, &memory, context).await;
            let is_settled = !matches!(&tried, Err(failure) if failure.next != Next::Stop);
            if let (Some(memory), true) = (&memory, is_settled) {
                memory.forget();
            }
            let Err(failure) = tried else { return Ok(()) };
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
                    if (interrupted || sent >= LARGE_LOSS)
                        && let Some(bytes) = strategies.advance_to_chunks()
                    {
                        error = in_chunks(error, sent, bytes, context);
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
        memory: &Option<Remembered<'_>>,
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
        let number = session.number;
        let tried = self.try_session(source, strategy, session, memory, context).await;
        self.registry().open_sessions().remove(number);
        tried
    }

    async fn try_session(
        &self,
        source: &dyn BlobSource,
        strategy: UploadStrategy,
        session: Session,
        memory: &Option<Remembered<'_>>,
        context: &Context,
    ) -> Result<(), Failure> {
        let tried = match strategy {
            UploadStrategy::Put => self.commit(&session, source, true, context).await,
            UploadStrategy::Patch => match self.patch_whole(&session, source, context).await {
                Ok(session) => self.commit(&session, source, false, context).await,
                Err(failure) => Err(failure),
            },
            UploadStrategy::Chunks { bytes } => {
                let note = |session: &Session| {
                    if let Some(memory) = memory {
                        memory.remember(&session.url);
                        // The next run continues it.
                        self.registry().open_sessions().remove(session.number);
                    }
                };
                note(&session);
                return self.send_chunks(session, source, bytes, &note, context).await;
            }
        };
        if tried.as_ref().is_err_and(|failure| failure.next == Next::Stop) {
            self.cancel_session(&session, context).await;
        }
        tried
    }

    /// Looks for a blob whose upload failed: once, or as often as the profile says that it may take to appear.
    async fn landed(&self, source: &dyn BlobSource, may_land: bool, context: &Context) -> Result<bool> {
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

    /// Returns the memory for the session of a large blob, if the caller has one and the registry takes chunks.
    fn memory<'a>(&'a self, source: &'a dyn BlobSource) -> Option<Remembered<'a>> {
        let memory = self.registry().options().uploads.as_deref()?;
        let takes_chunks = self.profile().uploads.iter().any(is_chunks);
        let name = UploadName::new(self.registry().host(), self.name().as_str(), source.digest().as_str());
        (takes_chunks && source.size() >= REMEMBERED_BYTES).then_some(Remembered { memory, name })
    }

    /// Returns the session that an earlier run began, if the registry still has it.
    async fn recalled_session(&self, memory: &Remembered<'_>, context: &Context) -> Option<Session> {
        let location = memory.memory.recall(&memory.name)?;
        let base = self.registry().url("", context).ok()?;
        let url = resolve(&base, self.registry().network().await, location.reveal()).ok()?;
        let found = self.session_status(&Session::at(url), context).await;
        match &found {
            Some(session) => tracing::debug!(bytes = session.bytes(), "an earlier upload goes on"),
            None => memory.forget(),
        }
        found
    }
}

enum Mount {
    Done,
    Session(Session),
    Refused,
}

/// The memory for one upload.
struct Remembered<'a> {
    memory: &'a dyn UploadMemory,
    name: UploadName<'a>,
}

impl Remembered<'_> {
    fn remember(&self, url: &Url) {
        self.memory.remember(&self.name, &Secret::new(url.as_str()));
    }

    fn forget(&self) {
        self.memory.forget(&self.name);
    }
}

/// The profile's strategies, and how many of them have been tried.
struct Strategies {
    all: Vec<UploadStrategy>,
    place: usize,
}

impl Strategies {
    /// Takes the strategies in their order, or with chunks first.
    fn new(all: &[UploadStrategy], chunks_first: bool) -> Self {
        let mut all = all.to_vec();
        if chunks_first {
            all.sort_by_key(|strategy| !is_chunks(strategy));
        }
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

    /// Goes on to chunks, if they come later. Returns their size in bytes.
    fn advance_to_chunks(&mut self) -> Option<u64> {
        let steps = self.all.get(self.place..)?.iter().position(is_chunks).filter(|steps| *steps > 0)?;
        self.place += steps;
        match self.current() {
            UploadStrategy::Chunks { bytes } => Some(bytes),
            UploadStrategy::Put | UploadStrategy::Patch => None,
        }
    }
}

fn is_chunks(strategy: &UploadStrategy) -> bool {
    matches!(strategy, UploadStrategy::Chunks { .. })
}

/// Returns the error of a connection that broke, for the wait before the blob is sent in chunks.
fn in_chunks(error: Error, sent: u64, bytes: u64, context: &Context) -> Error {
    let (sent, chunk) = (sent.div_ceil(MIB), bytes.div_ceil(MIB));
    let reason =
        format!("the connection broke after {sent} MiB, so the blob is now sent in chunks of {chunk} MiB");
    context.error(error.kind()).because(reason).with_retry(error.retry()).caused_by(error)
}

/// Reads the source to find out whether its content or the registry is at fault for a wrong digest.
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
