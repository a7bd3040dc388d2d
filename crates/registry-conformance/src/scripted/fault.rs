//! Faults as data: what goes wrong, and when.

use std::time::Duration;

use oci_model::{ManifestRef, RawManifest};
use scripted_http::When;

use super::answer::Answer;
use super::route::Route;

/// Something that goes wrong with some requests of one route, or of all.
///
/// Requests count when they have passed authentication: the first `401` of a client that has no token yet does not.
/// Where several faults meet one request, all of them are applied in the order in which they were added.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) route: Option<Route>,
    pub(super) when: When,
    pub(super) action: Action,
}

/// The effect of a fault.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Nothing is done, and this is the answer.
    Answer(Answer),
    /// Nothing is done, and the answer is 401 with the right challenge, as if the token had expired.
    Unauthorized,
    /// All is done, and this is the answer.
    AnswerAfterwards(Answer),
    /// Nothing is done, but the answer says that all is: an upload that is committed and lost.
    Pretend,
    /// The connection is closed once so many bytes of the request's body were taken.
    Drop {
        /// Number of bytes.
        after: u64,
    },
    /// All is done, and the connection is closed without an answer.
    DropAfterwards,
    /// So many bytes of the request's body are taken, then none, for ever.
    StallRequest {
        /// Number of bytes.
        after: u64,
    },
    /// Only so many bytes of the request's body are kept, and the answer says so; the rest is read and dropped.
    AcceptOnly {
        /// Number of bytes.
        bytes: u64,
    },
    /// The byte at this place of the request's body arrives changed.
    CorruptRequest {
        /// Place of the byte.
        at: u64,
    },
    /// All is done, and the answer comes so much later.
    Delay(Duration),
    /// All is done, and the answer waits for [`release`](super::ScriptedRegistry::release).
    Hold,
    /// The connection is closed after so many bytes of the answer's body.
    CutAnswer {
        /// Number of bytes.
        after: u64,
    },
    /// After so many bytes of the answer's body nothing more comes, for ever.
    StallAnswer {
        /// Number of bytes.
        after: u64,
    },
    /// The answer's body has only so many bytes, and `Content-Length` agrees.
    ShortenAnswer {
        /// Number of bytes.
        to: u64,
    },
    /// The byte at this place of the answer's body comes changed.
    CorruptAnswer {
        /// Place of the byte.
        at: u64,
    },
    /// The answer has this header.
    SetHeader(&'static str, String),
    /// The answer does not have this header.
    RemoveHeader(&'static str),
    /// The `Range` header of the answer is too high by so much, or too low.
    ShiftRangeHeader(i64),
    /// The request's `Range` is not read: the whole comes with status 200.
    IgnoreRange,
    /// The bytes that come begin so many bytes later than the request wants, and `Content-Range` says so.
    ShiftContent(u64),
    /// The `Location` of an upload leads to the storage host, which refuses credentials.
    ForeignLocation,
    /// The link to the storage host has expired when it is given.
    ExpiredLink,
    /// The answer's `Link` always leads to one more page.
    EndlessPages,
    /// The upload is forgotten before the request is served.
    ForgetUpload,
    /// Blobs to which no manifest refers are removed before the request is served, leased or not.
    CollectFirst,
    /// Another writer stores this manifest before the request is served.
    StoreFirst {
        /// Repository.
        repository: String,
        /// Tag or digest.
        at: ManifestRef,
        /// Manifest.
        manifest: RawManifest,
    },
}

impl Fault {
    /// Returns a fault of one route.
    pub fn new(route: Route, when: When, action: Action) -> Self {
        Self { route: Some(route), when, action }
    }

    /// Returns a fault of all routes, whose requests are counted together.
    pub fn anywhere(when: When, action: Action) -> Self {
        Self { route: None, when, action }
    }
}

/// The faults that routes apply themselves.
#[derive(Debug, Default)]
pub(super) struct Lies {
    pub(super) pretends: bool,
    pub(super) accepts_less: bool,
    pub(super) ignores_range: bool,
    pub(super) shifts_content: u64,
    pub(super) sends_elsewhere: bool,
    pub(super) gives_expired_links: bool,
}

impl Lies {
    pub(super) fn of(actions: &[Action]) -> Self {
        let mut lies = Self::default();
        for action in actions {
            match action {
                Action::Pretend => lies.pretends = true,
                Action::AcceptOnly { .. } => lies.accepts_less = true,
                Action::IgnoreRange => lies.ignores_range = true,
                Action::ShiftContent(bytes) => lies.shifts_content = *bytes,
                Action::ForeignLocation => lies.sends_elsewhere = true,
                Action::ExpiredLink => lies.gives_expired_links = true,
                _ => {}
            }
        }
        lies
    }
}
