//! How many requests are made per second, and when a server wants to be left alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest time between two requests that a rate can ask for.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// Keeps to a number of requests per second.
#[derive(Debug)]
pub struct RequestRate {
    interval: Duration,
    tolerance: Duration,
    /// The time at which the rate is used up, which runs ahead of the clock by at most the tolerance (the generic cell
    /// rate algorithm, ITU-T I.371).
    arrival: Mutex<Instant>,
}

impl RequestRate {
    /// Allows so many requests per second in the long run, and so many at once before the rate counts.
    #[must_use]
    pub fn new(requests_per_second: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / requests_per_second).unwrap_or_default();
        let interval = interval.min(LONGEST_INTERVAL);
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.saturating_sub(1)),
            arrival: Mutex::new(Instant::now()),
        }
    }

    /// Waits until a request may be sent.
    pub async fn wait_for_turn(&self) {
        tokio::time::sleep_until(self.reserve()).await;
    }

    /// Lets no further request start before this time has passed.
    pub fn pause(&self, wait: Duration) {
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

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_to_the_rate() {
        let rate = RequestRate::new(10.0, 3);
        let start = Instant::now();
        for expected in [0, 0, 0, 100, 200, 300] {
            rate.wait_for_turn().await;
            let passed = start.elapsed().as_millis();
            assert!((expected..expected + 3).contains(&passed), "{passed} instead of {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone() {
        let rate = RequestRate::new(10.0, 3);
        let start = Instant::now();
        rate.pause(Duration::from_secs(5));
        rate.wait_for_turn().await;
        assert!(start.elapsed() >= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn no_rate_stops_everything() {
        let start = Instant::now();
        for requests_per_second in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
            let rate = RequestRate::new(requests_per_second, 1);
            rate.wait_for_turn().await;
            rate.wait_for_turn().await;
            rate.pause(Duration::MAX);
        }
        assert!(start.elapsed() <= LONGEST_INTERVAL * 3);
    }
}
