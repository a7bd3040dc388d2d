//! Retries: when a request is repeated, and how long the client waits before.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The most doublings of a wait. After these, every wait is longer than any limit that a caller would set.
const MOST_DOUBLINGS: u32 = 16;

/// How often to try again, and when.
///
/// A client gives up when it has failed `attempts` times in a row, or when `patience` has passed since the first of
/// these failures, whichever comes first. Waits that the server states do not use up the patience.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryRules {
    /// The most tries without progress.
    pub attempts: u32,
    /// The time after which the client gives up without progress: the length of an outage that a transfer survives.
    pub patience: Duration,
    /// The patience with a server that cannot be reached and has never answered, such as a misspelled host.
    pub first_patience: Duration,
    /// The wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait between two tries that the server did not ask for.
    pub longest_wait: Duration,
    /// The shortest wait where the server asks for fewer requests, whatever it states.
    pub limited_wait: Duration,
    /// The longest wait that the server may ask for. Above it, the operation fails and tells the caller.
    pub longest_stated_wait: Duration,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 100,
            patience: Duration::from_secs(300),
            first_patience: Duration::from_secs(10),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(20),
            // Some servers state waits of microseconds (trivy-db issue 442).
            limited_wait: Duration::from_secs(1),
            longest_stated_wait: Duration::from_secs(900),
        }
    }
}

/// Tells whether the same request can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It will fail again.
    No,
    /// It may succeed.
    Yes,
    /// It may succeed after this time, which the server has stated.
    After(Duration),
}

/// A wait that is about to begin.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Wait<'a> {
    /// The server that failed, for people: a host or a URL.
    pub server: &'a str,
    /// The failure.
    pub reason: &'a dyn fmt::Display,
    /// How long the wait is.
    pub length: Duration,
    /// Whether the server asked for the wait.
    pub is_stated: bool,
}

impl<'a> Wait<'a> {
    /// Describes a wait.
    pub fn new(server: &'a str, reason: &'a dyn fmt::Display, length: Duration, is_stated: bool) -> Self {
        Self { server, reason, length, is_stated }
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wait")
            .field("server", &self.server)
            .field("reason", &self.reason.to_string())
            .field("length", &self.length)
            .field("is_stated", &self.is_stated)
            .finish()
    }
}

