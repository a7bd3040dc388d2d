//! Digests of streams that come in different threads.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::algorithm::AlgorithmSet;
use crate::digests::Digests;
use crate::hasher::MultiHasher;
use crate::lanes::{Feed, Lanes};

/// How many bytes of a stream are collected before they are hashed.
const PIECE_BYTES: usize = 512 * 1024;

/// Hashes the streams of several threads in the same vectors.
///
/// A thread with bytes to hash lends them. If a processor is free, the thread hashes what all threads have lent by then; otherwise
/// it waits until another one has hashed its bytes. So many streams share lanes. At most as many threads hash as there are
/// processors, except that a stream alone divides its algorithms between two threads. Each stream collects half a megabyte.
///
/// ```
/// use multi_digest::{Algorithm, Digests, SharedLanes};
///
/// let lanes = SharedLanes::default();
/// let texts = ["one file", "another file"];
/// let digests = std::thread::scope(|scope| {
///     let threads = texts.map(|text| {
///         scope.spawn(|| {
///             let mut hasher = lanes.hasher(Algorithm::Md5.into());
///             hasher.update(text.as_bytes());
///             hasher.finish()
///         })
///     });
///     threads.map(|thread| thread.join().unwrap())
/// });
/// assert_eq!(digests[1], Digests::of(Algorithm::Md5.into(), b"another file"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SharedLanes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Pieces that no thread hashes yet, in the order in which they came.
    waiting: Vec<(u64, Piece)>,
    /// Pieces that are hashed, by their number. Each has a thread that waits for it.
    done: HashMap<u64, Piece>,
    next: u64,
    /// How many threads hash.
    at_work: usize,
}

/// The next bytes of a stream, and its hasher.
#[derive(Debug)]
struct Piece {
    hasher: MultiHasher,
    bytes: Vec<u8>,
}

/// Computes the digests of one stream, in lanes that it shares with those of other threads.
#[derive(Debug)]
pub struct SharedHasher {
    lanes: SharedLanes,
    /// Always there, except while other threads have it.
    piece: Option<Piece>,
}

impl SharedLanes {
    /// Begins a stream.
    #[must_use]
    pub fn hasher(&self, algorithms: AlgorithmSet) -> SharedHasher {
        let piece = Piece { hasher: MultiHasher::new(algorithms), bytes: Vec::new() };
        SharedHasher { lanes: self.clone(), piece: Some(piece) }
    }

    /// Hashes a piece, alone or with those of other threads.
    fn hash(&self, piece: Piece) -> Piece {
        let most = thread::available_parallelism().map_or(1, NonZero::get);
        let Shared { state, changed } = &*self.0;
        let mut state = lock(state);
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.waiting.push((number, piece));
        loop {
            if let Some(piece) = state.done.remove(&number) {
                return piece;
            }
            if state.waiting.is_empty() || state.at_work >= most {
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let count = state.waiting.len().min(Lanes::MOST);
            let mut batch: Vec<(u64, Piece)> = state.waiting.drain(..count).collect();
            let is_alone = state.at_work == 0;
            state.at_work += 1;
            drop(state);
            match &mut batch[..] {
                [(_, piece)] if is_alone => piece.hasher.update_while(&piece.bytes, || ()),
                several => {
                    let feeds = several.iter_mut().map(|(_, Piece { hasher, bytes })| Feed { hasher, bytes });
                    Lanes::new().update(feeds.collect());
                }
            }
            state = lock(&self.0.state);
            state.at_work -= 1;
            state.done.extend(batch);
            changed.notify_all();
        }
    }
}

/// Every change of the state is complete when the lock is released, so a panic elsewhere does not matter.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedHasher {
    /// Feeds the next bytes of the stream to every algorithm.
    pub fn update(&mut self, bytes: &[u8]) {
        let has_algorithms = self.piece.as_ref().is_some_and(|piece| !piece.hasher.algorithms().is_empty());
        let mut rest = if has_algorithms { bytes } else { &[] };
        while let (Some(piece), false) = (&mut self.piece, rest.is_empty()) {
            let room = PIECE_BYTES - piece.bytes.len().min(PIECE_BYTES);
            let (now, later) = rest.split_at(room.min(rest.len()));
            piece.bytes.extend_from_slice(now);
            rest = later;
            if piece.bytes.len() >= PIECE_BYTES {
                self.flush();
            }
        }
    }

    /// Ends the stream and returns its digests.
    #[must_use]
    pub fn finish(mut self) -> Digests {
        self.flush();
        self.piece.map(|piece| piece.hasher.finish()).unwrap_or_default()
    }

    fn flush(&mut self) {
        if let Some(piece) = self.piece.take() {
            let mut piece = if piece.bytes.is_empty() { piece } else { self.lanes.hash(piece) };
            piece.bytes.clear();
            self.piece = Some(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::SharedLanes;
    use crate::algorithm::{Algorithm, AlgorithmSet};
    use crate::digests::Digests;

    #[test]
    fn streams_of_many_threads_have_the_digests_that_each_has_alone() {
        let lanes = SharedLanes::default();
        let content =
            |n: usize| (0..n * 150_001).map(|at| (at * (n + 3)).to_le_bytes()[1]).collect::<Vec<u8>>();
        let set = |n: usize| -> AlgorithmSet { Algorithm::ALL.into_iter().skip(n % 3).step_by(2).collect() };
        thread::scope(|scope| {
            for n in 0..20 {
                let lanes = &lanes;
                scope.spawn(move || {
                    let content = content(n);
                    let mut hasher = lanes.hasher(set(n));
                    content.chunks(10_007 + n * 30_011).for_each(|bytes| hasher.update(bytes));
                    assert_eq!(hasher.finish(), Digests::of(set(n), &content), "{n}");
                });
            }
        });
    }

    #[test]
    fn no_bytes_and_no_algorithms_are_streams_too() {
        let lanes = SharedLanes::default();
        assert_eq!(lanes.hasher(Algorithm::Md5.into()).finish(), Digests::of(Algorithm::Md5.into(), b""));
        let mut nothing = lanes.hasher(AlgorithmSet::EMPTY);
        nothing.update(&[7; 300_000]);
        assert_eq!(nothing.finish(), Digests::new());
    }
}
