//! Trying again when another writer was faster.

use std::fmt;
use std::time::{Duration, SystemTime};

use registry_backend::{Error, ErrorKind, Result, Retry};

/// How often an update is tried.
const LIMIT: u32 = 30;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Counts the attempts of one update.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    lost: u32,
}

impl Attempts {
    /// Notes that another writer was faster, and waits before the next attempt.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) when it has happened too often.
    pub(crate) async fn lost(&mut self, operation: &'static str, target: impl fmt::Display) -> Result<()> {
        self.lost += 1;
        if self.lost >= LIMIT {
            return Err(Error::new(ErrorKind::Conflict, operation, target)
                .because(format!("other writers replaced the index {LIMIT} times in a row"))
                .with_retry(Retry::Yes));
        }
        let longest = Duration::from_millis(10).saturating_mul(1 << self.lost.min(10)).min(LONGEST_PAUSE);
        tokio::time::sleep(longest.mul_f64(fraction())).await;
        Ok(())
    }
}

/// A fraction that differs from one writer to another: two that wait equally long would meet again.
fn fraction() -> f64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    f64::from(nanos % 1000) / 1000.0
}
