//! Trying again, as errors of nodes and the options say.

use std::time::Duration;

use http_transfer::{RetryPolicy, RetryRules};

use crate::error::{Error, ErrorKind, Retry};
use crate::progress::{Progress, ProgressSink};

/// The rules of a client's options, and who is told of waits.
#[derive(Debug)]
pub(crate) struct NodeRetries {
    pub(crate) rules: RetryRules,
    pub(crate) progress: ProgressSink,
}

/// Counts failures without progress.
pub(crate) type Failures = http_transfer::Failures<NodeRetries>;

impl RetryPolicy for NodeRetries {
    type Error = Error;

    fn rules(&self) -> &RetryRules {
        &self.rules
    }

    fn retry(&self, error: &Error) -> Retry {
        error.retry()
    }

    fn is_rate_limited(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::RateLimited
    }

    fn note_wait(&self, error: &Error, wait: Duration) {
        self.progress.note(&Progress::Waiting { error, wait });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tries_are_bounded_success_ends_them_and_waits_are_told() {
        let attempts = RetryRules::default().attempts;
        for (retry, succeeds_at, expected) in
            [(Retry::No, 9, 1), (Retry::Yes, 99, attempts), (Retry::Yes, 3, 3)]
        {
            let (tries, waits) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
            let told = waits.clone();
            let progress = ProgressSink::new(move |_| {
                told.fetch_add(1, Ordering::Relaxed);
            });
            let result = Failures::new(NodeRetries { rules: RetryRules::default(), progress })
                .retry(|| async {
                    match tries.fetch_add(1, Ordering::Relaxed) + 1 {
                        number if number == succeeds_at => Ok(number),
                        _ => Err(Error::new(ErrorKind::Unavailable, "test", "x", "node").with_retry(retry)),
                    }
                })
                .await;
            assert_eq!(result.is_ok(), succeeds_at == expected);
            assert_eq!(tries.into_inner(), expected);
            assert_eq!(waits.load(Ordering::Relaxed), expected - 1);
        }
    }
}
