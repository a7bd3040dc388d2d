//! Trying again, as errors of backends and the rules of a profile say.

use std::time::Duration;

use http_transfer::{Failures, RetryPolicy, RetryRules};
use registry_backend::{Error, ErrorKind, Result, Retry};

/// The rules of a registry's profile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegistryRetries<'a>(&'a RetryRules);

/// Tries an operation until it succeeds, fails for good, or has failed as often as the rules allow.
pub(crate) async fn with_retries<T, R>(rules: &RetryRules, attempt: impl FnMut() -> R) -> Result<T>
where
    R: Future<Output = Result<T>>,
{
    count_failures(rules).retry(attempt).await
}

/// Begins to count failures.
pub(crate) fn count_failures(rules: &RetryRules) -> Failures<RegistryRetries<'_>> {
    Failures::new(RegistryRetries(rules))
}

impl RetryPolicy for RegistryRetries<'_> {
    type Error = Error;

    fn rules(&self) -> &RetryRules {
        self.0
    }

    fn retry(&self, error: &Error) -> http_transfer::Retry {
        match error.retry() {
            Retry::No => http_transfer::Retry::No,
            Retry::Yes => http_transfer::Retry::Yes,
            Retry::After(stated) => http_transfer::Retry::After(stated),
        }
    }

    fn is_rate_limited(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::RateLimited
    }

    fn note_wait(&self, _error: &Error, _wait: Duration) {}
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn errors_of_backends_say_whether_to_try_again() {
        let rules = RetryRules::default();
        let hour = Retry::After(Duration::from_secs(3600));
        for (kind, retry, expected) in [
            (ErrorKind::Unavailable, Retry::No, 1),
            (ErrorKind::Unavailable, hour, 1),
            (ErrorKind::Unavailable, Retry::Yes, rules.attempts),
            (ErrorKind::RateLimited, Retry::After(Duration::from_micros(35)), rules.attempts),
        ] {
            let (tries, start) = (AtomicU32::new(0), tokio::time::Instant::now());
            let result: Result<()> = with_retries(&rules, || async {
                tries.fetch_add(1, Ordering::Relaxed);
                Err(Error::new(kind, "test", "x").with_retry(retry))
            })
            .await;
            assert!(result.is_err());
            assert_eq!(tries.into_inner(), expected);
            // Waits of 1, 2, 4, 8 and 16 seconds.
            assert_eq!(start.elapsed() >= rules.limited_wait * 31, kind == ErrorKind::RateLimited);
        }
    }
}
