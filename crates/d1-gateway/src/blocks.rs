//! Blobs of remote stores on the local disk: bounded, in blocks, and each block is read once however many clients ask.
//!
//! The blocks lie in one file without a name, which vanishes with the process. Reads go to the store in runs of many blocks.
//! When a reader comes near the end of a run, the next run starts. A run goes on if its reader leaves.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use d1_transfer::parts::{read_range, run_blocking};
use futures::{StreamExt, stream};
use oci_model::Digest;
use registry_backend::{ByteStream, Error, ErrorKind, RegistryBackend, Result};
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;

/// The most bytes that are read and sent at once. Slow clients hold a few chunks each.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// The size of a block. A reader waits for the whole block that it needs.
const BLOCK_BYTES: u64 = 256 << 10;
/// The most blocks of one request to the store: 8 MiB.
const BLOCKS_IN_RUN: u64 = 32;
/// How far before the end of the known blocks the next run starts.
const BLOCKS_AHEAD: u64 = 8;
/// The most runs at a time. Each holds a block in memory.
const RUNS_AT_ONCE: usize = 32;
/// The fewest blocks of a cache: several for each run.
const FEWEST_BLOCKS: u64 = 4 * RUNS_AT_ONCE as u64;

/// SHA-256 of a blob, and the number of a block in it.
type Key = ([u8; 32], u64);

/// A cache of blocks on the disk, least recently used out first.
#[derive(Debug)]
pub(crate) struct Blocks {
    file: Arc<File>,
    capacity: u64,
    state: Mutex<State>,
    places: Semaphore,
    metrics: Arc<Metrics>,
    /// Set when the disk refused to keep a block. From then on, content comes straight from the store.
    is_broken: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    kept: HashMap<Key, Kept>,
    /// The keys by the time of their last use.
    by_use: BTreeMap<u64, Key>,
    clock: u64,
    /// Places in the file that were used before.
    free: Vec<u64>,
    /// The first place that was never used.
    unused: u64,
    running: HashMap<Key, Arc<Run>>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    place: u64,
    used: u64,
    /// Tells this content of the place from earlier and later ones.
    stamp: u64,
}

/// A request to the store for some blocks.
#[derive(Debug)]
struct Run {
    /// Sent after each block and at the end.
    progress: watch::Sender<()>,
    failure: OnceLock<Arc<Error>>,
}

/// A blob of a store.
#[derive(Clone)]
struct Blob {
    backend: Arc<dyn RegistryBackend>,
    digest: Digest,
    sha256: [u8; 32],
    size: u64,
    /// The end of what will be read.
    until: u64,
}

/// The state of a block that a reader needs.
enum Found {
    Kept(Kept),
    Coming(Arc<Run>, watch::Receiver<()>),
}

