//! The ways in which registries differ, as data that a test can change, and the values of known registries.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::fault::Fault;
use super::tokens::Auth;

/// The configuration of a scripted registry.
#[derive(Clone, Debug)]
pub struct Config {
    /// The behaviour.
    pub behaviour: Behaviour,
    /// Who may do what.
    pub auth: Auth,
    /// The faults.
    pub faults: Vec<Fault>,
    /// The port on 127.0.0.1; 0 takes any that is free.
    pub port: u16,
}

impl Config {
    /// Returns the configuration of a registry that lets everybody do everything and works.
    pub fn new(preset: Preset) -> Self {
        Self { behaviour: preset.behaviour(), auth: Auth::None, faults: Vec::new(), port: 0 }
    }

    /// Returns the configuration with this authentication.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Returns the configuration with one more fault.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Returns the configuration with its behaviour changed.
    #[must_use]
    pub fn with_behaviour(mut self, change: impl FnOnce(&mut Behaviour)) -> Self {
        change(&mut self.behaviour);
        self
    }
}

/// The ways in which a registry differs from others; [`Preset`] has values for those that exist.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is described at its type")]
pub struct Behaviour {
    pub uploads: UploadBehaviour,
    pub blobs: BlobBehaviour,
    pub manifests: ManifestBehaviour,
    pub tags: TagsBehaviour,
    pub referrers: ReferrersBehaviour,
    pub deletes: DeleteBehaviour,
    pub tokens: TokenBehaviour,
}

/// How blobs are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadBehaviour {
    /// Whether `Location` is an absolute URL, or a path.
    pub absolute_location: bool,
    /// The path segment before the upload's identifier in `Location`: `uploads`, or `upload` with GHCR.
    pub path_word: &'static str,
    /// The query of `Location`.
    pub state: UploadState,
    /// The `Range` header of the answer to `POST`.
    pub range_after_start: Option<&'static str>,
    /// The largest body in bytes that may come with `Content-Range`.
    pub content_range_limit: Option<u64>,
    /// How `Content-Range` is treated.
    pub content_range: ContentRange,
    /// The smallest chunk in bytes, which is announced and enforced (distribution-spec, "Pushing a blob in chunks").
    pub chunk_min_bytes: Option<u64>,
    /// How the progress of an upload is told.
    pub status: UploadStatus,
    /// The fate of an upload whose `PATCH` is cut in the middle.
    pub cut_patch: CutPatch,
    /// Whether any failure of the `PUT` ends the upload.
    pub failed_commit_cancels: bool,
    /// Whether one `POST` with digest and content is enough.
    pub single_post: bool,
    /// Whether a `POST` is refused that states no length and has no chunked body.
    pub needs_content_length: bool,
    /// From where blobs are mounted.
    pub mounts: Mounts,
    /// The largest blob in bytes.
    pub max_blob_bytes: Option<u64>,
    /// Whether SHA-512 digests are taken.
    pub sha512: bool,
    /// The code of the error for content with another digest.
    pub wrong_digest_code: &'static str,
    /// The blob that several `PATCH` requests leave.
    pub several_patches: SeveralPatches,
}

/// The blob that several `PATCH` requests leave under the right digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeveralPatches {
    /// The right bytes.
    Right,
    /// Half of the bytes, if the requests had `Content-Range` (Quay on S3).
    HalvedWithContentRange,
    /// All bytes but the last, if the requests had no `Content-Range` (Quay on a local disk).
    TruncatedWithoutContentRange,
}

/// The query of an upload's `Location`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// Nothing.
    Nothing,
    /// A token without which the upload is not found.
    Token,
    /// A state that changes with every request; an old one ends the upload (Docker registry 2.8).
    Changing,
}

/// How `Content-Range` is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// A range that does not continue the upload is answered with 416.
    Checked,
    /// As before, and what overlaps is skipped; the `Range` of the 416 is one too high (Quay).
    Overlapping,
    /// It is not read: the content is appended (Docker registry 2.8).
    Ignored,
}

