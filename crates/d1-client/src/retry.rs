//! Trying again: the one loop that does it, and how long it waits.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::error::{Error, Result, Retry};
use crate::options::RetryRules;
use crate::progress::{Progress, ProgressSink};

/// Counts failures without progress.
#[derive(Debug)]
pub(crate) struct Failures {
    rules: RetryRules,
    progress: ProgressSink,
    count: u32,
}

impl Failures {
    pub(crate) fn new(rules: RetryRules, progress: ProgressSink) -> Self {
        Self { rules, progress, count: 0 }
    }

    /// Forgets the failures so far.
    pub(crate) fn forget(&mut self) {
        self.count = 0;
    }

    /// Waits until it makes sense to try again.
    ///
    /// # Errors
    ///
    /// The error itself, if it makes none.
    pub(crate) async fn wait_after(&mut self, error: Error) -> Result<()> {
        self.count = self.count.saturating_add(1);
        let Some(wait) = wait_before_retry(&self.rules, &error, self.count) else { return Err(error) };
        tracing::debug!(%error, attempt = self.count, wait_ms = wait.as_millis(), "will try again");
        self.progress.note(&Progress::Waiting { error: &error, wait });
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Tries an operation until it succeeds, fails for good, or has failed as often as the rules allow.
    pub(crate) async fn retry<T, R>(mut self, mut attempt: impl FnMut() -> R) -> Result<T>
    where
        R: Future<Output = Result<T>>,
    {
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => self.wait_after(error).await?,
            }
        }
    }
}

/// Returns how long to wait after the failure of this number, or `None` if nothing is to be tried again.
fn wait_before_retry(rules: &RetryRules, error: &Error, failure: u32) -> Option<Duration> {
    if failure >= rules.attempts {
        return None;
    }
    let doubled = rules.first_wait.saturating_mul(1 << failure.saturating_sub(1).min(16));
    let own = jittered(doubled.min(rules.longest_wait));
    match error.retry() {
        Retry::No => None,
        Retry::Yes => Some(own),
        Retry::After(stated) if stated > rules.longest_stated_wait => None,
        Retry::After(stated) => Some(stated.max(own)),
    }
}

/// Returns between half and the whole of a wait, so that clients that failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    // The keys of a hash map are the only randomness in the standard library, and good enough for this.
    let random = RandomState::new().hash_one(0) % 1024;
    let part = u32::try_from(random).unwrap_or_default();
    wait / 2 + (wait / 2).saturating_mul(part) / 1024
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::ErrorKind;

    fn error(retry: Retry) -> Error {
        Error::new(ErrorKind::Unavailable, "test", "x", "node").with_retry(retry)
    }

    #[test]
    fn waits_double_and_follow_what_the_node_says() {
        let rules = RetryRules { attempts: 9, ..RetryRules::default() };
        let within = |retry, failure, low, high| {
            let wait = wait_before_retry(&rules, &error(retry), failure);
            wait.is_some_and(|wait| (low..=high).contains(&wait.as_millis()))
        };
        assert!(within(Retry::Yes, 1, 250, 500));
        assert!(within(Retry::Yes, 3, 1000, 2000));
        assert!(within(Retry::Yes, 8, 10_000, 20_000));
        assert!(within(Retry::After(Duration::from_secs(7)), 1, 7000, 7000));
        assert_eq!(wait_before_retry(&rules, &error(Retry::After(Duration::from_secs(3600))), 1), None);
        assert_eq!(wait_before_retry(&rules, &error(Retry::No), 1), None);
        assert_eq!(wait_before_retry(&rules, &error(Retry::Yes), 9), None);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_are_bounded_and_success_ends_them() {
        let attempts = RetryRules::default().attempts;
        for (retry, succeeds_at, expected) in
            [(Retry::No, 9, 1), (Retry::Yes, 99, attempts), (Retry::Yes, 3, 3)]
        {
            let tries = AtomicU32::new(0);
            let failures = Failures::new(RetryRules::default(), ProgressSink::default());
            let result = failures
                .retry(|| async {
                    match tries.fetch_add(1, Ordering::Relaxed) + 1 {
                        number if number == succeeds_at => Ok(number),
                        _ => Err(error(retry)),
                    }
                })
                .await;
            assert_eq!(result.is_ok(), succeeds_at == expected);
            assert_eq!(tries.into_inner(), expected);
        }
    }
}
