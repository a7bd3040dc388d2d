//! How much is asked of one registry at once, and when it wants to be left alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

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
    interval: Duration,
    tolerance: Duration,
    /// The time at which the rate is used up, which runs ahead of the clock by at most the tolerance (the generic cell
    /// rate algorithm, ITU-T I.371).
    arrival: Mutex<Instant>,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Small,
    Upload,
}

impl Budget {
    pub(crate) fn new(rules: BudgetRules) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / rules.requests_per_second).unwrap_or_default();
        Self {
            requests: Semaphore::new(rules.parallel_requests.max(1)),
            uploads: Semaphore::new(rules.parallel_uploads.max(1)),
            interval,
            tolerance: interval.saturating_mul(rules.burst.saturating_sub(1)),
            arrival: Mutex::new(Instant::now()),
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
        tokio::time::sleep_until(self.reserve()).await;
        permit
    }

    /// Lets no request start before this time has passed.
    pub(crate) fn pause(&self, wait: Duration) {
        let Some(until) = Instant::now().checked_add(wait) else { return };
        let mut arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner);
        *arrival = (*arrival).max(until + self.tolerance);
    }

    fn reserve(&self) -> Instant {
        let now = Instant::now();
        let mut arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (*arrival).max(now);
        *arrival = own + self.interval;
        own.checked_sub(self.tolerance).map_or(now, |start| start.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> BudgetRules {
        BudgetRules { requests_per_second: 10.0, burst: 3, parallel_requests: 2, parallel_uploads: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_to_the_rate() {
        let budget = Budget::new(rules());
        let start = Instant::now();
        for expected in [0, 0, 0, 100, 200, 300] {
            drop(budget.enter(Load::Small).await);
            let passed = start.elapsed().as_millis();
            assert!((expected..expected + 3).contains(&passed), "{passed} instead of {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone() {
        let budget = Budget::new(rules());
        let start = Instant::now();
        budget.pause(Duration::from_secs(5));
        drop(budget.enter(Load::Upload).await);
        assert!(start.elapsed() >= Duration::from_secs(5));
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