/// How the progress of an upload is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadStatus {
    /// 204 with `Location` and `Range: 0-LAST`.
    Plain,
    /// 204 with `Range: bytes=0-COUNT`, which is one too high, and no `Location` (Quay).
    OneTooHigh,
    /// 404.
    Unsupported,
}

/// The fate of an upload whose `PATCH` is cut in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutPatch {
    /// The bytes that came stay.
    KeepsBytes,
    /// The upload is as before the `PATCH` (Quay).
    LosesBytes,
    /// The upload is gone (Docker registry 2.8).
    CancelsUpload,
}

/// From where blobs are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// Nowhere: the answer is always 202.
    Never,
    /// From the repository that is named.
    NeedsFrom,
    /// From the repository that is named, if the first part of its name is the same (GHCR).
    SameOwner,
    /// From any repository, even if none is named.
    Anywhere,
}

/// How blobs are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobBehaviour {
    /// The status with which `GET` redirects to the storage host, or `None` if the registry serves the bytes itself.
    pub redirect: Option<u16>,
    /// Whether the redirect has a page of HTML as its body (Quay).
    pub redirect_html: bool,
    /// How long a link to the storage host is valid.
    pub link_lifetime: Duration,
    /// Whether ranges are served.
    pub ranges: bool,
    /// Whether the answer to a range outside of the blob states the length of the blob, and so ends early (docker-registry 2.8).
    pub breaks_off_outside: bool,
    /// How long a collection spares a blob that no manifest names, since it was sent or mounted; `None` if not at all. `HEAD` does not
    /// renew that time.
    pub lease: Option<Duration>,
}

/// How manifests are taken and served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestBehaviour {
    /// The largest manifest in bytes.
    pub max_bytes: usize,
    /// The status with which a larger one is refused.
    pub too_large_status: u16,
    /// Whether a larger one is refused with a page of HTML, by a proxy in front of the registry.
    pub too_large_html: bool,
    /// How `Accept` decides whether a manifest is found.
    pub accept: AcceptRule,
    /// How long a manifest stays that no tag names, or `None` if forever. Manifests with a subject then stay and cannot be deleted.
    pub untagged_lifetime: Option<Duration>,
    /// Whether a missing blob is called an invalid manifest, with the blob in the detail (Quay).
    pub missing_is_invalid: bool,
    /// The status for a name that begins like a digest and is not one.
    pub malformed_digest_status: u16,
    /// The status for a `Content-Type` that is not that of a manifest.
    pub unknown_type_status: u16,
    /// Whether the answers carry `Docker-Content-Digest`.
    pub states_digest: bool,
    /// Whether missing blobs and children are found.
    pub checks_content: bool,
    /// Whether layers that must not be distributed may be missing.
    pub takes_layers_from_elsewhere: bool,
    /// The only types of configurations that are taken, if there is such a list.
    pub config_types: Option<Vec<String>>,
}

/// How `Accept` decides whether a manifest is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptRule {
    /// It is not read.
    Ignored,
    /// It must name the manifest's type, or `*/*`.
    Named,
    /// By tag it must name exactly the manifest's type; by digest it is not read (Quay).
    ExactByTag,
}

/// How tags are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagsBehaviour {
    /// The most tags on a page, or `None` if all come at once.
    pub page: Option<usize>,
    /// Whether the oldest comes first, instead of the order of the alphabet.
    pub oldest_first: bool,
    /// Whether the answer for a repository without tags is `null` instead of a list.
    pub null_when_empty: bool,
    /// Whether the `Link` has an absolute URL.
    pub absolute_link: bool,
    /// Whether the `Link` has quotes around `next`.
    pub quoted_link: bool,
    /// Whether the registry lists its repositories.
    pub lists_repositories: bool,
    /// Whether Quay's own interface lists the tags with their digests.
    pub quay_interface: bool,
    /// Whether the error for a deleted tag has the code `TAG_EXPIRED` (Quay).
    pub deleted_is_expired: bool,
}

/// How referrers are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferrersBehaviour {
    /// The registry lists them itself.
    Api(ReferrersApi),
    /// 404 with an error of this code.
    NotFound(&'static str),
    /// A redirect to a page for people on another host (GHCR at times).
    RedirectedAway,
}

