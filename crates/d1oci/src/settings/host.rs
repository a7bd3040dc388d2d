//! What can be set for one registry, and what it changes.

use std::path::PathBuf;

use distribution_client::{Profile, UploadStrategy};
use serde::Deserialize;

use super::units::{Attempts, Seconds, Size};

/// What is set for one registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct HostSettings {
    written: Written,
}

/// The fields as they stand in the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    backend: Option<BackendKind>,
    api: Option<String>,
    plain_http: Option<bool>,
    ca_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    username: Option<String>,
    password_variable: Option<String>,
    requests_per_second: Option<f64>,
    parallel: Option<usize>,
    part_size: Option<Size>,
    upload: Option<Upload>,
    chunk_size: Option<Size>,
    connect_timeout: Option<Seconds>,
    silence_timeout: Option<Seconds>,
    commit_timeout: Option<Seconds>,
    attempts: Option<Attempts>,
}

/// The kinds of backend for registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BackendKind {
    Generic,
    Ghcr,
    Quay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Upload {
    Put,
    Patch,
    Chunks,
}

/// The smallest chunk in bytes: below it a large file takes more requests than anyone wants to answer.
const SMALLEST_CHUNK: u64 = 64 * 1024;

/// The size of chunks in bytes where none is set.
const USUAL_CHUNK: u64 = 16 * 1024 * 1024;

impl TryFrom<Written> for HostSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let fault = faults(&written).into_iter().find_map(|(is_wrong, message)| is_wrong.then_some(message));
        match fault {
            Some(message) => Err(message.to_owned()),
            None => Ok(Self { written }),
        }
    }
}

/// What does not go together, or is out of bounds.
fn faults(written: &Written) -> [(bool, &'static str); 8] {
    let rate = written.requests_per_second;
    [
        (
            written.client_certificate.is_some() != written.client_key.is_some(),
            "`client-certificate` and `client-key` go together",
        ),
        (
            written.username.is_some() && written.password_variable.is_none(),
            "`username` goes with `password-variable`, the name of the environment variable with the password",
        ),
        (
            rate.is_some_and(|rate| !(0.01..=10_000.0).contains(&rate)),
            "`requests-per-second` is a number between 0.01 and 10000",
        ),
        (
            written.parallel.is_some_and(|parallel| !(1..=64).contains(&parallel)),
            "`parallel` is between 1 and 64",
        ),
        (
            written.chunk_size.is_some() && written.upload != Some(Upload::Chunks),
            "`chunk-size` goes with `upload = \"chunks\"`",
        ),
        (written.chunk_size.is_some_and(|size| size.0 < SMALLEST_CHUNK), "`chunk-size` is at least `64 KiB`"),
        (written.part_size.is_some_and(|size| size.0 < SMALLEST_PART), "`part-size` is at least `1 MiB`"),
        (
            written.api.is_some() && written.backend != Some(BackendKind::Ghcr),
            "`api`, the URL of GitHub's REST interface, goes with `backend = \"ghcr\"`",
        ),
    ]
}

/// The smallest part in bytes.
const SMALLEST_PART: u64 = 1024 * 1024;

impl HostSettings {
    /// Returns which backend to use.
    pub(crate) fn backend(&self) -> Option<BackendKind> {
        self.written.backend
    }

    /// Tells whether the URL of GitHub's REST interface is set.
    pub(crate) fn has_api(&self) -> bool {
        self.written.api.is_some()
    }

    /// Returns the URL of GitHub's REST interface, for a server of one's own.
    #[cfg(feature = "backend-ghcr")]
    pub(crate) fn api(&self) -> Option<&str> {
        self.written.api.as_deref()
    }

    /// Returns whether to do without TLS, if that is set.
    pub(crate) fn plain_http(&self) -> Option<bool> {
        self.written.plain_http
    }

    /// Returns the file with further authorities.
    pub(crate) fn ca_file(&self) -> Option<&PathBuf> {
        self.written.ca_file.as_ref()
    }

    /// Returns the files of the client's certificate and its key.
    pub(crate) fn client_certificate(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.written.client_certificate.as_ref().zip(self.written.client_key.as_ref())
    }

    /// Returns the name of the environment variable with the password, and the username.
    pub(crate) fn password_variable(&self) -> Option<(&str, Option<&str>)> {
        self.written.password_variable.as_deref().map(|name| (name, self.written.username.as_deref()))
    }

    /// Changes what is known about the registry to what is set.
    pub(crate) fn apply(&self, profile: &mut Profile) {
        let written = &self.written;
        if let Some(rate) = written.requests_per_second {
            profile.budget.requests_per_second = rate;
            // What comes at once is worth ten seconds of the rate, as for the registries whose limits are known.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the rate is bounded when it is read"
            )]
            let burst = (rate * 10.0).ceil() as u32;
            profile.budget.burst = burst.max(1);
        }
        if let Some(parallel) = written.parallel {
            profile.capabilities.parallel_blobs = parallel;
            profile.budget.parallel_uploads = parallel;
            profile.budget.parallel_requests = profile.budget.parallel_requests.max(2 * parallel);
        }
        if let Some(size) = written.part_size {
            profile.capabilities.part_bytes = Some(size.0);
        }
        if let Some(upload) = written.upload {
            let bytes = written.chunk_size.map_or(USUAL_CHUNK, |size| size.0);
            profile.uploads = vec![match upload {
                Upload::Put => UploadStrategy::Put,
                Upload::Patch => UploadStrategy::Patch,
                Upload::Chunks => UploadStrategy::Chunks { bytes },
            }];
        }
        if let Some(attempts) = written.attempts {
            profile.retry.attempts = attempts.0;
        }
        let times = &mut profile.times;
        Seconds::replace(written.connect_timeout, &mut times.connect);
        Seconds::replace(written.silence_timeout, &mut times.silence);
        Seconds::replace(written.commit_timeout, &mut times.commit);
    }
}

impl BackendKind {
    /// Returns the name, as `d1oci backends` lists it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Ghcr => "ghcr",
            Self::Quay => "quay",
        }
    }
}
