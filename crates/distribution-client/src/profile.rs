//! What is known about a registry, as data.

use std::time::Duration;

use http_transfer::RetryRules;
use registry_backend::Capabilities;

use crate::options::is_loopback_host;
use crate::refusal::{Refusal, Verdict};

/// Everything in which registries differ. A crate for one registry is a value of this type and its vendor's own
/// interface.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// Name for logs and messages.
    pub name: &'static str,
    /// Limits and hints for callers.
    pub capabilities: Capabilities,
    /// How blobs are sent, in the order in which the ways are tried.
    pub uploads: Vec<UploadStrategy>,
    /// From which repositories a blob may be mounted.
    pub mounts: MountRule,
    /// How the registry lists referrers.
    pub referrers: ReferrersMode,
    /// Whether the registry itself refuses a manifest whose blobs or children are missing; else the client looks.
    pub checks_manifest_content: bool,
    /// The actions that are asked for in the scope of a token for deleting.
    pub delete_actions: &'static str,
    /// How many tags or referrers to ask for at once.
    pub page_size: u32,
    /// How large blobs are read in parallel, or `None` if they are not.
    pub segments: Option<Segments>,
    /// How much is asked of the registry at once.
    pub budget: BudgetRules,
    /// How long to wait for what.
    pub times: TimeLimits,
    /// How often to try again, and when.
    pub retry: RetryRules,
    /// After a failed commit: when to look whether the blob is there after all.
    pub commit_checks: Vec<Duration>,
    /// What this registry means by an answer where it differs from the rest; asked first.
    pub classify: fn(&Refusal) -> Option<Verdict>,
}

/// A way to send a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadStrategy {
    /// `POST`, then one `PUT` with the whole content, without `Content-Range`.
    Put,
    /// `POST`, one `PATCH` with the whole content, without `Content-Range`, then `PUT`.
    Patch,
    /// `POST`, a `PATCH` with `Content-Range` for each chunk, then `PUT`. An interrupted session is continued where the
    /// registry says it stopped.
    Chunks {
        /// Size of a chunk in bytes; a larger `OCI-Chunk-Min-Length` of the registry wins.
        bytes: u64,
    },
}

/// From which repositories of the same registry a blob may be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountRule {
    /// From none: the registry does not do it.
    Never,
    /// From any that the caller may read.
    AnyRepository,
    /// From those with the same first part of the name.
    SameOwner,
}

/// How a registry lists referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferrersMode {
    /// By the interface if it has it, else by the fallback tag; found out by asking (distribution-spec, "Listing
    /// Referrers").
    Probe,
    /// By the fallback tag only.
    FallbackTag,
    /// By the interface, though its answers to `PUT` lack `OCI-Subject`: whether it took note is looked up.
    ApiWithoutSubjectHeader,
}

/// How large blobs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// The size of a blob in bytes from which it is read in segments.
    pub from_bytes: u64,
    /// The size of a segment in bytes; each is held in memory.
    pub bytes: u64,
    /// How many segments of one blob to read at once.
    pub parallel: usize,
}

/// How much is asked of a registry at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetRules {
    /// Requests per second in the long run.
    pub requests_per_second: f64,
    /// Requests that may come at once before the rate counts.
    pub burst: u32,
    /// Requests in flight that carry no content.
    pub parallel_requests: usize,
    /// Requests in flight that send content.
    pub parallel_uploads: usize,
}

/// How long to wait for what. There is no limit on a transfer as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next bytes of an answer, or for the next bytes of content to be taken.
    pub silence: Duration,
    /// For the answer once all content has been sent: registries move whole blobs meanwhile.
    pub commit: Duration,
}

const MIB: u64 = 1024 * 1024;

impl Profile {
    /// Returns what can be assumed of a registry of which nothing is known but that it follows the distribution
    /// specification, or once did.
    pub fn generic() -> Self {
        Self {
            name: "generic",
            capabilities: Capabilities::default(),
            // One PUT is what every registry takes: containerd and oras send nothing else. Chunks are the way out where
            // a proxy limits bodies (Cloudflare: 100 MB) or cuts connections.
            uploads: vec![UploadStrategy::Put, UploadStrategy::Chunks { bytes: 16 * MIB }],
            mounts: MountRule::AnyRepository,
            referrers: ReferrersMode::Probe,
            checks_manifest_content: false,
            // distribution registry/handlers/app.go, appendAccessRecords: DELETE wants `delete`.
            delete_actions: "delete",
            // ECR refuses more than 1000 (go-containerregistry pkg/v1/remote/options.go).
            page_size: 1000,
            segments: Some(Segments { from_bytes: 64 * MIB, bytes: 4 * MIB, parallel: 3 }),
            budget: BudgetRules {
                requests_per_second: 50.0,
                burst: 200,
                parallel_requests: 8,
                parallel_uploads: 4,
            },
            times: TimeLimits {
                connect: Duration::from_secs(20),
                silence: Duration::from_secs(60),
                commit: Duration::from_secs(600),
            },
            retry: RetryRules::default(),
            commit_checks: vec![Duration::ZERO, Duration::from_secs(2)],
            classify: |_| None,
        }
    }
}

impl Profile {
    /// Returns what can be assumed of the registry at this host: one on this machine is not spared.
    pub fn generic_at(host: &str) -> Self {
        let mut profile = Self::generic();
        if is_loopback_host(host) {
            // Without a distance there is nothing to gain from more connections.
            profile.segments = None;
            profile.budget = BudgetRules {
                requests_per_second: 10_000.0,
                burst: 10_000,
                parallel_requests: 32,
                parallel_uploads: 8,
            };
        }
        profile
    }
}
