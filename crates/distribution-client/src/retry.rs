//! Trying again: the one loop that does it, and how long it waits.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use registry_backend::{Error, ErrorKind, Result, Retry};

use crate::profile::RetryRules;

/// Tries an operation until it succeeds, fails for good, or has failed as often as the rules allow.
pub(crate) async fn with_retries<T, F, R>(rules: &RetryRules, mut attempt: F) -> Result<T>
where
    F: FnMut() -> R,
    R: Future<Output = Result<T>>,
{
    let mut failures = Failures::new(rules);
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => failures.wait_after(error).await?,
        }
    }
}

/// Counts failures without progress.
#[derive(Debug)]
pub(crate) struct Failures<'a> {
    rules: &'a RetryRules,
    count: u32,
}

impl<'a> Failures<'a> {
    pub(crate) fn new(rules: &'a RetryRules) -> Self {
        Self { rules, count: 0 }
    }

    /// Goes on counting.
    pub(crate) fn with_count(rules: &'a RetryRules, count: u32) -> Self {
        Self { rules, count }
    }

    /// Returns the number of failures so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Forgets the failures so far.
    pub(crate) fn progress(&mut self) {
        self.count = 0;
    }

    /// Waits until it makes sense to try again.
    ///
    /// # Errors
    ///
    /// The error itself, if it makes none.
    pub(crate) async fn wait_after(&mut self, error: Error) -> Result<()> {
        self.count += 1;
        match wait_before_retry(self.rules, &error, self.count) {
            Some(wait) => {
                tracing::debug!(%error, attempt = self.count, wait_ms = wait.as_millis(), "will try again");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => Err(error),
        }
    }
}

/// Returns how long to wait after the failure of this number, or `None` if nothing is to be tried again.
pub(crate) fn wait_before_retry(rules: &RetryRules, error: &Error, failure: u32) -> Option<Duration> {
    if failure >= rules.attempts {
        return None;
    }
    let doubled = |wait: Duration| wait.saturating_mul(1 << (failure - 1).min(16));
    let stated = match error.retry() {
        Retry::No => return None,
        Retry::Yes => Duration::ZERO,
        Retry::After(stated) if stated > rules.longest_stated_wait => return None,
        Retry::After(stated) => stated,
    };
    if error.kind() == ErrorKind::RateLimited {
        // Who comes back too early again and again is given more time than it was told to take.
        return Some(doubled(stated.max(rules.limited_wait)).min(rules.longest_stated_wait));
    }
    Some(stated.max(jittered(doubled(rules.first_wait).min(rules.longest_wait))))
}

/// Returns between half and the whole of a wait, so that clients that failed together do not come back together.
pub(crate) fn jittered(wait: Duration) -> Duration {
    // The keys of a hash map are the only randomness in the standard library, and good enough for this.
    let random = RandomState::new().hash_one(0) % 1024;
    let part = u32::try_from(random).unwrap_or_default();
    wait / 2 + (wait / 2).saturating_mul(part) / 1024
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn error(kind: ErrorKind, retry: Retry) -> Error {
        Error::new(kind, "test", "x").with_retry(retry)
    }

    #[test]
    fn waits_double_and_follow_what_the_registry_says() {
        let rules = RetryRules { attempts: 9, ..RetryRules::default() };
        let wait = |kind, retry, failure| wait_before_retry(&rules, &error(kind, retry), failure);
        let unavailable = ErrorKind::Unavailable;
        let within = |wait: Option<Duration>, low, high| {
            wait.is_some_and(|wait| (low..=high).contains(&wait.as_millis()))
        };
        assert!(within(wait(unavailable, Retry::Yes, 1), 125, 250));
        assert!(within(wait(unavailable, Retry::Yes, 3), 500, 1000));
        assert!(within(wait(unavailable, Retry::Yes, 8), 10_000, 20_000));
        assert!(within(wait(ErrorKind::RateLimited, Retry::Yes, 1), 1000, 1000));
        let micros = Retry::After(Duration::from_micros(35));
        assert!(within(wait(ErrorKind::RateLimited, micros, 1), 1000, 1000));
        let minute = Retry::After(Duration::from_secs(60));
        assert!(within(wait(ErrorKind::RateLimited, minute, 3), 240_000, 240_000));
        assert!(within(wait(ErrorKind::RateLimited, minute, 8), 900_000, 900_000));
        assert!(within(wait(unavailable, Retry::After(Duration::from_secs(7)), 1), 7000, 7000));
        assert_eq!(wait(unavailable, Retry::After(Duration::from_secs(3600)), 1), None);
        assert_eq!(wait(ErrorKind::Denied, Retry::No, 1), None);
        assert_eq!(wait(unavailable, Retry::Yes, 9), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_good_is_not_tried_again() {
        let rules = RetryRules::default();
        for (retry, expected) in [(Retry::No, 1), (Retry::Yes, rules.attempts)] {
            let tries = AtomicU32::new(0);
            let result: Result<()> = with_retries(&rules, || async {
                tries.fetch_add(1, Ordering::Relaxed);
                Err(error(ErrorKind::Unavailable, retry))
            })
            .await;
            assert!(result.is_err());
            assert_eq!(tries.into_inner(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_succeeds_at_last_has_succeeded() {
        let tries = AtomicU32::new(0);
        let result = with_retries(&RetryRules::default(), || async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                2 => Ok(7),
                _ => Err(error(ErrorKind::Unavailable, Retry::Yes)),
            }
        })
        .await;
        assert_eq!(result.unwrap(), 7);
    }
}