/// How a registry lists referrers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrersApi {
    /// Whether the answer to a manifest with a subject carries `OCI-Subject`.
    pub states_subject: bool,
    /// Whether `artifactType` filters.
    pub filters: bool,
    /// The most descriptors on a page, or `None` if all come at once.
    pub page: Option<usize>,
    /// Whether a subject that is not there is answered with 400 instead of an empty list (Quay).
    pub unknown_subject_is_invalid: bool,
    /// Whether what the fallback tag lists is listed too (Quay).
    pub merges_fallback_tag: bool,
    /// Whether a manifest without an artifact type is listed with that of its configuration.
    pub uses_config_type: bool,
}

/// The content that can be deleted; other requests get 405.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say all")]
pub struct DeleteBehaviour {
    pub manifests: bool,
    pub tags: bool,
    pub blobs: bool,
}

/// How tokens are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBehaviour {
    /// The path at which they are given.
    pub path: &'static str,
    /// The fields of the answer that carry the token: `token`, `access_token` or both.
    pub fields: &'static [&'static str],
    /// Whether the answer says when the token expires.
    pub states_expiry: bool,
    /// The actions that a scope may have; others are answered with 400.
    pub actions: &'static [&'static str],
    /// Whether `push` suffices for deleting.
    pub push_deletes: bool,
    /// The scope in the challenge of `/v2/`.
    pub ping_scope: Option<&'static str>,
    /// Whether any user's name is taken with a right password (GHCR).
    pub any_user_name: bool,
    /// Whether `POST` gives tokens, and refresh tokens.
    pub oauth2: bool,
    /// Whether who may not do something is answered with 403 instead of 401.
    pub denies_with_403: bool,
    /// Whether the challenge names an error.
    pub states_error: bool,
    /// Whether several scopes in one parameter are answered with 400.
    pub one_scope_per_parameter: bool,
    /// Whether a token for an absent repository covers no pull, so that absent and private ones look alike.
    pub hides_absent: bool,
    /// Whether giving a token for pushing creates the repository.
    pub push_creates: bool,
}

/// A registry whose behaviour is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// distribution-spec 1.1.1 with everything that it allows to ask for.
    Strict,
    /// GitHub's container registry.
    Ghcr,
    /// quay.io and Project Quay 3.13, with its blobs on S3.
    Quay,
    /// Project Quay 3.13 with its blobs on a local disk.
    QuayDisk,
    /// Docker registry 2.8, of before referrers.
    Old,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 5] = [Self::Strict, Self::Ghcr, Self::Quay, Self::QuayDisk, Self::Old];

    /// Returns the name, as `cargo xtask registry --preset` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Ghcr => "ghcr",
            Self::Quay => "quay",
            Self::QuayDisk => "quay-disk",
            Self::Old => "old",
        }
    }

    /// Returns the behaviour.
    pub fn behaviour(self) -> Behaviour {
        match self {
            Self::Strict => strict(),
            Self::Ghcr => ghcr(),
            Self::Quay => quay(),
            Self::QuayDisk => quay_disk(),
            Self::Old => old(),
        }
    }
}

const MIB: u64 = 1024 * 1024;

fn strict_uploads() -> UploadBehaviour {
    UploadBehaviour {
        absolute_location: false,
        path_word: "uploads",
        state: UploadState::Token,
        range_after_start: None,
        content_range_limit: None,
        content_range: ContentRange::Checked,
        chunk_min_bytes: None,
        status: UploadStatus::Plain,
        cut_patch: CutPatch::KeepsBytes,
        failed_commit_cancels: false,
        single_post: true,
        needs_content_length: true,
        mounts: Mounts::Anywhere,
        max_blob_bytes: None,
        sha512: true,
        wrong_digest_code: "DIGEST_INVALID",
        several_patches: SeveralPatches::Right,
    }
}

