//! Small content in memory: bounded, by digest, and each read from the store once however many clients ask.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

/// SHA-256 of the content.
type Key = [u8; 32];

/// The bytes that an entry costs besides its content.
const ENTRY_BYTES: u64 = 256;

/// Content in memory, least recently used out first.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// The keys by the time of their last use.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: u64,
    loading: HashMap<Key, Arc<OnceCell<Bytes>>>,
}

#[derive(Debug)]
struct Entry {
    content: Bytes,
    used: u64,
}

impl Cache {
    pub(crate) fn new(capacity: u64) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns content that is in memory.
    pub(crate) fn get(&self, key: &Key) -> Option<Bytes> {
        self.state().touch(key)
    }

    /// Forgets all content.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.entries.clear();
        state.by_use.clear();
        state.bytes = 0;
    }

    /// Returns content, and reads it with `load` if it is not in memory. Concurrent callers share one reading.
    ///
    /// # Errors
    ///
    /// The error of `load`. The next caller tries again.
    pub(crate) async fn get_or_load<E>(
        &self,
        key: Key,
        load: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Bytes, E> {
        let cell = {
            let mut state = self.state();
            if let Some(content) = state.touch(&key) {
                return Ok(content);
            }
            Arc::clone(state.loading.entry(key).or_default())
        };
        // If the caller that reads goes away, the next one that waits reads.
        let loaded = cell.get_or_try_init(|| load).await.cloned();
        let mut state = self.state();
        let is_last = loaded.is_ok() || Arc::strong_count(&cell) == 2;
        if is_last && state.loading.get(&key).is_some_and(|known| Arc::ptr_eq(known, &cell)) {
            state.loading.remove(&key);
        }
        if let Ok(content) = &loaded {
            state.insert(key, content.clone(), self.capacity);
        }
        loaded
    }
}

impl State {
    fn touch(&mut self, key: &Key) -> Option<Bytes> {
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(self.uses, *key);
        Some(entry.content.clone())
    }

    fn insert(&mut self, key: Key, content: Bytes, capacity: u64) {
        let cost = content.len() as u64 + ENTRY_BYTES;
        if cost > capacity || self.entries.contains_key(&key) {
            return;
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key);
        self.entries.insert(key, Entry { content, used: self.uses });
        self.bytes += cost;
        while self.bytes > capacity {
            let Some((_, oldest)) = self.by_use.pop_first() else { return };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.content.len() as u64 + ENTRY_BYTES;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn key(number: u8) -> Key {
        [number; 32]
    }

    async fn put(cache: &Cache, number: u8, length: usize) {
        let content = async { Ok::<_, Infallible>(Bytes::from(vec![number; length])) };
        cache.get_or_load(key(number), content).await.unwrap();
    }

    #[tokio::test]
    async fn the_least_recently_used_content_goes_first() {
        let cache = Cache::new(3 * (100 + ENTRY_BYTES));
        for number in 0..3 {
            put(&cache, number, 100).await;
        }
        assert!(cache.get(&key(0)).is_some());
        put(&cache, 3, 100).await;
        let kept: Vec<_> = (0..4).map(|number| cache.get(&key(number)).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        put(&cache, 4, 10_000).await;
        assert!(cache.get(&key(4)).is_none());
        assert_eq!(cache.state().bytes, 3 * (100 + ENTRY_BYTES));
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_reading() {
        let cache = Cache::new(1 << 20);
        let readings = AtomicUsize::new(0);
        let read = || {
            cache.get_or_load(key(1), async {
                readings.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(Bytes::from_static(b"x"))
            })
        };
        futures::future::join_all((0..50).map(|_| read())).await;
        assert_eq!(readings.load(Ordering::Relaxed), 1);
        assert!(cache.state().loading.is_empty());
    }

    #[tokio::test]
    async fn after_an_error_the_next_caller_reads_again() {
        let cache = Cache::new(1 << 20);
        let failed = cache.get_or_load(key(1), async { Err("away") }).await;
        assert_eq!(failed.unwrap_err(), "away");
        assert!(cache.state().loading.is_empty());
        put(&cache, 1, 5).await;
        assert!(cache.get(&key(1)).is_some());
    }
}