/// Takes note of waits. It is called from the task that waits, and should return at once.
#[derive(Clone)]
pub struct WaitObserver(Arc<dyn Fn(&Wait<'_>) + Send + Sync>);

impl WaitObserver {
    /// Makes an observer of a function.
    pub fn new(note: impl Fn(&Wait<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(note))
    }

    /// Passes a wait on.
    pub fn note(&self, wait: &Wait<'_>) {
        (self.0)(wait);
    }
}

impl Default for WaitObserver {
    /// Returns an observer that ignores waits.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for WaitObserver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WaitObserver")
    }
}

/// A client's rules for retries, and the meaning of its errors.
pub trait RetryPolicy {
    /// The client's error.
    type Error: fmt::Display;

    /// Returns the rules.
    fn rules(&self) -> &RetryRules;

    /// Tells whether trying again can help after this error.
    fn retry(&self, error: &Self::Error) -> Retry;

    /// Tells whether the server asks for fewer requests (status 429, RFC 6585 section 4).
    fn is_rate_limited(&self, error: &Self::Error) -> bool;

    /// Returns how long to go on without progress after this error.
    fn patience(&self, error: &Self::Error) -> Duration {
        let _ = error;
        self.rules().patience
    }

    /// Takes note of a wait after this error, before it begins.
    fn note_wait(&self, error: &Self::Error, wait: Duration, is_stated: bool);
}

/// Counts failures without progress, and waits between tries.
///
/// ```
/// use std::time::Duration;
/// use http_transfer::{Failures, Retry, RetryPolicy, RetryRules};
///
/// struct Always(RetryRules);
///
/// impl RetryPolicy for Always {
///     type Error = &'static str;
///
///     fn rules(&self) -> &RetryRules {
///         &self.0
///     }
///
///     fn retry(&self, _error: &&'static str) -> Retry {
///         Retry::Yes
///     }
///
///     fn is_rate_limited(&self, _error: &&'static str) -> bool {
///         false
///     }
///
///     fn note_wait(&self, error: &&'static str, wait: Duration, _is_stated: bool) {
///         println!("{error}, waiting for {wait:?}");
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
/// let mut tries = 0;
/// let result = Failures::new(Always(RetryRules::default())).retry(|| {
///     tries += 1;
///     let answer = if tries < 3 { Err("no answer") } else { Ok(7) };
///     async move { answer }
/// });
/// assert_eq!(result.await, Ok(7));
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Failures<P> {
    policy: P,
    count: u32,
    /// The time of the first failure, moved on by the waits that the server stated.
    since: Option<Instant>,
    /// The sum of the waits that the server stated.
    stated: Duration,
}

impl<P: RetryPolicy> Failures<P> {
    /// Begins to count.
    #[must_use]
    pub fn new(policy: P) -> Self {
        Self { policy, count: 0, since: None, stated: Duration::ZERO }
    }

    /// Returns the number of failures since the last progress.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Forgets the failures so far, because there was progress.
    pub fn forget(&mut self) {
        (self.count, self.since, self.stated) = (0, None, Duration::ZERO);
    }

    /// Counts a failure, and waits until the next try.
    ///
    /// # Errors
    ///
    /// The error itself, if there is no next try.
    pub async fn wait_after(&mut self, error: P::Error) -> Result<(), P::Error> {
        let patience = self.policy.patience(&error);
        self.wait_within(error, patience).await
    }

    /// As [`wait_after`](Self::wait_after), with another patience than the policy's.
    ///
    /// # Errors
    ///
    /// The error itself, if there is no next try.
    pub async fn wait_within(&mut self, error: P::Error, patience: Duration) -> Result<(), P::Error> {
        self.count = self.count.saturating_add(1);
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let rules = self.policy.rules();
        let (retry, is_limited) = (self.policy.retry(&error), self.policy.is_rate_limited(&error));
        let Some((wait, is_stated)) = next_wait(rules, retry, is_limited, self.count) else {
            return Err(error);
        };
        if is_stated {
            self.stated = self.stated.saturating_add(wait);
            // A server that asks for one wait after another does not get more time than two of the longest.
            if self.stated > rules.longest_stated_wait.saturating_mul(2) {
                return Err(error);
            }
            self.since = since.checked_add(wait);
        } else if now.duration_since(since).saturating_add(wait) > patience {
            return Err(error);
        }
        tracing::debug!(%error, attempt = self.count, wait_ms = wait.as_millis(), "will try again");
        self.policy.note_wait(&error, wait, is_stated);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Tries an operation until it succeeds, or fails for good.
    ///
    /// # Errors
    ///
    /// That of the last try.
    pub async fn retry<T, R>(mut self, mut attempt: impl FnMut() -> R) -> Result<T, P::Error>
    where
        R: Future<Output = Result<T, P::Error>>,
    {
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => self.wait_after(error).await?,
            }
        }
    }
}

/// Returns between half and the whole of a wait, so that clients that failed together do not come back together.
#[must_use]
pub fn jittered(wait: Duration) -> Duration {
    // The keys of a hash map are the only randomness in the standard library, and good enough for this.
    let random = RandomState::new().hash_one(0) % 1024;
    let part = u32::try_from(random).unwrap_or_default();
    wait / 2 + (wait / 2).saturating_mul(part) / 1024
}

