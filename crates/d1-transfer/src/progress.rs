//! Phases that end however they end, and the progress of hashing as events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bagit::{Progress, ProgressEvent};
use futures::StreamExt;
use registry_backend::ByteStream;

use crate::{Event, Observer, Phase};

/// A phase that has begun. It ends when this value is dropped, after success, failure and cancellation alike.
pub struct RunningPhase {
    observer: Arc<dyn Observer>,
    phase: Phase,
}

impl RunningPhase {
    /// Tells the observer that a phase begins with so many items and bytes.
    pub fn begin(observer: &Arc<dyn Observer>, phase: Phase, items: u64, bytes: u64) -> Self {
        observer.event(&Event::Began { phase, items, bytes });
        Self { observer: Arc::clone(observer), phase }
    }

    /// Tells the observer how many more items and bytes are done.
    pub fn advance(&self, items: u64, bytes: u64) {
        if (items, bytes) != (0, 0) {
            self.observer.event(&Event::Advanced { phase: self.phase, items, bytes });
        }
    }
}

impl Drop for RunningPhase {
    fn drop(&mut self) {
        self.observer.event(&Event::Ended { phase: self.phase });
    }
}

/// Adds sizes that come from outside: whatever they claim, the sum is a number.
pub fn total(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

/// Makes a [`Phase::Check`] of what hashing files tells.
pub struct HashProgress {
    observer: Arc<dyn Observer>,
    phase: OnceLock<RunningPhase>,
}

impl HashProgress {
    /// Returns progress that begins when it is known how much there is to hash.
    pub fn new(observer: &Arc<dyn Observer>) -> Self {
        Self { observer: Arc::clone(observer), phase: OnceLock::new() }
    }

    /// Returns progress over so many files, for work that does not count them itself.
    pub fn over(observer: &Arc<dyn Observer>, files: u64, bytes: u64) -> Self {
        let progress = Self::new(observer);
        progress.event(ProgressEvent::Planned { files, bytes });
        progress
    }
}

impl Progress for HashProgress {
    fn event(&self, event: ProgressEvent<'_>) {
        let advance = |items, bytes| {
            if let Some(phase) = self.phase.get() {
                phase.advance(items, bytes);
            }
        };
        match event {
            ProgressEvent::Planned { files, bytes } => {
                self.phase.get_or_init(|| RunningPhase::begin(&self.observer, Phase::Check, files, bytes));
            }
            ProgressEvent::Advanced { bytes } => advance(0, bytes),
            ProgressEvent::Finished { .. } => advance(1, 0),
            _ => {}
        }
    }
}

/// Counts what comes from a store, and tells of it.
#[derive(Clone)]
pub struct Meter {
    observer: Arc<dyn Observer>,
    bytes: Arc<AtomicU64>,
}

impl Meter {
    /// Returns a meter that has counted nothing.
    #[must_use]
    pub fn new(observer: &Arc<dyn Observer>) -> Self {
        Self { observer: Arc::clone(observer), bytes: Arc::default() }
    }

    /// Returns the observer.
    #[must_use]
    pub fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// Returns the number of bytes that came so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Tells of files that are done, and of bytes that did not have to come again.
    pub fn advance(&self, items: u64, bytes: u64) {
        if (items, bytes) != (0, 0) {
            self.observer.event(&Event::Advanced { phase: Phase::Download, items, bytes });
        }
    }

    /// Returns the stream, counted.
    #[must_use]
    pub fn count(&self, stream: ByteStream) -> ByteStream {
        let meter = self.clone();
        let count = move |chunk: &registry_backend::Result<bytes::Bytes>| {
            if let Ok(bytes) = chunk {
                meter.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                meter.advance(0, bytes.len() as u64);
            }
        };
        stream.inspect(count).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Observer for Heard {
        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    #[test]
    fn hashing_that_never_began_does_not_end() {
        let heard = Arc::new(Heard::default());
        let observer: Arc<dyn Observer> = heard.clone();
        drop(HashProgress::new(&observer));
        assert_eq!(heard.0.lock().unwrap().len(), 0);
        drop(HashProgress::over(&observer, 1, 2));
        let expected =
            ["Began { phase: Check, items: 1, bytes: 2 }".to_owned(), "Ended { phase: Check }".to_owned()];
        assert_eq!(*heard.0.lock().unwrap(), expected);
    }
}
