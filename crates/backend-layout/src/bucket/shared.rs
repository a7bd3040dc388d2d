//! The object store with the place of the layout, its clock, and its errors.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use oci_model::Digest;
use tokio::time::Instant;

use super::seen::SeenBlobs;
use super::uploads::{OpenUploads, PartGate, UploadListing};

/// The age from which an unreferenced blob may disappear before a push that relies on it ends.
///
/// By default pruning keeps content younger than an hour. A push stores a blob again that is older than half of that and that the
/// index does not reach, and refuses to publish a manifest that needs such a blob.
pub(super) const AGEING: Duration = Duration::from_secs(1800);

/// The most parts that are sent at once. Each is in memory.
const MOST_PARTS_AT_ONCE: usize = 8;

/// The directory of objects that are not part of the layout.
pub(super) const INGEST: &str = "ingest";

/// The place of a layout in an object store, and how to use the store.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) parts: PartStore,
    /// Lists uploads in parts, where the store can.
    pub(crate) listing: Option<Arc<dyn UploadListing>>,
    /// A sentence for people about uploads in parts, if the store does not list them.
    pub(crate) unlisted_uploads: Option<&'static str>,
    pub(crate) prefix: Path,
    /// The name of the place for people.
    pub(crate) name: String,
    pub(crate) clock: Arc<StoreClock>,
    pub(crate) uploads: OpenUploads,
    pub(crate) tuning: Tuning,
    pub(crate) warnings: Warnings,
    /// The server and the bucket. Without them, the result of the probe is not remembered.
    pub(crate) bucket: Option<BucketName>,
}

/// A bucket of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketName {
    /// Identifies the server: two servers may have buckets of one name.
    pub(crate) server: Digest,
    pub(crate) name: String,
}

/// Another place on the same server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherPlace {
    /// The bucket, if it is another one.
    pub(super) bucket: Option<String>,
    pub(super) prefix: Path,
}

impl BucketName {
    /// Returns a digest for both.
    pub(super) fn digest(&self) -> Digest {
        Digest::sha256_of(format!("{} {}", self.server, self.name).as_bytes())
    }
}

impl Place {
    /// Returns the server, the bucket and the prefix in one text, if they are known.
    pub(crate) fn blob_place(&self) -> Option<String> {
        self.bucket.as_ref().map(|bucket| format!("{}/{}/{}", bucket.server, bucket.name, self.prefix))
    }

    /// Returns another place on the same server, as [`blob_place`](Self::blob_place) states it.
    pub(super) fn on_same_server(&self, place: &str) -> Option<OtherPlace> {
        let own = self.bucket.as_ref()?;
        let rest = place.strip_prefix(own.server.as_str())?.strip_prefix('/')?;
        let (bucket, prefix) = rest.split_once('/')?;
        let is_own = bucket == own.name;
        Some(OtherPlace { bucket: (!is_own).then(|| bucket.to_owned()), prefix: Path::parse(prefix).ok()? })
    }
}

/// Takes note of faults that do not end an operation.
#[derive(Clone)]
pub struct Warnings(Arc<dyn Fn(&str) + Send + Sync>);

impl Warnings {
    /// Makes an observer of a function.
    pub fn new(note: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(note))
    }

    pub(super) fn note(&self, warning: &str) {
        tracing::warn!("{warning}");
        (self.0)(warning);
    }
}

impl Default for Warnings {
    /// Returns an observer that ignores warnings.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Warnings")
    }
}

/// The interface for uploads in parts.
#[derive(Clone)]
pub(crate) struct PartStore(pub(crate) Arc<dyn MultipartStore>);

impl fmt::Debug for PartStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PartStore")
    }
}

/// How much to ask of a store at once, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// The most requests in flight.
    pub(crate) parallel: usize,
    /// The size in bytes of a part, and of the largest blob that is sent in one request.
    pub(crate) part_bytes: u64,
    /// The most attempts at the rest of a blob without progress.
    pub(crate) attempts: u32,
    /// The longest time without progress.
    pub(crate) patience: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        const PART_BYTES: u64 = 8 * 1024 * 1024;
        Self { parallel: 16, part_bytes: PART_BYTES, attempts: 100, patience: Duration::from_secs(300) }
    }
}

/// An object store with the place of the layout.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) place: Place,
    pub(super) prefix: Path,
    /// The name of the place for people.
    pub(super) name: String,
    pub(super) gate: PartGate,
    /// The blobs that this value has stored or seen lately.
    pub(super) seen: SeenBlobs,
}

impl Shared {
    pub(super) fn new(place: Place) -> Self {
        let gate = PartGate::new(place.tuning.parallel.min(MOST_PARTS_AT_ONCE));
        Self {
            store: Arc::clone(&place.store),
            prefix: place.prefix.clone(),
            name: place.name.clone(),
            place,
            gate,
            seen: SeenBlobs::default(),
        }
    }

    /// Returns the time by the store's clock.
    pub(super) fn now(&self) -> SystemTime {
        self.place.clock.now()
    }

    pub(super) fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    pub(super) fn blob(&self, digest: &Digest) -> Path {
        blob_below(&self.prefix, digest)
    }

    /// Returns a path in `ingest/` that no other process uses.
    pub(super) fn unique_path(&self, stem: &str) -> Path {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.path(INGEST).join(format!("{stem}-{:x}-{}", now.as_nanos(), std::process::id()))
    }
}

/// Returns the path of a blob in the layout below a prefix.
pub(super) fn blob_below(prefix: &Path, digest: &Digest) -> Path {
    prefix.clone().join("blobs").join(digest.algorithm_name()).join(digest.encoded())
}

/// The store's clock, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct StoreClock(Mutex<Option<Clock>>);

impl StoreClock {
    /// Takes note that the store's clock showed this time at this instant.
    ///
    /// Headers state whole seconds, lists of objects have fractions. A whole second counts up to its end, so that the clock is never
    /// behind the dates in a list.
    pub(crate) fn set(&self, time: SystemTime, read_at: Instant) {
        let fraction = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let time = if fraction == 0 { time + Duration::from_secs(1) } else { time };
        *self.lock() = Some(Clock::new(time, read_at));
    }

    pub(super) fn is_known(&self) -> bool {
        self.lock().is_some()
    }

    /// Returns the store's time, or this machine's while the store's is not known.
    pub(super) fn now(&self) -> SystemTime {
        let clock = *self.lock();
        clock.map_or_else(SystemTime::now, Clock::now)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Clock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store's clock, which dates its objects.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// The time of the store at `read_at`.
    time: SystemTime,
    read_at: Instant,
}

impl Clock {
    /// Returns a clock that showed this time at this instant.
    fn new(time: SystemTime, read_at: Instant) -> Self {
        Self { time, read_at }
    }

    /// Returns the time by the store's clock.
    fn now(self) -> SystemTime {
        self.time.checked_add(self.read_at.elapsed()).unwrap_or(self.time)
    }
}