fn strict() -> Behaviour {
    Behaviour {
        uploads: strict_uploads(),
        blobs: BlobBehaviour {
            redirect: None,
            redirect_html: false,
            link_lifetime: Duration::from_secs(300),
            ranges: true,
            breaks_off_outside: false,
            lease: None,
        },
        manifests: ManifestBehaviour {
            max_bytes: 4 * 1024 * 1024,
            too_large_status: 413,
            too_large_html: false,
            accept: AcceptRule::Named,
            untagged_lifetime: None,
            missing_is_invalid: false,
            malformed_digest_status: 400,
            unknown_type_status: 400,
            states_digest: true,
            checks_content: true,
            takes_layers_from_elsewhere: true,
            config_types: None,
        },
        tags: TagsBehaviour {
            page: Some(50),
            oldest_first: false,
            null_when_empty: false,
            absolute_link: false,
            quoted_link: true,
            lists_repositories: true,
            quay_interface: false,
            deleted_is_expired: false,
        },
        referrers: ReferrersBehaviour::Api(ReferrersApi {
            states_subject: true,
            filters: true,
            page: Some(10),
            unknown_subject_is_invalid: false,
            merges_fallback_tag: false,
            uses_config_type: true,
        }),
        deletes: DeleteBehaviour { manifests: true, tags: true, blobs: true },
        tokens: TokenBehaviour {
            path: "/token",
            fields: &["token", "access_token"],
            states_expiry: true,
            actions: &["pull", "push", "delete", "*"],
            push_deletes: false,
            ping_scope: None,
            any_user_name: false,
            oauth2: true,
            denies_with_403: false,
            states_error: true,
            one_scope_per_parameter: false,
            hides_absent: false,
            push_creates: false,
        },
    }
}

/// GitHub: bodies with `Content-Range` up to 4 MiB, relative locations with `upload`, blobs behind a 307 for 300
/// seconds, no referrers, no deletes, no list of repositories, tags with the oldest first, tokens that do not say when they expire.
fn ghcr() -> Behaviour {
    let mut ghcr = strict();
    ghcr.uploads.path_word = "upload";
    ghcr.uploads.state = UploadState::Nothing;
    ghcr.uploads.range_after_start = Some("0-0");
    ghcr.uploads.content_range_limit = Some(4 * MIB);
    ghcr.uploads.status = UploadStatus::Unsupported;
    ghcr.uploads.cut_patch = CutPatch::CancelsUpload;
    ghcr.uploads.failed_commit_cancels = true;
    ghcr.uploads.single_post = false;
    ghcr.uploads.needs_content_length = false;
    ghcr.uploads.mounts = Mounts::SameOwner;
    ghcr.uploads.max_blob_bytes = Some(10_000_000_000);
    ghcr.uploads.sha512 = false;
    ghcr.blobs.redirect = Some(307);
    ghcr.manifests.accept = AcceptRule::Ignored;
    ghcr.tags.page = Some(100);
    ghcr.tags.oldest_first = true;
    ghcr.tags.lists_repositories = false;
    ghcr.referrers = ReferrersBehaviour::NotFound("MANIFEST_UNKNOWN");
    ghcr.deletes = DeleteBehaviour { manifests: false, tags: false, blobs: false };
    ghcr.tokens.fields = &["token"];
    ghcr.tokens.states_expiry = false;
    ghcr.tokens.ping_scope = Some("repository:user/image:pull");
    ghcr.tokens.any_user_name = true;
    ghcr.tokens.oauth2 = false;
    ghcr.tokens.denies_with_403 = true;
    ghcr
}

