//! What goes wrong, and when: data, so that tests read well.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oci_model::{ManifestRef, RawManifest};

use super::{Answer, Route};

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

/// Which requests a fault is about; the first has the number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All of them.
    Always,
    /// The one with this number.
    Nth(u32),
    /// The first ones, so many.
    First(u32),
    /// Each one whose number is a multiple.
    Every(u32),
}

/// What goes wrong.
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
    /// Blobs to which no manifest refers are removed before the request is served.
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

impl When {
    fn applies(self, number: u32) -> bool {
        match self {
            Self::Always => true,
            Self::Nth(wanted) => number == wanted,
            Self::First(count) => number <= count,
            Self::Every(step) => step > 0 && number.is_multiple_of(step),
        }
    }
}

/// The faults of a registry, and how often each route was asked for.
#[derive(Debug, Default)]
pub(super) struct Script {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<(Fault, u32)>,
}

impl Script {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        let script = Self::default();
        faults.into_iter().for_each(|fault| script.add(fault));
        script
    }

    /// Adds a fault, which counts from now on.
    pub(super) fn add(&self, fault: Fault) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).faults.push((fault, 0));
    }

    /// Forgets all faults.
    pub(super) fn clear(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).faults.clear();
    }

    /// Counts a request and returns what goes wrong with it.
    pub(super) fn next(&self, route: Route) -> Vec<Action> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut actions = Vec::new();
        for (fault, seen) in &mut state.faults {
            if fault.route.is_none_or(|wanted| wanted == route) {
                *seen += 1;
                if fault.when.applies(*seen) {
                    actions.push(fault.action.clone());
                }
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_per_route() {
        for (when, expected) in [
            (When::Always, [true; 6]),
            (When::Nth(2), [false, true, false, false, false, false]),
            (When::First(2), [true, true, false, false, false, false]),
            (When::Every(3), [false, false, true, false, false, true]),
            (When::Every(0), [false; 6]),
        ] {
            let script = Script::new(vec![Fault::new(Route::Tags, when, Action::Hold)]);
            let seen = [(); 6].map(|()| {
                assert!(script.next(Route::Ping).is_empty());
                !script.next(Route::Tags).is_empty()
            });
            assert_eq!(seen, expected, "{when:?}");
        }
    }

    #[test]
    fn a_fault_of_all_routes_counts_all_requests() {
        let script = Script::new(vec![Fault::anywhere(When::Nth(2), Action::Hold)]);
        assert!(script.next(Route::Ping).is_empty());
        assert_eq!(script.next(Route::Tags).len(), 1);
    }

    #[test]
    fn a_registry_whose_faults_are_forgotten_works() {
        let script = Script::new(vec![Fault::new(Route::Ping, When::Always, Action::Hold)]);
        assert_eq!(script.next(Route::Ping).len(), 1);
        script.clear();
        assert!(script.next(Route::Ping).is_empty());
    }

    #[test]
    fn a_fault_that_is_added_later_counts_from_then() {
        let script = Script::default();
        script.next(Route::Ping);
        script.add(Fault::new(Route::Ping, When::Nth(1), Action::Hold));
        assert_eq!(script.next(Route::Ping).len(), 1);
    }
}
