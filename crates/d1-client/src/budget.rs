//! How much is asked of one node at once, and when it wants to be left alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::options::BudgetRules;

/// The longest time between two requests that a rate can ask for.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// Counts requests in flight and requests per second.
#[derive(Debug)]
pub(crate) struct Budget {
    requests: Semaphore,
    interval: Duration,
    tolerance: Duration,
    /// The time at which the rate is used up, which runs ahead of the clock by at most the tolerance (the generic cell
    /// rate algorithm, ITU-T I.371).
    arrival: Mutex<Instant>,
}

impl Budget {
    pub(crate) fn new(rules: BudgetRules) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / rules.requests_per_second).unwrap_or_default();
        let interval = interval.min(LONGEST_INTERVAL);
        Self {
            requests: Semaphore::new(rules.parallel_requests.clamp(1, Semaphore::MAX_PERMITS)),
            interval,
            tolerance: interval.saturating_mul(rules.burst.saturating_sub(1)),
            arrival: Mutex::new(Instant::now()),
        }
    }

    /// Waits until a request may be sent.
    pub(crate) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore.
        let permit = self.requests.acquire().await.ok();
        tokio::time::sleep_until(self.reserve()).await;
        permit
    }

    /// Lets no request start before this time has passed.
    pub(crate) fn pause(&self, wait: Duration) {
        let until = Instant::now().checked_add(wait).and_then(|until| until.checked_add(self.tolerance));
        let Some(until) = until else { return };
        let mut arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner);
        *arrival = (*arrival).max(until);
    }

    fn reserve(&self) -> Instant {
        let now = Instant::now();
        let mut arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (*arrival).max(now);
        *arrival = own.checked_add(self.interval).unwrap_or(own);
        own.checked_sub(self.tolerance).map_or(now, |start| start.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> BudgetRules {
        BudgetRules { requests_per_second: 10.0, burst: 3, parallel_requests: 2 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_to_the_rate() {
        let budget = Budget::new(rules());
        let start = Instant::now();
        for expected in [0, 0, 0, 100, 200, 300] {
            drop(budget.enter().await);
            let passed = start.elapsed().as_millis();
            assert!((expected..expected + 3).contains(&passed), "{passed} instead of {expected}");
        }
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
