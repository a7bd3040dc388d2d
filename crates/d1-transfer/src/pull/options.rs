//! What a caller can choose about a pull, and what it did.

use std::fmt;
use std::sync::Arc;

use bagit::{Accept, Report};
use oci_model::Digest;
use serde::Serialize;

/// Tells of a path below the package's directory whether the file is wanted.
pub type Include = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// How to pull.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct PullOptions {
    /// Which files are wanted; without it, all.
    pub include: Option<Include>,
    /// What the user said to mean that, for messages.
    pub include_text: String,
    /// Whether other files in the way are replaced.
    pub overwrite: bool,
    /// Whether to go on after a damaged file was found, to find all of them.
    pub keep_going: bool,
    /// Whether a bag is not judged by its own manifests; digests are compared in any case.
    pub no_bag_check: bool,
    /// Whose faults are tolerated in a bag.
    pub accept: Accept,
}

/// What a pull did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PullReport {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Where the package is, below the output directory; empty for the output directory itself.
    pub directory: String,
    /// Number of files that are there now.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of files that were there before, or were left by an earlier attempt.
    pub kept_files: u64,
    /// Number of bytes that were received.
    pub received_bytes: u64,
    /// What the bag's own manifests say; absent for other packages and for a part of a bag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bag: Option<Report>,
}

impl fmt::Debug for PullOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PullOptions")
            .field("include", &self.include_text)
            .field("overwrite", &self.overwrite)
            .field("keep_going", &self.keep_going)
            .finish_non_exhaustive()
    }
}