impl Blocks {
    /// Makes a cache of about `capacity` bytes in a directory.
    pub(crate) fn new(directory: &Path, capacity: u64, metrics: Arc<Metrics>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            file: Arc::new(tempfile::tempfile_in(directory)?),
            capacity: (capacity / BLOCK_BYTES).max(FEWEST_BLOCKS),
            state: Mutex::default(),
            places: Semaphore::new(RUNS_AT_ONCE),
            metrics,
            is_broken: AtomicBool::new(false),
        }))
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Reads a range of a blob. `until` is the end of what the caller will read of it, so that the store is asked in time.
    /// The first bytes are there when this returns.
    pub(crate) async fn read(
        self: &Arc<Self>,
        backend: &Arc<dyn RegistryBackend>,
        (digest, sha256, size): (&Digest, [u8; 32], u64),
        range: Range<u64>,
        until: u64,
    ) -> Result<ByteStream> {
        let until = until.clamp(range.end, size.max(range.end));
        let blob = Blob { backend: Arc::clone(backend), digest: digest.clone(), sha256, size, until };
        if range.end > size {
            return Err(
                Error::new(ErrorKind::Invalid, "read blob", digest).because("the blob ends too early")
            );
        }
        let first = self.part(&blob, &range).await?;
        let rest = range.start + first.len() as u64..range.end;
        let blocks = Arc::clone(self);
        let rest = stream::try_unfold((blocks, blob, rest), |(blocks, blob, left)| async move {
            if left.is_empty() {
                return Ok(None);
            }
            let part = blocks.part(&blob, &left).await?;
            let left = left.start + part.len() as u64..left.end;
            Ok(Some((part, (blocks, blob, left))))
        });
        Ok(stream::iter([Ok(first)]).chain(rest).boxed())
    }

    /// Forgets a blob: the bytes were wrong.
    pub(crate) fn forget(&self, sha256: &[u8; 32]) {
        let mut state = self.state();
        let wrong: Vec<Key> = state.kept.keys().filter(|(blob, _)| blob == sha256).copied().collect();
        for key in wrong {
            state.remove(&key);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first bytes of a range.
    async fn part(self: &Arc<Self>, blob: &Blob, range: &Range<u64>) -> Result<Bytes> {
        let block = range.start / BLOCK_BYTES;
        let key = (blob.sha256, block);
        let within = range.start % BLOCK_BYTES;
        let count = (BLOCK_BYTES - within).min(range.end - range.start).min(CHUNK_BYTES as u64);
        loop {
            match self.find(blob, block) {
                Found::Kept(kept) => {
                    let (file, from) = (Arc::clone(&self.file), kept.place * BLOCK_BYTES + within);
                    let read = run_blocking(move || {
                        let mut bytes = vec![0; usize::try_from(count).unwrap_or(CHUNK_BYTES)];
                        file.read_exact_at(&mut bytes, from).map(|()| bytes)
                    });
                    let read = read.await.map_err(|error| Error::io("read", "the disk cache", error))?;
                    // Otherwise another block took the place in between.
                    if self.state().kept.get(&key).is_some_and(|now| now.stamp == kept.stamp) {
                        return Ok(read.into());
                    }
                }
                Found::Coming(run, mut progress) => {
                    let _ = progress.changed().await;
                    let is_kept = self.state().kept.contains_key(&key);
                    if let (false, Some(failure)) = (is_kept, run.failure.get()) {
                        return Err(shared(failure));
                    }
                }
            }
        }
    }

    /// Finds a block, or asks the store for it and those behind it.
    fn find(self: &Arc<Self>, blob: &Blob, block: u64) -> Found {
        let mut state = self.state();
        let wanted = blob.until.div_ceil(BLOCK_BYTES);
        let is_missing = |state: &State, block: u64| {
            let key = (blob.sha256, block);
            !state.kept.contains_key(&key) && !state.running.contains_key(&key)
        };
        let found = state.touch(&(blob.sha256, block));
        let from = if found.is_some() { block + 1 } else { block };
        let next = (from..wanted.min(block + BLOCKS_AHEAD)).find(|block| is_missing(&state, *block));
        if let Some(next) = next {
            let run = (next..wanted.min(next + BLOCKS_IN_RUN)).take_while(|block| is_missing(&state, *block));
            let end = next + run.count() as u64;
            self.start(&mut state, blob, next..end);
        }
        match (found, state.running.get(&(blob.sha256, block))) {
            (Some(kept), _) => Found::Kept(kept),
            (None, Some(run)) => Found::Coming(Arc::clone(run), run.progress.subscribe()),
            // `read` stays within the blob, so this block is not behind its end.
            (None, None) => {
                let run = Arc::new(Run::new());
                let _ = run.failure.set(Arc::new(Error::new(ErrorKind::Invalid, "read blob", &blob.digest)));
                let progress = run.progress.subscribe();
                run.progress.send_replace(());
                Found::Coming(run, progress)
            }
        }
    }

    /// Starts a request for blocks.
    fn start(self: &Arc<Self>, state: &mut State, blob: &Blob, numbers: Range<u64>) {
        let run = Arc::new(Run::new());
        for number in numbers.clone() {
            state.running.insert((blob.sha256, number), Arc::clone(&run));
        }
        let running =
            Running { blocks: Arc::clone(self), run, sha256: blob.sha256, numbers: numbers.clone() };
        let blob = blob.clone();
        tokio::spawn(async move {
            if let Err(error) = running.blocks.fetch(&blob, numbers, &running.run).await {
                let _ = running.run.failure.set(Arc::new(error));
            }
        });
    }

    async fn fetch(&self, blob: &Blob, numbers: Range<u64>, run: &Run) -> Result<()> {
        let _place = self.places.acquire().await;
        let range = numbers.start * BLOCK_BYTES..(numbers.end * BLOCK_BYTES).min(blob.size);
        let mut stream = read_range(&*blob.backend, &blob.digest, blob.size, range).await?;
        let (mut number, mut block) = (numbers.start, Vec::new());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            self.metrics.store_bytes.add(chunk.len() as u64);
            let mut rest = &*chunk;
            while !rest.is_empty() {
                let length = BLOCK_BYTES.min(blob.size.saturating_sub(number * BLOCK_BYTES));
                let room = usize::try_from(length).unwrap_or(0).saturating_sub(block.len());
                let (now, later) = rest.split_at(room.min(rest.len()));
                block.extend_from_slice(now);
                rest = later;
                if now.len() == room {
                    self.keep((blob.sha256, number), std::mem::take(&mut block)).await?;
                    number += 1;
                    run.progress.send_replace(());
                }
                if number == numbers.end {
                    return Ok(());
                }
            }
        }
        let early = Error::new(ErrorKind::Unavailable, "read blob", &blob.digest);
        Err(early.because("the store ended the answer too early").with_retry(registry_backend::Retry::Yes))
    }

    /// Writes a block to the disk.
    async fn keep(&self, key: Key, block: Vec<u8>) -> Result<()> {
        let place = self.state().place(self.capacity);
        let place = place.ok_or_else(|| Error::new(ErrorKind::Io, "write", "the disk cache"))?;
        let file = Arc::clone(&self.file);
        let written = run_blocking(move || file.write_all_at(&block, place * BLOCK_BYTES)).await;
        let mut state = self.state();
        state.running.remove(&key);
        if let Err(error) = written {
            state.free.push(place);
            self.is_broken.store(true, Ordering::Relaxed);
            return Err(Error::io("write", "the disk cache", error));
        }
        state.insert(key, place);
        Ok(())
    }
}

