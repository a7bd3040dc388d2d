//! Trying again: the one loop that does it, and how long it waits.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The most doublings of a wait, which then has reached every longest wait that anybody would set.
const MOST_DOUBLINGS: u32 = 16;

/// How often to try again, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// Tries without progress before giving up.
    pub attempts: u32,
    /// The wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait between two tries that the server did not ask for.
    pub longest_wait: Duration,
    /// The shortest wait where the server asks for fewer requests, whatever it says.
    pub limited_wait: Duration,
    /// The longest wait that the server may ask for; above it the operation fails and tells the caller.
    pub longest_stated_wait: Duration,
}

/// Whether the same request may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It will fail again.
    No,
    /// It may succeed.
    Yes,
    /// It may succeed after this time, which the server has stated.
    After(Duration),
}

/// How a client tries again: its rules, and what its errors say about it.
pub trait RetryPolicy {
    /// The client's error.
    type Error: fmt::Display;

    /// Returns how often to try again, and when.
    fn rules(&self) -> &RetryRules;

    /// Returns whether trying again can help after this error.
    fn retry(&self, error: &Self::Error) -> Retry;

    /// Tells whether the server asks for fewer requests (status 429, RFC 6585 section 4).
    fn is_rate_limited(&self, error: &Self::Error) -> bool;

    /// Takes note of a wait after this error, before it begins.
    fn note_wait(&self, error: &Self::Error, wait: Duration);
}

/// Counts failures without progress.
#[derive(Debug)]
pub struct Failures<P> {
    policy: P,
    count: u32,
}

impl<P: RetryPolicy> Failures<P> {
    /// Begins to count.
    #[must_use]
    pub fn new(policy: P) -> Self {
        Self { policy, count: 0 }
    }

    /// Goes on counting after so many failures.
    #[must_use]
    pub fn with_count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// Returns the number of failures so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Forgets the failures so far, since there was progress.
    pub fn forget(&mut self) {
        self.count = 0;
    }

    /// Counts a failure, and waits until it makes sense to try again.
    ///
    /// # Errors
    ///
    /// The error itself, if it makes none.
    pub async fn wait_after(&mut self, error: P::Error) -> Result<(), P::Error> {
        self.count = self.count.saturating_add(1);
        let (retry, is_rate_limited) = (self.policy.retry(&error), self.policy.is_rate_limited(&error));
        let Some(wait) = wait_before_retry(self.policy.rules(), retry, is_rate_limited, self.count) else {
            return Err(error);
        };
        tracing::debug!(%error, attempt = self.count, wait_ms = wait.as_millis(), "will try again");
        self.policy.note_wait(&error, wait);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Tries an operation until it succeeds, fails for good, or has failed as often as the rules allow.
    ///
    /// # Errors
    ///
    /// That of the last try.
    pub async fn retry<T, R>(mut self, mut attempt: impl FnMut() -> R) -> Result<T, P::Error>
    where
        R: Future<Output = Result<T, P::Error>>,
    {
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => self.wait_after(error).await?,
            }
        }
    }
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(20),
            // Some servers state waits of microseconds (trivy-db issue 442).
            limited_wait: Duration::from_secs(1),
            longest_stated_wait: Duration::from_secs(900),
        }
    }
}

/// Returns between half and the whole of a wait, so that clients that failed together do not come back together.
#[must_use]
pub fn jittered(wait: Duration) -> Duration {
    // The keys of a hash map are the only randomness in the standard library, and good enough for this.
    let random = RandomState::new().hash_one(0) % 1024;
    let part = u32::try_from(random).unwrap_or_default();
    wait / 2 + (wait / 2).saturating_mul(part) / 1024
}