/// Returns the wait after the failure of this number and whether the server stated it, or `None` to give up.
fn next_wait(rules: &RetryRules, retry: Retry, is_limited: bool, failure: u32) -> Option<(Duration, bool)> {
    if failure >= rules.attempts {
        return None;
    }
    let doubled = |wait: Duration| wait.saturating_mul(1 << failure.saturating_sub(1).min(MOST_DOUBLINGS));
    let stated = match retry {
        Retry::No => return None,
        Retry::Yes => Duration::ZERO,
        Retry::After(stated) if stated > rules.longest_stated_wait => return None,
        Retry::After(stated) => stated,
    };
    if is_limited {
        // A client that comes back too early again and again takes more time than the server stated.
        let wait = doubled(stated.max(rules.limited_wait)).min(rules.longest_stated_wait);
        return Some((wait, stated >= rules.limited_wait));
    }
    let own = jittered(doubled(rules.first_wait).min(rules.longest_wait));
    Some((stated.max(own), stated > own))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Errors that state their meaning.
    #[derive(Default)]
    struct Plain {
        rules: RetryRules,
        waits: AtomicU32,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Failed(Retry);

    impl RetryPolicy for &Plain {
        type Error = Failed;

        fn rules(&self) -> &RetryRules {
            &self.rules
        }

        fn retry(&self, error: &Failed) -> Retry {
            error.0
        }

        fn is_rate_limited(&self, _error: &Failed) -> bool {
            false
        }

        fn note_wait(&self, _error: &Failed, _wait: Duration, _is_stated: bool) {
            self.waits.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn waits_double_and_follow_the_server() {
        let rules = RetryRules { attempts: 9, ..RetryRules::default() };
        let wait = |retry, is_limited, failure| next_wait(&rules, retry, is_limited, failure);
        let within = |wait: Option<(Duration, bool)>, low, high| {
            wait.is_some_and(|(wait, _)| (low..=high).contains(&wait.as_millis()))
        };
        assert!(within(wait(Retry::Yes, false, 1), 125, 250));
        assert!(within(wait(Retry::Yes, false, 3), 500, 1000));
        assert!(within(wait(Retry::Yes, false, 8), 10_000, 20_000));
        assert_eq!(wait(Retry::Yes, true, 1), Some((Duration::from_secs(1), false)));
        let microseconds = Retry::After(Duration::from_micros(35));
        assert_eq!(wait(microseconds, true, 1), Some((Duration::from_secs(1), false)));
        let minute = Retry::After(Duration::from_secs(60));
        assert_eq!(wait(minute, true, 3), Some((Duration::from_secs(240), true)));
        assert_eq!(wait(minute, true, 8), Some((Duration::from_secs(900), true)));
        let seconds = Retry::After(Duration::from_secs(7));
        assert_eq!(wait(seconds, false, 1), Some((Duration::from_secs(7), true)));
        assert_eq!(wait(Retry::After(Duration::from_secs(3600)), false, 1), None);
        assert_eq!(wait(Retry::No, false, 1), None);
        assert_eq!(wait(Retry::Yes, false, 9), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_failure_is_not_repeated() {
        for (retry, expected) in [(Retry::No, 1), (Retry::Yes, 6)] {
            let (tries, rules) = (AtomicU32::new(0), RetryRules { attempts: 6, ..RetryRules::default() });
            let plain = Plain { rules, ..Plain::default() };
            let result: Result<(), Failed> = Failures::new(&plain)
                .retry(|| async {
                    tries.fetch_add(1, Ordering::Relaxed);
                    Err(Failed(retry))
                })
                .await;
            assert!(result.is_err());
            assert_eq!(tries.into_inner(), expected);
            assert_eq!(plain.waits.into_inner(), expected - 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_minutes_is_survived_and_a_longer_one_is_not() {
        for (outage, survives) in [(60, true), (270, true), (400, false)] {
            let (plain, start) = (Plain::default(), Instant::now());
            let result = Failures::new(&plain)
                .retry(|| async {
                    let is_over = start.elapsed() >= Duration::from_secs(outage);
                    if is_over { Ok(()) } else { Err(Failed(Retry::Yes)) }
                })
                .await;
            assert_eq!(result.is_ok(), survives, "{outage}");
            assert!(start.elapsed() <= Duration::from_secs(300), "{:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stated_waits_do_not_use_up_the_patience_but_have_an_end() {
        let (plain, tries, start) = (Plain::default(), AtomicU32::new(0), Instant::now());
        let result: Result<(), Failed> = Failures::new(&plain)
            .retry(|| async {
                tries.fetch_add(1, Ordering::Relaxed);
                Err(Failed(Retry::After(Duration::from_secs(250))))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(start.elapsed(), Duration::from_secs(7 * 250));
        assert_eq!(tries.into_inner(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_makes_up_for_failures() {
        let plain = Plain::default();
        let mut failures = Failures::new(&plain);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3600) {
            for _ in 0..4 {
                failures.wait_after(Failed(Retry::Yes)).await.unwrap();
            }
            assert_eq!(failures.count(), 4);
            tokio::time::sleep(Duration::from_secs(250)).await;
            failures.forget();
        }
    }
}
