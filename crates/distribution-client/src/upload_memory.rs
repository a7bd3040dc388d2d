//! Upload sessions that outlive the process: the caller remembers where they are.

use std::fmt;

use http_transfer::Secret;

/// Remembers upload sessions, so that a program that was killed continues large uploads.
///
/// The registry keeps the bytes, and the client asks it how many it has. The caller keeps only the session's URL. The URL
/// can hold a secret of the session, so a file for it must be private.
pub trait UploadMemory: fmt::Debug + Send + Sync {
    /// Returns the URL of the session for a blob, if one is remembered.
    fn recall(&self, upload: &UploadName<'_>) -> Option<Secret>;

    /// Remembers the URL of the session for a blob, instead of an earlier one.
    fn remember(&self, upload: &UploadName<'_>, url: &Secret);

    /// Forgets the session for a blob.
    fn forget(&self, upload: &UploadName<'_>);
}

/// Names the upload of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UploadName<'a> {
    /// The registry's host, with a port if it was given.
    pub host: &'a str,
    /// The repository.
    pub repository: &'a str,
    /// The blob's digest.
    pub digest: &'a str,
}

impl<'a> UploadName<'a> {
    /// Returns the name of an upload.
    #[must_use]
    pub fn new(host: &'a str, repository: &'a str, digest: &'a str) -> Self {
        Self { host, repository, digest }
    }
}
