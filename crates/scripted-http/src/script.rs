//! Faults as data: which requests they meet, and what goes wrong with them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The requests that a fault meets, of those that it is about. The first one has the number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl When {
    /// Tells whether the request with this number is met.
    #[must_use]
    pub fn meets(self, number: u32) -> bool {
        match self {
            Self::Always => true,
            Self::Nth(wanted) => number == wanted,
            Self::First(count) => number <= count,
            Self::Every(step) => number.checked_rem(step) == Some(0),
        }
    }
}

/// The faults of a server. `T` states what a fault is about, `A` what goes wrong. Each fault counts its own requests.
///
/// ```
/// use scripted_http::{Script, When};
///
/// let script = Script::new([("tags", When::Nth(2), "close the connection")]);
/// assert!(script.next(|about| *about == "tags").is_empty());
/// assert_eq!(script.next(|about| *about == "tags"), ["close the connection"]);
/// ```
#[derive(Debug)]
pub struct Script<T, A> {
    faults: Mutex<Vec<Fault<T, A>>>,
}

#[derive(Debug)]
struct Fault<T, A> {
    about: T,
    when: When,
    action: A,
    seen: u32,
}

impl<T, A: Clone> Script<T, A> {
    /// Returns a script with these faults.
    pub fn new(faults: impl IntoIterator<Item = (T, When, A)>) -> Self {
        let script = Self { faults: Mutex::default() };
        for (about, when, action) in faults {
            script.add(about, when, action);
        }
        script
    }

    /// Adds a fault, which counts requests from now on.
    pub fn add(&self, about: T, when: When, action: A) {
        self.faults().push(Fault { about, when, action, seen: 0 });
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.faults().clear();
    }

    /// Counts a request, and returns what goes wrong with it, in the order in which the faults were added. `is_about` tells whether a
    /// fault is about this request.
    pub fn next(&self, is_about: impl Fn(&T) -> bool) -> Vec<A> {
        let mut actions = Vec::new();
        for fault in &mut *self.faults() {
            if is_about(&fault.about) {
                fault.seen = fault.seen.saturating_add(1);
                if fault.when.meets(fault.seen) {
                    actions.push(fault.action.clone());
                }
            }
        }
        actions
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault<T, A>>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_counts_its_own_requests() {
        for (when, expected) in [
            (When::Always, [true; 6]),
            (When::Nth(2), [false, true, false, false, false, false]),
            (When::First(2), [true, true, false, false, false, false]),
            (When::Every(3), [false, false, true, false, false, true]),
            (When::Every(0), [false; 6]),
        ] {
            let script = Script::new([("tags", when, ())]);
            let seen = [(); 6].map(|()| {
                assert!(script.next(|about| *about == "ping").is_empty());
                !script.next(|about| *about == "tags").is_empty()
            });
            assert_eq!(seen, expected, "{when:?}");
        }
    }

    #[test]
    fn several_faults_apply_in_order() {
        let script = Script::new([(Some("a"), When::Nth(2), 1_u8), (None, When::Every(3), 2)]);
        let next = |name| script.next(|about| about.is_none_or(|about| about == name));
        assert!(next("a").is_empty());
        assert!(next("b").is_empty());
        assert_eq!(next("a"), [1, 2]);
        assert!(next("a").is_empty());
    }

    #[test]
    fn a_fault_that_is_added_later_counts_from_then() {
        let script = Script::new([]);
        assert!(script.next(|()| true).is_empty());
        script.add((), When::Nth(1), "x");
        assert_eq!(script.next(|()| true), ["x"]);
        script.clear();
        assert!(script.next(|()| true).is_empty());
    }
}
