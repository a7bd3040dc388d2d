//! Results that were computed lately, and limits on the work for pages.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::answer::{Kind, Refused};

/// How many tables are read, or versions compared, at once for pages.
const TABLES_AT_ONCE: usize = 3;
/// How many proofs run at once.
const PROOFS_AT_ONCE: usize = 2;
/// The most bytes that are read for proofs within an hour.
const PROOF_BYTES: u64 = 16 << 30;
/// An hour in seconds.
const HOUR: i64 = 3600;

/// Results by type and key.
type Kept = HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>;

/// Results that were computed lately.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Kept>);

impl Recent {
    /// Returns a result, if it is known.
    pub(crate) fn get<T: Send + Sync + 'static>(&self, key: &str) -> Option<Arc<T>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.get(&(TypeId::of::<T>(), key.to_owned()))?).downcast().ok()
    }

    /// Keeps a result. If there are already `most` of its type, these are forgotten.
    pub(crate) fn keep<T: Send + Sync + 'static>(&self, key: String, result: Arc<T>, most: usize) {
        let kind = TypeId::of::<T>();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Counting all is cheap beside the work for a result.
        if kept.keys().filter(|(known, _)| *known == kind).count() >= most {
            kept.retain(|(known, _), _| *known != kind);
        }
        kept.insert((kind, key), result);
    }
}

/// Limits on the work for pages.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) tables: Semaphore,
    pub(crate) proofs: Semaphore,
    /// The begin of the running hour, and the bytes that were read for proofs in it.
    proven: Mutex<(i64, u64)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tables: Semaphore::new(TABLES_AT_ONCE),
            proofs: Semaphore::new(PROOFS_AT_ONCE),
            proven: Mutex::default(),
        }
    }
}

impl Limits {
    /// Takes bytes from the quota of proofs of this hour.
    pub(crate) fn take_proof(&self, bytes: u64) -> Result<(), Refused> {
        let now = Timestamp::now().as_second();
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if now - proven.0 >= HOUR {
            *proven = (now, 0);
        }
        if proven.1.saturating_add(bytes) > PROOF_BYTES {
            let mut refused = Refused::new(Kind::Unavailable, "the quota of proofs is used up");
            refused.retry_seconds = u64::try_from(proven.0 + HOUR - now).unwrap_or(1).max(1);
            return Err(refused);
        }
        proven.1 += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Limits, PROOF_BYTES, Recent};

    #[test]
    fn the_quota_of_an_hour_is_kept() {
        let limits = Limits::default();
        assert!(limits.take_proof(PROOF_BYTES - 1).is_ok() && limits.take_proof(1).is_ok());
        let refused = limits.take_proof(1).unwrap_err();
        assert!(refused.retry_seconds > 3000 && refused.retry_seconds <= 3600, "{}", refused.retry_seconds);
    }

    #[test]
    fn results_are_bounded_by_type() {
        let recent = Recent::default();
        recent.keep("a".to_owned(), Arc::new(1_u8), 2);
        recent.keep("a".to_owned(), Arc::new("text"), 1);
        recent.keep("b".to_owned(), Arc::new(2_u8), 2);
        assert_eq!(
            (recent.get::<u8>("a").as_deref(), recent.get::<&str>("a").as_deref()),
            (Some(&1), Some(&"text"))
        );
        recent.keep("c".to_owned(), Arc::new(3_u8), 2);
        assert_eq!((recent.get::<u8>("a"), recent.get::<u8>("c").as_deref()), (None, Some(&3)));
        assert!(recent.get::<&str>("a").is_some());
    }
}
