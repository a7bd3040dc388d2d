//! Faults as data: what goes wrong, when, and what that does to an answer.

use std::time::Duration;

use d1_model::Identifier;
use scripted_http::axum::response::Response;
use scripted_http::{When, body};

use crate::answer::Answer;
use crate::call::{Call, Target};

/// Something that goes wrong with some requests.
///
/// Where several faults meet one request, all of them are applied in the order in which they were added.
#[derive(Clone, Debug)]
pub struct Fault {
    about: About,
    when: When,
    action: Action,
}

/// The requests that a fault is about.
#[derive(Clone, Debug)]
pub(crate) struct About {
    call: Option<Call>,
    identifier: Option<Identifier>,
}

/// The effect of a fault.
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
        Self { about: About { call: Some(call), identifier: None }, when: When::Always, action }
    }

    /// Makes a fault of all requests of all calls.
    #[must_use]
    pub fn everywhere(action: Action) -> Self {
        Self { about: About { call: None, identifier: None }, when: When::Always, action }
    }

    /// Returns the fault for one object only.
    #[must_use]
    pub fn of(mut self, identifier: &Identifier) -> Self {
        self.about.identifier = Some(identifier.clone());
        self
    }

    /// Returns the fault for some requests only.
    #[must_use]
    pub fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    /// Returns the parts in the form of a script.
    pub(crate) fn into_parts(self) -> (About, When, Action) {
        (self.about, self.when, self.action)
    }
}

impl About {
    /// Tells whether a request is one of them.
    pub(crate) fn includes(&self, target: &Target) -> bool {
        self.call.is_none_or(|call| call == target.call)
            && (self.identifier.is_none() || self.identifier == target.identifier)
    }
}

/// The faults that calls apply themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lies {
    pub(crate) ignores_range: bool,
    pub(crate) shifts_range: u64,
    pub(crate) shortest_range: Option<u64>,
    pub(crate) has_wrong_checksum: bool,
    pub(crate) has_endless_pages: bool,
    pub(crate) repeats_pages: bool,
    pub(crate) has_empty_pages: bool,
}

impl Lies {
    pub(crate) fn of(actions: &[Action]) -> Self {
        let mut lies = Self::default();
        for action in actions {
            match action {
                Action::IgnoreRange => lies.ignores_range = true,
                Action::ShiftRange(bytes) => lies.shifts_range = *bytes,
                Action::ShortRange(bytes) => lies.shortest_range = Some(*bytes),
                Action::WrongChecksum => lies.has_wrong_checksum = true,
                Action::EndlessPages => lies.has_endless_pages = true,
                Action::RepeatPages => lies.repeats_pages = true,
                Action::EmptyPages => lies.has_empty_pages = true,
                _ => {}
            }
        }
        lies
    }
}

/// Returns the answer of a request that is not to be served at all.
pub(crate) fn instead(actions: &[Action]) -> Option<Response> {
    actions.iter().rev().find_map(|action| match action {
        Action::Answer(answer) => Some(answer.response()),
        Action::Redirect { status, to } => {
            let redirect = Answer::text(*status, "text/plain", "elsewhere");
            Some(redirect.with_header("location", to).response())
        }
        _ => None,
    })
}

/// Changes an answer, or takes it away.
pub(crate) async fn after(mut response: Response, actions: &[Action]) -> Option<Response> {
    for action in actions {
        response = match *action {
            Action::Drop => return None,
            Action::Delay(time) => {
                tokio::time::sleep(time).await;
                response
            }
            Action::CutAnswer { after } => body::stream(response, |pieces| body::broken_after(pieces, after)),
            Action::StallAnswer { after } => {
                body::stream(response, |pieces| body::stalled_after(pieces, after))
            }
            Action::SlowAnswer { bytes, pause } => {
                body::stream(response, |pieces| body::slowed(pieces, bytes, pause))
            }
            Action::CorruptAnswer { at } => {
                body::stream(response, |pieces| body::flipped(pieces, 0, Some(at)))
            }
            Action::OtherContent if response.status().is_success() => {
                body::stream(response, |pieces| body::flipped(pieces, 0, None))
            }
            Action::ShortenAnswer { to } => body::shortened(response, to),
            Action::EndAnswer { after } => {
                body::without_length(body::stream(response, |pieces| body::cut(pieces, after, None)))
            }
            Action::WithoutLength => body::without_length(response),
            _ => response,
        };
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use scripted_http::Script;
    use scripted_http::axum::http::Method;

    use super::*;

    #[test]
    fn faults_count_the_requests_that_they_are_about() {
        let identifier = "a".parse().unwrap();
        let faults = [
            Fault::new(Call::Get, Action::Drop).of(&identifier).when(When::Nth(2)),
            Fault::everywhere(Action::WithoutLength).when(When::Every(3)),
        ];
        let script = Script::new(faults.into_iter().map(Fault::into_parts));
        let actions = |path| {
            let target = Target::of(&Method::GET, path);
            script.next(|about| about.includes(&target))
        };
        assert_eq!(actions("/mn/v2/object/a"), []);
        assert_eq!(actions("/mn/v2/object/b"), []);
        assert_eq!(actions("/mn/v2/object/a"), [Action::Drop, Action::WithoutLength]);
        assert_eq!(actions("/mn/v2/object/a"), []);
    }
}
