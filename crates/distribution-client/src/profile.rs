//! The facts about one kind of registry, as data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_transfer::{BudgetRules, RetryRules};
use oci_model::RepositoryName;
use registry_backend::{Capabilities, Error, ErrorKind, Fit, Result};

use crate::Secret;
use crate::credentials::Credential;
use crate::options::{ClientOptions, is_loopback_host};
use crate::refusal::{Refusal, Verdict};
use crate::vendor::{ManifestDeleter, RepositoryLister, TagLister, VendorRepository};

/// The facts in which registries differ. A crate for one kind of registry is a value of this type, and the vendor's own
/// interface where it has one. [`RegistryFactory`](crate::RegistryFactory) serves every profile.
///
/// ```
/// use distribution_client::Profile;
///
/// let mut harbor = Profile::generic();
/// harbor.name = "harbor";
/// harbor.about = "Harbor at the observatory";
/// harbor.hosts = &["harbor.example"];
/// harbor.capabilities.part_bytes = Some(512 * 1024 * 1024);
/// assert_eq!(harbor.at("harbor.example").page_size, 1000);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// Name of this kind of registry, in small letters: that of its crate without the `backend-` in front.
    pub name: &'static str,
    /// One line for people: the registries that this profile describes.
    pub about: &'static str,
    /// Hosts that are known to be of this kind.
    pub hosts: &'static [&'static str],
    /// How well this profile fits any other host.
    pub elsewhere: Fit,
    /// Changes the profile to fit one host; [`at`](Self::at) applies it.
    pub adjust: fn(&mut Profile, &str),
    /// Accounts and how to log in.
    pub login: LoginFacts,
    /// The vendor's own interface, for operations that the registry itself lacks.
    pub vendor: Option<VendorInterface>,
    /// The first part of repository names that a user may leave out: Docker Hub's `library`.
    pub default_namespace: Option<&'static str>,
    /// Limits and preferences for callers.
    pub capabilities: Capabilities,
    /// How to send blobs, in the order in which to try.
    pub uploads: Vec<UploadStrategy>,
    /// The repositories from which a blob may be mounted.
    pub mounts: MountRule,
    /// Whether a mount from the repository itself finds a blob and renews its lease. It replaces the question whether the blob
    /// exists and the request that opens a session.
    pub mounts_from_itself: bool,
    /// Whether the registry stores blobs that are sent in several chunks without a fault.
    pub takes_chunks: bool,
    /// How the registry lists referrers.
    pub referrers: ReferrersMode,
    /// Whether the registry refuses a manifest whose blobs or children are missing. If not, the client checks them.
    pub checks_manifest_content: bool,
    /// The actions in the scope of a token for deleting.
    pub delete_actions: &'static str,
    /// How many tags or referrers to request at once.
    pub page_size: u32,
    /// How to read large blobs in parallel, or `None` to read them in one stream.
    pub segments: Option<Segments>,
    /// How many requests the registry gets at once.
    pub budget: BudgetRules,
    /// How long to wait for answers.
    pub times: TimeLimits,
    /// How often to try again, and when.
    pub retry: RetryRules,
    /// After a failed commit: when to check whether the blob arrived nevertheless.
    pub commit_checks: Vec<Duration>,
    /// Explains refusals in which this registry differs from the rest; asked first.
    pub classify: fn(&Refusal) -> Option<Verdict>,
}

/// Accounts of one kind of registry, and how to log in.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LoginFacts {
    /// Advice for a user whose login the registry refused.
    pub hint: Option<&'static str>,
    /// The user name to send with a token, where the registry ignores the name.
    pub default_username: Option<&'static str>,
    /// The environment variables in which the vendor's own automation passes tokens.
    pub token_sources: &'static [TokenSource],
}

/// An environment variable that holds a token for a registry in the vendor's own automation.
///
/// The variable is never read unasked: the user names it in the configuration. The user name comes from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// Name of the variable, such as `GITHUB_TOKEN`.
    pub variable: &'static str,
    /// The user name that goes with the token.
    pub username: &'static str,
}

