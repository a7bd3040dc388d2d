//! Checksums that are computed from the bytes when a client asks: a stored statement proves nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use d1_catalog::CatalogFile;
use jiff::Timestamp;
use multi_digest::{Algorithm, MultiHasher};
use tokio::sync::Semaphore;

use crate::answer::{Kind, Refused};
use crate::store::Store;

/// How many contents are hashed at once.
const HASHED_AT_ONCE: usize = 4;
/// The most results that are kept.
const MOST_KEPT: usize = 10_000;
/// How long a result counts, in seconds.
const KEPT_SECONDS: i64 = 24 * 60 * 60;

/// Results by content and algorithm: when they were computed, and the digests.
type Kept = HashMap<([u8; 32], Algorithm), (i64, Vec<u8>)>;

/// Results of the last day, by content.
#[derive(Debug)]
pub(crate) struct Checksums {
    kept: Mutex<Kept>,
    places: Semaphore,
}

impl Default for Checksums {
    fn default() -> Self {
        Self { kept: Mutex::default(), places: Semaphore::new(HASHED_AT_ONCE) }
    }
}

impl Checksums {
    /// Returns a checksum of a file, computed from its bytes within the last day.
    pub(crate) async fn of(
        &self,
        store: &Store,
        file: &CatalogFile,
        algorithm: Algorithm,
    ) -> Result<Vec<u8>, Refused> {
        let key = file.sha256().map(|sha256| (sha256, algorithm));
        let now = Timestamp::now().as_second();
        if let Some(known) = key.and_then(|key| self.known(&key, now)) {
            return Ok(known);
        }
        let _place = self.places.acquire().await;
        let mut hasher = MultiHasher::new(algorithm.into());
        let mut stream = store.read(file, 0..file.size).await?;
        while let Some(chunk) = stream.recv().await {
            hasher.update(&chunk.map_err(|error| store.content_failed(&error))?);
        }
        let digests = hasher.finish();
        let digest = digests.get(algorithm).map(<[u8]>::to_vec);
        let digest = digest.ok_or_else(|| Refused::new(Kind::ServiceFailure, "the checksum is missing"))?;
        if let Some(key) = key {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(key, (now, digest.clone()));
        }
        Ok(digest)
    }

    fn known(&self, key: &([u8; 32], Algorithm), now: i64) -> Option<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, digest) = kept.get(key)?;
        (now - time < KEPT_SECONDS).then(|| digest.clone())
    }
}
