//! In which ways registries differ, as data that a test can change.

use std::time::Duration;

/// In which ways a registry differs from others; [`Preset`](super::Preset) has values for those that exist.
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
    /// What stands before the upload's identifier in `Location`: `uploads`, or `upload` as GHCR has it.
    pub path_word: &'static str,
    /// What `Location` carries in its query.
    pub state: UploadState,
    /// The `Range` header of the answer to `POST`.
    pub range_after_start: Option<&'static str>,
    /// The largest body in bytes that may come with `Content-Range`.
    pub content_range_limit: Option<u64>,
    /// What is done with `Content-Range`.
    pub content_range: ContentRange,
    /// The smallest chunk in bytes, which is announced and enforced (distribution-spec, "Pushing a blob in chunks").
    pub chunk_min_bytes: Option<u64>,
    /// How the progress of an upload is told.
    pub status: UploadStatus,
    /// What becomes of an upload whose `PATCH` is cut in the middle.
    pub cut_patch: CutPatch,
    /// Whether any failure of the `PUT` ends the upload.
    pub failed_commit_cancels: bool,
    /// Whether one `POST` with digest and content is enough.
    pub single_post: bool,
    /// Whether a body without `Content-Length`, and a `POST` without one, is refused.
    pub needs_content_length: bool,
    /// From where blobs are mounted.
    pub mounts: Mounts,
    /// The largest blob in bytes.
    pub max_blob_bytes: Option<u64>,
    /// Whether SHA-512 digests are taken.
    pub sha512: bool,
}

/// What an upload's `Location` carries in its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// Nothing.
    Nothing,
    /// A token without which the upload is not found.
    Token,
    /// A state that changes with every request; an old one ends the upload (Docker registry 2.8).
    Changing,
}

/// What is done with `Content-Range`.
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

/// What becomes of an upload whose `PATCH` is cut in the middle.
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
}

/// How manifests are taken and served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestBehaviour {
    /// The largest manifest in bytes.
    pub max_bytes: usize,
    /// The status with which a larger one is refused.
    pub too_large_status: u16,
    /// Whether a manifest is found only if `Accept` names its type.
    pub needs_accept: bool,
    /// Whether the answers carry `Docker-Content-Digest`.
    pub states_digest: bool,
    /// Whether missing blobs and children are found.
    pub checks_content: bool,
    /// The only types of configurations that are taken, if there is such a list.
    pub config_types: Option<Vec<String>>,
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
}

/// What can be deleted; the rest is answered with 405.
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
}
