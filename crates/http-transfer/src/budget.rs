//! Budgets: requests per second and in flight, and pauses that a server asks for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The longest time between two requests that a rate can ask for.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// Limits how much one server is asked at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetRules {
    /// Requests per second in the long run.
    pub requests_per_second: f64,
    /// Requests per second until the server first asks for a pause, for a server whose limit nobody published. `None` means
    /// [`requests_per_second`](Self::requests_per_second) from the start.
    pub requests_per_second_at_first: Option<f64>,
    /// Requests that may come at once before the rate counts.
    pub burst: u32,
    /// Requests in flight that carry no content.
    pub parallel_requests: usize,
    /// Requests in flight that send content.
    pub parallel_uploads: usize,
}

impl Default for BudgetRules {
    fn default() -> Self {
        Self {
            requests_per_second: 50.0,
            requests_per_second_at_first: None,
            burst: 50,
            parallel_requests: 8,
            parallel_uploads: 4,
        }
    }
}

/// Says against which limit a request in flight counts.
///
/// Uploads have a limit of their own: their content may be read from the same server. With one limit, uploads could
/// wait for reads that wait for uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A request without content, or with little.
    Small,
    /// A request that sends content, or one whose answer takes as long.
    Upload,
}

/// Counts the requests to one server.
#[derive(Debug)]
pub(crate) struct Budget {
    requests: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    rate: RequestRate,
}

impl Budget {
    pub(crate) fn new(rules: BudgetRules) -> Self {
        let count = |parallel: usize| Arc::new(Semaphore::new(parallel.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            requests: count(rules.parallel_requests),
            uploads: count(rules.parallel_uploads),
            rate: RequestRate::new(&rules),
        }
    }

    /// Waits until a request may be sent.
    pub(crate) async fn enter(&self, load: Load) -> Option<OwnedSemaphorePermit> {
        let semaphore = match load {
            Load::Small => &self.requests,
            Load::Upload => &self.uploads,
        };
        // Nobody closes the semaphores.
        let permit = semaphore.clone().acquire_owned().await.ok();
        self.rate.wait_for_turn().await;
        permit
    }

    /// Lets no request start before this time has passed, and none after it faster than in the long run.
    pub(crate) fn pause(&self, wait: Duration) {
        self.rate.pause(wait);
    }
}

/// Keeps to a number of requests per second.
#[derive(Debug)]
struct RequestRate {
    /// The rate after the server has asked for a pause.
    slow: Spacing,
    state: Mutex<RateState>,
}

#[derive(Debug)]
struct RateState {
    spacing: Spacing,
    /// The time at which the rate is used up. It runs ahead of the clock by at most the tolerance (the generic cell
    /// rate algorithm, ITU-T I.371).
    arrival: Instant,
}

/// The distance of requests, and how far they may come ahead of it.
#[derive(Clone, Copy, Debug)]
struct Spacing {
    interval: Duration,
    tolerance: Duration,
}

impl Spacing {
    fn new(requests_per_second: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / requests_per_second).unwrap_or_default();
        let interval = interval.min(LONGEST_INTERVAL);
        Self { interval, tolerance: interval.saturating_mul(burst.saturating_sub(1)) }
    }
}

impl RequestRate {
    fn new(rules: &BudgetRules) -> Self {
        let slow = Spacing::new(rules.requests_per_second, rules.burst);
        let spacing = rules.requests_per_second_at_first.map_or(slow, |rate| Spacing::new(rate, rules.burst));
        Self { slow, state: Mutex::new(RateState { spacing, arrival: Instant::now() }) }
    }

    async fn wait_for_turn(&self) {
        tokio::time::sleep_until(self.reserve()).await;
    }

    fn pause(&self, wait: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.spacing = self.slow;
        let until = Instant::now().checked_add(wait);
        let Some(until) = until.and_then(|until| until.checked_add(self.slow.tolerance)) else { return };
        state.arrival = state.arrival.max(until);
    }

    fn reserve(&self) -> Instant {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Spacing { interval, tolerance } = state.spacing;
        let own = state.arrival.max(now);
        state.arrival = own.checked_add(interval).unwrap_or(own);
        own.checked_sub(tolerance).map_or(now, |start| start.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> BudgetRules {
        BudgetRules {
            requests_per_second: 10.0,
            burst: 3,
            parallel_requests: 2,
            parallel_uploads: 1,
            ..BudgetRules::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_to_the_rate() {
        let rate = RequestRate::new(&rules());
        let start = Instant::now();
        for expected in [0, 0, 0, 100, 200, 300] {
            rate.wait_for_turn().await;
            let passed = start.elapsed().as_millis();
            assert!((expected..expected + 3).contains(&passed), "{passed} instead of {expected}");
        }
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
    async fn the_rate_at_first_ends_with_the_first_pause() {
        let rate = RequestRate::new(&BudgetRules {
            requests_per_second_at_first: Some(1000.0),
            burst: 1,
            ..rules()
        });
        let start = Instant::now();
        for expected in [0, 1, 2] {
            rate.wait_for_turn().await;
            let passed = start.elapsed().as_millis();
            assert!((expected..expected + 3).contains(&passed), "{passed} instead of {expected}");
        }
        rate.pause(Duration::from_secs(1));
        for expected in [1002, 1102, 1202] {
            rate.wait_for_turn().await;
            let passed = start.elapsed().as_millis();
            assert!((expected..expected + 5).contains(&passed), "{passed} instead of {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_rate_stops_everything() {
        let start = Instant::now();
        for requests_per_second in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
            let rate = RequestRate::new(&BudgetRules { requests_per_second, burst: 1, ..rules() });
            rate.wait_for_turn().await;
            rate.wait_for_turn().await;
            rate.pause(Duration::MAX);
        }
        assert!(start.elapsed() <= LONGEST_INTERVAL * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_are_bounded() {
        let budget = Budget::new(rules());
        let held = (budget.enter(Load::Small).await, budget.enter(Load::Small).await);
        let third = tokio::time::timeout(Duration::from_secs(9), budget.enter(Load::Small)).await;
        assert!(third.is_err());
        drop(held);
        assert!(tokio::time::timeout(Duration::from_secs(9), budget.enter(Load::Small)).await.is_ok());
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