/// Returns how long to wait after the failure of this number, or `None` if nothing is to be tried again.
fn wait_before_retry(
    rules: &RetryRules,
    retry: Retry,
    is_rate_limited: bool,
    failure: u32,
) -> Option<Duration> {
    if failure >= rules.attempts {
        return None;
    }
    let doubled = |wait: Duration| wait.saturating_mul(1 << failure.saturating_sub(1).min(MOST_DOUBLINGS));
    let stated = match retry {
        Retry::No => return None,
        Retry::Yes => Duration::ZERO,
        Retry::After(stated) if stated > rules.longest_stated_wait => return None,
        Retry::After(stated) => stated,
    };
    if is_rate_limited {
        // Who comes back too early again and again is given more time than it was told to take.
        return Some(doubled(stated.max(rules.limited_wait)).min(rules.longest_stated_wait));
    }
    Some(stated.max(jittered(doubled(rules.first_wait).min(rules.longest_wait))))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Errors that say what they mean.
    #[derive(Default)]
    struct Plain {
        rules: RetryRules,
        waits: AtomicU32,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Failed(Retry);

    impl RetryPolicy for &Plain {
        type Error = Failed;

        fn rules(&self) -> &RetryRules {
            &self.rules
        }

        fn retry(&self, error: &Failed) -> Retry {
            error.0
        }

        fn is_rate_limited(&self, _error: &Failed) -> bool {
            false
        }

        fn note_wait(&self, _error: &Failed, _wait: Duration) {
            self.waits.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn waits_double_and_follow_what_the_server_says() {
        let rules = RetryRules { attempts: 9, ..RetryRules::default() };
        let broken = |retry, failure| wait_before_retry(&rules, retry, false, failure);
        let limited = |retry, failure| wait_before_retry(&rules, retry, true, failure);
        let within = |wait: Option<Duration>, low, high| {
            wait.is_some_and(|wait| (low..=high).contains(&wait.as_millis()))
        };
        assert!(within(broken(Retry::Yes, 1), 125, 250));
        assert!(within(broken(Retry::Yes, 3), 500, 1000));
        assert!(within(broken(Retry::Yes, 8), 10_000, 20_000));
        assert!(within(limited(Retry::Yes, 1), 1000, 1000));
        assert!(within(limited(Retry::After(Duration::from_micros(35)), 1), 1000, 1000));
        let minute = Retry::After(Duration::from_secs(60));
        assert!(within(limited(minute, 3), 240_000, 240_000));
        assert!(within(limited(minute, 8), 900_000, 900_000));
        assert!(within(broken(Retry::After(Duration::from_secs(7)), 1), 7000, 7000));
        assert_eq!(broken(Retry::After(Duration::from_secs(3600)), 1), None);
        assert_eq!(broken(Retry::No, 1), None);
        assert_eq!(broken(Retry::Yes, 9), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_good_is_not_tried_again() {
        for (retry, expected) in [(Retry::No, 1), (Retry::Yes, RetryRules::default().attempts)] {
            let (plain, tries) = (Plain::default(), AtomicU32::new(0));
            let result: Result<(), Failed> = Failures::new(&plain)
                .retry(|| async {
                    tries.fetch_add(1, Ordering::Relaxed);
                    Err(Failed(retry))
                })
                .await;
            assert!(result.is_err());
            assert_eq!(tries.into_inner(), expected);
            assert_eq!(plain.waits.into_inner(), expected - 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_succeeds_at_last_has_succeeded() {
        let (plain, tries) = (Plain::default(), AtomicU32::new(0));
        let result = Failures::new(&plain).retry(|| async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                2 => Ok(7),
                _ => Err(Failed(Retry::Yes)),
            }
        });
        assert_eq!(result.await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_makes_up_for_failures() {
        let plain = Plain::default();
        let mut failures = Failures::new(&plain).with_count(plain.rules.attempts - 2);
        failures.wait_after(Failed(Retry::Yes)).await.unwrap();
        assert_eq!(failures.count(), plain.rules.attempts - 1);
        failures.forget();
        failures.wait_after(Failed(Retry::Yes)).await.unwrap();
        assert_eq!(failures.count(), 1);
    }
}
