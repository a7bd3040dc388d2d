//! How much is asked of one registry at once, and when it wants to be left alone.

use std::time::Duration;

use http_transfer::RequestRate;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::profile::BudgetRules;

/// Counts requests in flight and requests per second.
///
/// Permits of small requests are held until the answer's head is there, those of uploads as long as content is sent.
/// They are counted apart, since the content of an upload may be read from the same registry meanwhile: with one count,
/// uploads could wait for reads that wait for uploads.
#[derive(Debug)]
pub(crate) struct Budget {
    requests: Semaphore,
    uploads: Semaphore,
    rate: RequestRate,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Small,
    Upload,
}

impl Budget {
    pub(crate) fn new(rules: BudgetRules) -> Self {
        let count = |parallel: usize| Semaphore::new(parallel.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            requests: count(rules.parallel_requests),
            uploads: count(rules.parallel_uploads),
            rate: RequestRate::new(rules.requests_per_second, rules.burst),
        }
    }

    /// Waits until the request may be sent.
    pub(crate) async fn enter(&self, load: Load) -> Option<SemaphorePermit<'_>> {
        let semaphore = match load {
            Load::Small => &self.requests,
            Load::Upload => &self.uploads,
        };
        // Nobody closes the semaphores.
        let permit = semaphore.acquire().await.ok();
        self.rate.wait_for_turn().await;
        permit
    }

    /// Lets no request start before this time has passed.
    pub(crate) fn pause(&self, wait: Duration) {
        self.rate.pause(wait);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn rules() -> BudgetRules {
        BudgetRules { requests_per_second: 10.0, burst: 3, parallel_requests: 2, parallel_uploads: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone() {
        for load in [Load::Small, Load::Upload] {
            let budget = Budget::new(rules());
            let start = Instant::now();
            budget.pause(Duration::from_secs(5));
            drop(budget.enter(load).await);
            assert!(start.elapsed() >= Duration::from_secs(5));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_do_not_keep_small_requests_waiting() {
        let budget = Budget::new(rules());
        let _upload = budget.enter(Load::Upload).await;
        let second = tokio::time::timeout(Duration::from_secs(1), budget.enter(Load::Upload)).await;
        assert!(second.is_err());
        assert!(tokio::time::timeout(Duration::from_secs(1), budget.enter(Load::Small)).await.is_ok());
    }
}