/// A vendor's own interface beside the registry.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct VendorInterface {
    /// Returns the URL of the interface for a host, or `None` if the user has to state it.
    pub url: fn(host: &str, options: &ClientOptions) -> Option<String>,
    /// Opens the interface for one repository; sends nothing.
    ///
    /// Errors: [`Invalid`](ErrorKind::Invalid) if the URL or the repository's name does not fit the vendor's rules.
    pub open: VendorOpener<dyn VendorRepository>,
    /// Returns the vendor's way to delete manifests, where the registry has none.
    ///
    /// Errors: as those of `open`.
    pub deleter: Option<VendorOpener<dyn ManifestDeleter>>,
    /// Returns the vendor's list of tags with digests.
    ///
    /// Errors: as those of `open`.
    pub lister: Option<VendorOpener<dyn TagLister>>,
    /// Returns the vendor's list of the repositories of a namespace, which the place has as its repository.
    ///
    /// Errors: as those of `open`.
    pub repositories: Option<VendorOpener<dyn RepositoryLister>>,
    /// Whether a repository that a push creates is private.
    pub new_repositories_are_private: bool,
    /// Advice for a user whom the interface refuses.
    pub login_hint: Option<&'static str>,
}

/// A function that opens something for one repository.
pub type VendorOpener<T> = fn(&VendorPlace<'_>) -> Result<Arc<T>>;

/// One repository, as a vendor's interface needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct VendorPlace<'a> {
    /// URL of the interface, such as `https://api.github.com`.
    pub interface: &'a str,
    /// The registry's host; its credentials are used.
    pub host: &'a str,
    /// The repository.
    pub repository: &'a RepositoryName,
    /// The facts about the registry.
    pub profile: &'a Profile,
    /// How to talk to the registry and to the interface.
    pub options: &'a ClientOptions,
}

/// A way to send a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadStrategy {
    /// `POST`, then one `PUT` with the whole content, without `Content-Range`.
    Put,
    /// `POST`, one `PATCH` with the whole content, without `Content-Range`, then `PUT`.
    Patch,
    /// `POST`, a `PATCH` with `Content-Range` for each chunk, then `PUT`. An interrupted session continues where the
    /// registry says it stopped.
    Chunks {
        /// Size of a chunk in bytes; a larger `OCI-Chunk-Min-Length` of the registry wins.
        bytes: u64,
    },
}

/// From which repositories of the same registry a blob may be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountRule {
    /// From none: the registry does not mount blobs.
    Never,
    /// From any that the caller may read.
    AnyRepository,
    /// From those with the same first part of the name.
    SameOwner,
}

/// How a registry lists referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferrersMode {
    /// By the referrers API if the registry has it, else by the fallback tag; the first request shows which
    /// (distribution-spec, "Listing Referrers").
    Probe,
    /// By the fallback tag only.
    FallbackTag,
    /// By the referrers API, although the answers to `PUT` lack `OCI-Subject`: the client checks the list itself.
    ApiWithoutSubjectHeader,
}

/// How to read large blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// The smallest blob in bytes to read in segments.
    pub from_bytes: u64,
    /// The size of a segment in bytes; memory holds each.
    pub bytes: u64,
    /// How many segments of one blob to read at once.
    pub parallel: usize,
}

/// How long to wait for answers. A transfer as a whole has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next bytes of an answer, or until the registry takes the next bytes of a blob.
    pub silence: Duration,
    /// For the answer after the last byte of a blob: registries move whole blobs meanwhile.
    pub commit: Duration,
}

const MIB: u64 = 1024 * 1024;

