//! How much is asked of one node at once, and when it wants to be left alone.

use std::time::Duration;

use http_transfer::RequestRate;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::options::BudgetRules;

/// Counts requests in flight and requests per second.
#[derive(Debug)]
pub(crate) struct Budget {
    requests: Semaphore,
    rate: RequestRate,
}

impl Budget {
    pub(crate) fn new(rules: BudgetRules) -> Self {
        Self {
            requests: Semaphore::new(rules.parallel_requests.clamp(1, Semaphore::MAX_PERMITS)),
            rate: RequestRate::new(rules.requests_per_second, rules.burst),
        }
    }

    /// Waits until a request may be sent.
    pub(crate) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore.
        let permit = self.requests.acquire().await.ok();
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
        BudgetRules { requests_per_second: 10.0, burst: 3, parallel_requests: 2 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone() {
        let budget = Budget::new(rules());
        let start = Instant::now();
        budget.pause(Duration::from_secs(5));
        drop(budget.enter().await);
        assert!(start.elapsed() >= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_are_in_flight_than_allowed() {
        let budget = Budget::new(rules());
        let held = (budget.enter().await, budget.enter().await);
        assert!(tokio::time::timeout(Duration::from_secs(9), budget.enter()).await.is_err());
        drop(held);
        assert!(tokio::time::timeout(Duration::from_secs(9), budget.enter()).await.is_ok());
    }
}
