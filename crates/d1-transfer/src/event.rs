//! Events that a transfer reports while it runs, for progress displays and logs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bagit::{Progress, ProgressEvent};
use futures::StreamExt;
use oci_model::Digest;
use registry_backend::{ByteStream, Written};

/// Receives the events of a transfer. Many threads call it often, so it must return quickly.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use d1_transfer::{Event, Observer, Phase};
///
/// /// Counts the bytes that were sent.
/// #[derive(Default)]
/// struct Sent(AtomicU64);
///
/// impl Observer for Sent {
///     fn event(&self, event: &Event<'_>) {
///         if let Event::Advanced { phase: Phase::Upload, bytes, .. } = event {
///             self.0.fetch_add(*bytes, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let sent = Sent::default();
/// sent.event(&Event::Advanced { phase: Phase::Upload, items: 1, bytes: 7 });
/// assert_eq!(sent.0.into_inner(), 7);
/// ```
pub trait Observer: Send + Sync {
    /// Receives an event.
    fn event(&self, event: &Event<'_>);

    /// Tells whether the work should stop, because nobody waits for its result. Long work in threads asks often.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// An event of a transfer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A phase begins. The totals may be incomplete.
    Began {
        /// The phase.
        phase: Phase,
        /// Number of files or blobs in the phase.
        items: u64,
        /// Number of bytes in the phase.
        bytes: u64,
    },
    /// A phase has advanced since the last event.
    Advanced {
        /// The phase.
        phase: Phase,
        /// Number of files or blobs finished.
        items: u64,
        /// Number of bytes finished.
        bytes: u64,
    },
    /// A phase has ended.
    Ended {
        /// The phase.
        phase: Phase,
    },
    /// A blob is at its target.
    Blob {
        /// Its title, or media type if it has none.
        title: &'a str,
        /// Its digest.
        digest: &'a Digest,
        /// Its size in bytes.
        size: u64,
        /// How it got there.
        outcome: BlobOutcome,
    },
    /// A warning: the transfer continues, but people should know.
    Warning(&'a str),
}

/// A part of a transfer that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading and hashing files, and checking them against their manifests.
    Check,
    /// Packing archive layers.
    Pack,
    /// Sending blobs.
    Upload,
    /// Receiving blobs.
    Download,
}

/// How a blob got to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlobOutcome {
    /// The target already had it.
    AlreadyThere,
    /// The registry linked it from another repository.
    Mounted,
    /// It was sent.
    Uploaded,
    /// It was received.
    Downloaded,
    /// An earlier attempt left it, or its files are at their final place.
    Kept,
}

impl From<Written> for BlobOutcome {
    fn from(written: Written) -> Self {
        match written {
            Written::AlreadyThere => Self::AlreadyThere,
            Written::Mounted => Self::Mounted,
            Written::Uploaded => Self::Uploaded,
        }
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event<'_>) {}
}

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

/// Adds sizes from outside. The sum saturates.
pub fn total(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

/// Reports hashing as [`Phase::Check`].
pub struct HashProgress {
    observer: Arc<dyn Observer>,
    phase: OnceLock<RunningPhase>,
}

impl HashProgress {
    /// Returns progress that begins once the amount of work is known.
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

    fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled()
    }
}

/// Counts the bytes received from a store, and reports them.
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

    /// Reports finished files, and bytes that need not be received again.
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