impl Profile {
    /// Returns the facts that hold for any registry that follows the distribution specification.
    pub fn generic() -> Self {
        Self {
            name: "generic",
            about: "any registry that speaks the OCI distribution specification",
            hosts: &[],
            elsewhere: Fit::General,
            adjust: adjust_generic,
            login: LoginFacts::default(),
            vendor: None,
            default_namespace: None,
            capabilities: Capabilities::default(),
            // Every registry takes one PUT: containerd and oras send nothing else. Chunks help where a proxy limits bodies
            // (Cloudflare: 100 MB) or cuts connections.
            uploads: vec![UploadStrategy::Put, UploadStrategy::Chunks { bytes: 16 * MIB }],
            mounts: MountRule::AnyRepository,
            mounts_from_itself: false,
            takes_chunks: true,
            referrers: ReferrersMode::Probe,
            checks_manifest_content: false,
            // distribution registry/handlers/app.go, appendAccessRecords: DELETE wants `delete`.
            delete_actions: "delete",
            // ECR refuses more than 1000 (go-containerregistry pkg/v1/remote/options.go).
            page_size: 1000,
            segments: Some(Segments { from_bytes: 64 * MIB, bytes: 4 * MIB, parallel: 3 }),
            budget: BudgetRules {
                requests_per_second: 50.0,
                // The requests in flight bound a registry without a known limit: with 20 ms of latency, 8 are 400 per second.
                requests_per_second_at_first: Some(1000.0),
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

    /// Returns the facts for the registry at one host.
    #[must_use]
    pub fn at(mut self, host: &str) -> Self {
        let adjust = std::mem::replace(&mut self.adjust, |_, _| ());
        adjust(&mut self, host);
        self
    }

    /// Returns how well the profile fits a host.
    pub fn fit(&self, host: &str) -> Fit {
        if self.hosts.contains(&host) { Fit::Exact } else { self.elsewhere }
    }

    /// Returns the credential for a token without a user name, or `None` if this registry needs the name.
    pub fn token_credential(&self, token: Secret) -> Option<Credential> {
        let username = self.login.default_username?.to_owned();
        Some(Credential::Password { username, password: token })
    }

    /// Returns the whole name of a repository whose namespace the user left out.
    pub fn whole_name(&self, name: &RepositoryName) -> Result<RepositoryName> {
        match self.default_namespace {
            Some(namespace) if !name.as_str().contains('/') => {
                let whole = format!("{namespace}/{name}").parse();
                whole.map_err(|error| Error::new(ErrorKind::Invalid, "open", name).caused_by(error))
            }
            _ => Ok(name.clone()),
        }
    }
}

/// The names of Docker Hub (moby registry/config.go).
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

fn adjust_generic(profile: &mut Profile, host: &str) {
    if DOCKER_HUB.contains(&host) {
        // Repositories without an owner are under `library/` (distribution reference/normalize.go).
        profile.default_namespace = Some("library");
        profile.login.hint = Some("with two-factor authentication the password is an access token");
        // Docker limits requests of an address besides pulls, "in the order of thousands per minute" (docs.docker.com, "Docker Hub
        // usage and limits").
        profile.budget.requests_per_second_at_first = None;
    }
    if is_loopback_host(host) {
        // Without a distance, more connections gain nothing.
        profile.segments = None;
        profile.budget = BudgetRules {
            requests_per_second: 10_000.0,
            requests_per_second_at_first: None,
            burst: 10_000,
            parallel_requests: 32,
            parallel_uploads: 8,
        };
    }
}
impl VendorInterface {
    /// Returns the interface that opens repositories in this way, at the URL that a host has.
    pub fn new(
        url: fn(&str, &ClientOptions) -> Option<String>,
        open: VendorOpener<dyn VendorRepository>,
    ) -> Self {
        Self {
            url,
            open,
            deleter: None,
            lister: None,
            repositories: None,
            new_repositories_are_private: false,
            login_hint: None,
        }
    }

    /// Returns the URL of the interface: the stated one, or that of the host.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if nobody knows it.
    pub fn url_for(
        &self,
        stated: Option<&str>,
        host: &str,
        profile: &Profile,
        options: &ClientOptions,
    ) -> Result<String> {
        stated.map(str::to_owned).or_else(|| (self.url)(host, options)).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "open", host)
                .because(format!("the URL of the {} interface of `{host}` is not known", profile.name))
        })
    }
}

impl fmt::Debug for VendorInterface {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("VendorInterface").finish_non_exhaustive()
    }
}
