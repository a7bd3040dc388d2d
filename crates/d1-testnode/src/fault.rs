//! What goes wrong, and when: data, so that tests read well.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use d1_model::Identifier;

use crate::answer::Answer;
use crate::call::{Call, Target};

/// Something that goes wrong with some requests.
///
/// Where several faults meet one request, all of them are applied in the order in which they were added.
#[derive(Clone, Debug)]
pub struct Fault {
    call: Option<Call>,
    identifier: Option<Identifier>,
    when: When,
    action: Action,
}

/// Which of the requests that a fault is about it meets; the first has the number 1.
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// This is the answer.
    Answer(Answer),
    /// The connection is closed without an answer.
    Drop,
    /// The answer comes so much later.
    Delay(Duration),
    /// The connection is closed after so many bytes of the body.
    CutAnswer {
        /// Number of bytes.
        after: u64,
    },
    /// After so many bytes of the body nothing more comes, for ever.
    StallAnswer {
        /// Number of bytes.
        after: u64,
    },
    /// The body has only so many bytes, and `Content-Length` agrees.
    ShortenAnswer {
        /// Number of bytes.
        to: u64,
    },
    /// The body has only so many bytes and no `Content-Length`: it ends in good order.
    EndAnswer {
        /// Number of bytes.
        after: u64,
    },
    /// The body has no `Content-Length`.
    WithoutLength,
    /// The body comes in pieces of so many bytes, with a pause before each.
    SlowAnswer {
        /// Number of bytes.
        bytes: usize,
        /// The pause.
        pause: Duration,
    },
    /// The byte at this place of the body comes changed.
    CorruptAnswer {
        /// Place of the byte.
        at: u64,
    },
    /// The object has other bytes than it had: each one of them is changed.
    OtherContent,
    /// The request's `Range` is not read: the whole comes with status 200.
    IgnoreRange,
    /// The bytes that come begin so many bytes later than is asked for, and `Content-Range` says so.
    ShiftRange(u64),
    /// Only so many bytes of a range come, and `Content-Range` says so.
    ShortRange(u64),
    /// Checksums are not those of the content: in system metadata, headers, lists and checksum documents.
    WrongChecksum,
    /// Lists say that there is always more, and go on with made-up entries.
    EndlessPages,
    /// Lists begin from the start again, whatever is asked for.
    RepeatPages,
    /// Lists are empty but say that there is more.
    EmptyPages,
    /// The answer is a redirect to this place.
    Redirect {
        /// Status.
        status: u16,
        /// URL.
        to: String,
    },
}

impl Fault {
    /// Makes a fault of all requests of one call.
    #[must_use]
    pub fn new(call: Call, action: Action) -> Self {
        Self { call: Some(call), identifier: None, when: When::Always, action }
    }

    /// Makes a fault of all requests of all calls.
    #[must_use]
    pub fn everywhere(action: Action) -> Self {
        Self { call: None, identifier: None, when: When::Always, action }
    }

    /// Returns the fault for one object only.
    #[must_use]
    pub fn of(mut self, identifier: &Identifier) -> Self {
        self.identifier = Some(identifier.clone());
        self
    }

    /// Returns the fault for some requests only.
    #[must_use]
    pub fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    fn is_about(&self, target: &Target) -> bool {
        self.call.is_none_or(|call| call == target.call)
            && (self.identifier.is_none() || self.identifier == target.identifier)
    }
}

impl When {
    fn meets(self, number: u32) -> bool {
        match self {
            Self::Always => true,
            Self::Nth(wanted) => number == wanted,
            Self::First(count) => number <= count,
            Self::Every(step) => number.checked_rem(step) == Some(0),
        }
    }
}

/// The faults of a node, and how many requests each has seen.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<Vec<(Fault, u32)>>);

impl Script {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(Mutex::new(faults.into_iter().map(|fault| (fault, 0)).collect()))
    }

    pub(crate) fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((fault, 0));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Counts a request, and returns what goes wrong with it.
    pub(crate) fn next(&self, target: &Target) -> Vec<Action> {
        let mut actions = Vec::new();
        for (fault, count) in &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            if fault.is_about(target) {
                *count = count.saturating_add(1);
                if fault.when.meets(*count) {
                    actions.push(fault.action.clone());
                }
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    #[test]
    fn faults_count_the_requests_that_they_are_about() {
        let identifier = "a".parse().unwrap();
        let script = Script::new(vec![
            Fault::new(Call::Get, Action::Drop).of(&identifier).when(When::Nth(2)),
            Fault::everywhere(Action::WithoutLength).when(When::Every(3)),
        ]);
        let actions = |path| script.next(&Target::of(&Method::GET, path));
        assert_eq!(actions("/mn/v2/object/a"), []);
        assert_eq!(actions("/mn/v2/object/b"), []);
        assert_eq!(actions("/mn/v2/object/a"), [Action::Drop, Action::WithoutLength]);
        assert_eq!(actions("/mn/v2/object/a"), []);
    }
}