/// Removes the blocks of a run that did not come, however the run ends.
struct Running {
    blocks: Arc<Blocks>,
    run: Arc<Run>,
    sha256: [u8; 32],
    numbers: Range<u64>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.blocks.state();
        for number in self.numbers.clone() {
            let key = (self.sha256, number);
            if state.running.get(&key).is_some_and(|run| Arc::ptr_eq(run, &self.run)) {
                state.running.remove(&key);
            }
        }
        drop(state);
        self.run.progress.send_replace(());
    }
}

impl Run {
    fn new() -> Self {
        Self { progress: watch::Sender::new(()), failure: OnceLock::new() }
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn touch(&mut self, key: &Key) -> Option<Kept> {
        let now = self.tick();
        let kept = self.kept.get_mut(key)?;
        self.by_use.remove(&kept.used);
        kept.used = now;
        self.by_use.insert(now, *key);
        Some(*kept)
    }

    fn insert(&mut self, key: Key, place: u64) {
        // Two runs may bring one block, if the first one was given up.
        self.remove(&key);
        let now = self.tick();
        self.by_use.insert(now, key);
        self.kept.insert(key, Kept { place, used: now, stamp: now });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.by_use.remove(&kept.used);
            self.free.push(kept.place);
        }
    }

    /// Returns a place for a block. `None` if other runs write to all places.
    fn place(&mut self, capacity: u64) -> Option<u64> {
        if self.free.is_empty() && self.unused < capacity {
            self.unused += 1;
            return Some(self.unused - 1);
        }
        if self.free.is_empty() {
            let (_, oldest) = self.by_use.first_key_value()?;
            self.remove(&oldest.clone());
        }
        self.free.pop()
    }
}