/// Quay, as a complete installation of revision ffba0c70e answered with its blobs on S3.
///
/// Uploads have absolute locations and odd ranges, a failed `PUT` ends them, and several `PATCH` requests with `Content-Range` store half
/// of the bytes. Blobs are behind a 302 with HTML for 600 seconds. A blob that no manifest names has a lease of an hour, which a mount from the
/// same repository renews. A manifest that no tag names stays for an hour. One with a subject stays forever and cannot be deleted. nginx refuses manifests above 1 MiB. No scope has `delete`, absent repositories look private, and a token
/// for pushing creates the repository.
fn quay() -> Behaviour {
    let mut quay = strict();
    quay.uploads.absolute_location = true;
    quay.uploads.state = UploadState::Nothing;
    quay.uploads.range_after_start = Some("bytes=0--1");
    quay.uploads.content_range = ContentRange::Overlapping;
    quay.uploads.status = UploadStatus::OneTooHigh;
    quay.uploads.cut_patch = CutPatch::LosesBytes;
    quay.uploads.failed_commit_cancels = true;
    quay.uploads.needs_content_length = false;
    quay.uploads.mounts = Mounts::NeedsFrom;
    quay.uploads.max_blob_bytes = Some(20 * 1024 * MIB);
    quay.uploads.sha512 = false;
    quay.uploads.wrong_digest_code = "BLOB_UPLOAD_INVALID";
    quay.uploads.several_patches = SeveralPatches::HalvedWithContentRange;
    quay.blobs.redirect = Some(302);
    quay.blobs.redirect_html = true;
    quay.blobs.link_lifetime = Duration::from_secs(600);
    quay.blobs.lease = Some(Duration::from_secs(3600));
    quay.manifests.max_bytes = 1024 * 1024;
    quay.manifests.too_large_html = true;
    quay.manifests.accept = AcceptRule::ExactByTag;
    quay.manifests.untagged_lifetime = Some(Duration::from_secs(3600));
    quay.manifests.missing_is_invalid = true;
    quay.manifests.unknown_type_status = 415;
    quay.tags.page = Some(100);
    quay.tags.quay_interface = true;
    quay.tags.deleted_is_expired = true;
    quay.referrers = ReferrersBehaviour::Api(ReferrersApi {
        states_subject: false,
        filters: true,
        page: None,
        unknown_subject_is_invalid: true,
        merges_fallback_tag: true,
        uses_config_type: false,
    });
    quay.deletes.blobs = false;
    quay.tokens.path = "/v2/auth";
    quay.tokens.fields = &["token"];
    quay.tokens.states_expiry = false;
    quay.tokens.actions = &["pull", "push", "*"];
    quay.tokens.push_deletes = true;
    quay.tokens.oauth2 = false;
    quay.tokens.states_error = false;
    quay.tokens.one_scope_per_parameter = true;
    quay.tokens.hides_absent = true;
    quay.tokens.push_creates = true;
    quay
}

/// Quay with its blobs on a local disk: it sends them itself and ignores ranges, keeps the bytes of a cut `PATCH`, and several `PATCH`
/// requests without `Content-Range` leave a truncated blob.
fn quay_disk() -> Behaviour {
    let mut disk = quay();
    disk.uploads.cut_patch = CutPatch::KeepsBytes;
    disk.uploads.several_patches = SeveralPatches::TruncatedWithoutContentRange;
    disk.blobs.redirect = None;
    disk.blobs.redirect_html = false;
    disk.blobs.ranges = false;
    disk
}

/// Docker registry 2.8 (`registry/handlers`): absolute locations with a state that changes, `Content-Range` not read, a
/// cut `PATCH` ends the upload, all tags at once, no referrers, deletes only by digest.
fn old() -> Behaviour {
    let mut old = strict();
    old.uploads.absolute_location = true;
    old.uploads.state = UploadState::Changing;
    old.uploads.range_after_start = Some("0-0");
    old.uploads.content_range = ContentRange::Ignored;
    old.uploads.cut_patch = CutPatch::CancelsUpload;
    old.uploads.failed_commit_cancels = true;
    old.uploads.single_post = false;
    old.uploads.needs_content_length = false;
    old.uploads.mounts = Mounts::NeedsFrom;
    old.uploads.sha512 = false;
    old.blobs.breaks_off_outside = true;
    old.manifests.too_large_status = 400;
    old.manifests.malformed_digest_status = 500;
    old.manifests.takes_layers_from_elsewhere = false;
    old.tags.page = None;
    old.tags.null_when_empty = true;
    old.referrers = ReferrersBehaviour::NotFound("UNSUPPORTED");
    old.deletes = DeleteBehaviour { manifests: true, tags: false, blobs: true };
    old
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join("`, `");
            format!("`{name}` is not a preset: there are `{names}`")
        })
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
