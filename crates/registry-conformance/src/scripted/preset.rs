//! The behaviour of registries that exist; the sources of the constants are vendors' documents and sources.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::behaviour::{
    Behaviour, BlobBehaviour, ContentRange, CutPatch, DeleteBehaviour, ManifestBehaviour, Mounts,
    ReferrersApi, ReferrersBehaviour, TagsBehaviour, TokenBehaviour, UploadBehaviour, UploadState,
    UploadStatus,
};

/// A registry whose behaviour is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// distribution-spec 1.1.1 with everything that it allows to ask for.
    Strict,
    /// GitHub's container registry.
    Ghcr,
    /// quay.io and Project Quay 3.13.
    Quay,
    /// Docker registry 2.8, of before referrers.
    Old,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 4] = [Self::Strict, Self::Ghcr, Self::Quay, Self::Old];

    /// Returns the name, as `cargo xtask registry --preset` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Ghcr => "ghcr",
            Self::Quay => "quay",
            Self::Old => "old",
        }
    }

    /// Returns the behaviour.
    pub fn behaviour(self) -> Behaviour {
        match self {
            Self::Strict => strict(),
            Self::Ghcr => ghcr(),
            Self::Quay => quay(),
            Self::Old => old(),
        }
    }
}

const MIB: u64 = 1024 * 1024;

fn strict() -> Behaviour {
    Behaviour {
        uploads: UploadBehaviour {
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
        },
        blobs: BlobBehaviour {
            redirect: None,
            redirect_html: false,
            link_lifetime: Duration::from_secs(300),
            ranges: true,
        },
        manifests: ManifestBehaviour {
            max_bytes: 4 * 1024 * 1024,
            too_large_status: 413,
            needs_accept: true,
            states_digest: true,
            checks_content: true,
            config_types: None,
        },
        tags: TagsBehaviour {
            page: Some(50),
            oldest_first: false,
            null_when_empty: false,
            absolute_link: false,
            quoted_link: true,
        },
        referrers: ReferrersBehaviour::Api(ReferrersApi {
            states_subject: true,
            filters: true,
            page: Some(10),
            unknown_subject_is_invalid: false,
            merges_fallback_tag: false,
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
        },
    }
}

/// GitHub: bodies with `Content-Range` up to 4 MiB, relative locations with `upload`, blobs behind a 307 for 300
/// seconds, no referrers, no deletes, tags with the oldest first, tokens that do not say when they expire.
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
    ghcr.manifests.needs_accept = false;
    ghcr.tags.page = Some(100);
    ghcr.tags.oldest_first = true;
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

/// Quay (`endpoints/v2/blob.py`, `v2auth.py`, `referrers.py`): absolute locations, odd ranges, a cut `PATCH` is lost, a
/// failed `PUT` ends the upload, blobs behind a 302 with HTML for 600 seconds, referrers without `OCI-Subject`, at
/// most 100 tags, no scope with `delete`.
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
    quay.blobs.redirect = Some(302);
    quay.blobs.redirect_html = true;
    quay.blobs.link_lifetime = Duration::from_secs(600);
    quay.manifests.max_bytes = 5_000_000;
    quay.tags.page = Some(100);
    quay.tags.absolute_link = true;
    quay.referrers = ReferrersBehaviour::Api(ReferrersApi {
        states_subject: false,
        filters: true,
        page: None,
        unknown_subject_is_invalid: true,
        merges_fallback_tag: true,
    });
    quay.deletes.blobs = false;
    quay.tokens.path = "/v2/auth";
    quay.tokens.fields = &["token"];
    quay.tokens.states_expiry = false;
    quay.tokens.actions = &["pull", "push", "*"];
    quay.tokens.push_deletes = true;
    quay.tokens.oauth2 = false;
    quay
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
    old.manifests.too_large_status = 400;
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