/// Returns an error that several readers get.
fn shared(error: &Arc<Error>) -> Error {
    Error::new(error.kind(), error.operation(), error.target())
        .with_retry(error.retry())
        .caused_by(Arc::clone(error))
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use registry_backend::{BytesSource, MemoryBackend, WriteHint};
    use registry_conformance::{CountingBackend, Fault, FaultAction, FaultyBackend, Operation};

    use super::*;

    struct Rig {
        blocks: Arc<Blocks>,
        counted: Arc<CountingBackend>,
        content: Vec<u8>,
        digest: Digest,
        _folder: tempfile::TempDir,
    }

    impl Rig {
        /// A blob of this length, and a cache of this number of blocks.
        async fn new(length: usize, capacity: u64, fault: Option<Fault>) -> Self {
            let content: Vec<u8> = (0..length).map(|place| u8::try_from(place * 31 % 251).unwrap()).collect();
            let memory = MemoryBackend::new();
            memory.write_blob(&BytesSource::new(content.clone()), &WriteHint::default()).await.unwrap();
            let faulty = fault.into_iter().fold(FaultyBackend::new(Arc::new(memory)), FaultyBackend::with);
            let folder = tempfile::tempdir().unwrap();
            let mut blocks = Blocks::new(folder.path(), 0, Arc::default()).unwrap();
            Arc::get_mut(&mut blocks).unwrap().capacity = capacity;
            let digest = Digest::sha256_of(&content);
            Self {
                blocks,
                counted: Arc::new(CountingBackend::new(Arc::new(faulty))),
                content,
                digest,
                _folder: folder,
            }
        }

        async fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
            let backend: Arc<dyn RegistryBackend> = Arc::clone(&self.counted) as _;
            let size = self.content.len() as u64;
            let blob = (&self.digest, self.digest.sha256_bytes().unwrap(), size);
            let stream = self.blocks.read(&backend, blob, range, size).await?;
            let chunks: Vec<Bytes> = stream.try_collect().await?;
            Ok(chunks.concat())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_readers_share_one_request() {
        let rig = Rig::new(3_000_001, 100, None).await;
        let readers = (0..30_u64).map(|number| rig.read(number * 40_000..3_000_001));
        for (number, read) in futures::future::join_all(readers).await.into_iter().enumerate() {
            assert!(read.unwrap() == rig.content[number * 40_000..], "{number}");
        }
        assert_eq!(rig.counted.count(Operation::ReadBlob), 1);
        assert_eq!(rig.counted.bytes_read()[&rig.digest], 3_000_001);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_blob_larger_than_the_cache_arrives_whole() {
        let rig = Rig::new(9_000_000, 16, None).await;
        let readers = (0..4_u64).map(|number| rig.read(number * 2_000_003..9_000_000));
        for (number, read) in futures::future::join_all(readers).await.into_iter().enumerate() {
            assert!(read.unwrap() == rig.content[number * 2_000_003..], "{number}");
        }
        let state = rig.blocks.state();
        assert!(state.kept.len() <= 16 && state.unused <= 16, "{} {}", state.kept.len(), state.unused);
        assert_eq!(state.kept.len(), state.by_use.len());
    }

    #[tokio::test]
    async fn all_readers_hear_of_a_failure_and_the_next_one_asks_again() {
        let fault = Fault::nth(Operation::ReadBlob, 1, FaultAction::Fail(ErrorKind::Unavailable));
        let rig = Rig::new(1_000_000, 100, Some(fault)).await;
        for read in futures::future::join_all((0..10).map(|_| rig.read(0..1_000_000))).await {
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable);
        }
        assert!(rig.blocks.state().running.is_empty());
        assert!(rig.read(0..1_000_000).await.unwrap() == rig.content);
        assert_eq!(rig.counted.count(Operation::ReadBlob), 2);
    }

    #[tokio::test]
    async fn a_forgotten_blob_is_read_again() {
        let fault = Fault::nth(Operation::ReadBlob, 1, FaultAction::FlipByte(300));
        let rig = Rig::new(600_000, 100, Some(fault)).await;
        assert!(rig.read(0..600_000).await.unwrap() != rig.content);
        rig.blocks.forget(&rig.digest.sha256_bytes().unwrap());
        assert!(rig.read(0..600_000).await.unwrap() == rig.content);
        let state = rig.blocks.state();
        assert_eq!((state.kept.len(), state.unused), (3, 3));
    }
}
