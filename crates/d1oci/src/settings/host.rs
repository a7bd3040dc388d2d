//! The settings of one registry, and the changes that they make to its profile.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use distribution_client::{Profile, UploadStrategy};
use registry_backend::Fit;
use serde::Deserialize;
use toml::Spanned;

use super::units::{Attempts, Seconds, Size};

/// The settings of one registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct HostSettings {
    written: Written,
}

/// The fields as the file has them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    backend: Option<Spanned<String>>,
    api: Option<Spanned<String>>,
    plain_http: Option<bool>,
    ca_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    username: Option<String>,
    password_variable: Option<String>,
    requests_per_second: Option<f64>,
    parallel: Option<usize>,
    part_size: Option<Size>,
    upload: Option<Spanned<Upload>>,
    chunk_size: Option<Size>,
    connect_timeout: Option<Seconds>,
    silence_timeout: Option<Seconds>,
    commit_timeout: Option<Seconds>,
    attempts: Option<Attempts>,
    patience: Option<Seconds>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Upload {
    Put,
    Patch,
    Chunks,
}

/// The smallest chunk in bytes: with smaller ones, a large file takes too many requests.
const SMALLEST_CHUNK: u64 = 64 * 1024;

/// The default size of chunks in bytes.
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

/// Settings that contradict each other or are out of bounds.
fn faults(written: &Written) -> [(bool, &'static str); 7] {
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
            written.chunk_size.is_some()
                && written.upload.as_ref().map(Spanned::get_ref) != Some(&Upload::Chunks),
            "`chunk-size` goes with `upload = \"chunks\"`",
        ),
        (written.chunk_size.is_some_and(|size| size.0 < SMALLEST_CHUNK), "`chunk-size` is at least `64 KiB`"),
        (written.part_size.is_some_and(|size| size.0 < SMALLEST_PART), "`part-size` is at least `1 MiB`"),
    ]
}

/// The smallest part in bytes.
const SMALLEST_PART: u64 = 1024 * 1024;

impl HostSettings {
    /// Sets for how long failed requests are repeated, unless the file does.
    pub(crate) fn set_usual_patience(&mut self, patience: Duration) {
        self.written.patience.get_or_insert(Seconds(patience));
    }

    /// Sets how many blobs are transferred at a time, whatever the file says.
    pub(crate) fn set_parallel(&mut self, parallel: usize) {
        self.written.parallel = Some(parallel);
    }

    /// Returns the name of the backend to use.
    pub(crate) fn backend(&self) -> Option<&str> {
        self.written.backend.as_ref().map(|name| name.get_ref().as_str())
    }

    /// Returns the URL of the vendor's interface.
    pub(crate) fn api(&self) -> Option<&str> {
        self.written.api.as_ref().map(|url| url.get_ref().as_str())
    }

    /// Checks the settings of a host against the kinds of registries that exist.
    ///
    /// # Errors
    ///
    /// The place in the file, and what is wrong there.
    pub(crate) fn check(&self, host: &str, profiles: &[Profile]) -> Result<(), (Range<usize>, String)> {
        let named = match &self.written.backend {
            None => None,
            Some(name) => {
                let found = profiles.iter().find(|profile| profile.name == name.get_ref());
                let known =
                    || profiles.iter().map(|profile| format!("`{}`", profile.name)).collect::<Vec<_>>();
                let profile = found.ok_or_else(|| {
                    let text = format!(
                        "unknown backend `{}`: expected one of {} (`d1oci backends` lists the backends of this program)",
                        name.get_ref(),
                        known().join(", ")
                    );
                    (name.span(), text)
                })?;
                Some((name, profile))
            }
        };
        let known = || profiles.iter().find(|profile| profile.hosts.contains(&host));
        let profile = named.map(|(_, profile)| profile).or_else(known);
        if let (Some(upload), Some(profile)) = (&self.written.upload, profile.filter(|it| !it.takes_chunks))
            && *upload.get_ref() == Upload::Chunks
        {
            let text = format!("`{}` stores wrong bytes when a blob comes in chunks", profile.name);
            return Err((upload.span(), text));
        }
        match (&self.written.api, named) {
            (Some(api), named) if named.is_none_or(|(_, profile)| profile.vendor.is_none()) => {
                let with: Vec<_> = profiles.iter().filter(|profile| profile.vendor.is_some()).collect();
                let with: Vec<_> =
                    with.iter().map(|profile| format!("`backend = \"{}\"`", profile.name)).collect();
                Err((
                    api.span(),
                    format!("`api`, the URL of a vendor's interface, goes with {}", with.join(" or ")),
                ))
            }
            // A host that only this setting makes one of the kind: nobody else knows where its interface is.
            (None, Some((name, profile))) if profile.fit(host) == Fit::No => Err((
                name.span(),
                format!(
                    "`backend = \"{}\"` goes with `api`, the URL of the server's REST interface",
                    profile.name
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Returns whether to use plain HTTP, if that is set.
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

    /// Puts the settings into a profile.
    pub(crate) fn apply(&self, profile: &mut Profile) {
        let written = &self.written;
        if let Some(rate) = written.requests_per_second {
            profile.budget.requests_per_second = rate;
            profile.budget.requests_per_second_at_first = None;
            // A burst is worth ten seconds of the rate, as for the registries with known limits.
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
        // With `--backend`, the settings of a host may meet a profile for which they were not checked.
        let is_possible = |upload: &Upload| *upload != Upload::Chunks || profile.takes_chunks;
        if let Some(upload) = written.upload.as_ref().map(Spanned::get_ref).copied().filter(is_possible) {
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
        Seconds::replace(written.patience, &mut profile.retry.patience);
        let times = &mut profile.times;
        Seconds::replace(written.connect_timeout, &mut times.connect);
        Seconds::replace(written.silence_timeout, &mut times.silence);
        Seconds::replace(written.commit_timeout, &mut times.commit);
    }
}
