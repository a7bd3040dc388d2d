//! Filling lanes with streams of different lengths.

use std::array::from_fn;

use super::kernels::{States, Streams};

/// The state of one stream and the blocks that it still has to take.
pub(crate) struct Work<'a, W, const WORDS: usize, const BLOCK: usize> {
    pub(crate) state: &'a mut [W; WORDS],
    pub(crate) blocks: &'a [[u8; BLOCK]],
}

/// Compresses blocks in N lanes as long as at least `least` streams have blocks. Long streams go first, so that few are left
/// alone at the end. `work` then holds the streams that have blocks left.
pub(super) fn run<W: Copy + Default, const WORDS: usize, const BLOCK: usize, const N: usize>(
    work: &mut Vec<Work<'_, W, WORDS, BLOCK>>,
    least: usize,
    kernel: impl Fn(&mut States<W, WORDS, N>, &Streams<'_, BLOCK, N>, usize),
) {
    work.retain(|work| !work.blocks.is_empty());
    if work.len() < least {
        return;
    }
    work.sort_by_key(|work| work.blocks.len());
    let mut states = [[W::default(); N]; WORDS];
    let mut lanes = [const { None }; N];
    loop {
        for (lane, slot) in lanes.iter_mut().enumerate().filter(|(_, slot)| slot.is_none()) {
            *slot = work.pop();
            if let Some(work) = slot {
                states.iter_mut().zip(&*work.state).for_each(|(vector, word)| vector[lane] = *word);
            }
        }
        let busy = lanes.iter().flatten();
        // Lanes without a stream take the blocks of the shortest one. Nobody reads their states.
        let Some(shortest) = busy.clone().map(|work| work.blocks).min_by_key(|blocks| blocks.len()) else {
            break;
        };
        if busy.count() < least {
            break;
        }
        let streams = from_fn(|lane| lanes[lane].as_ref().map_or(shortest, |work| work.blocks));
        kernel(&mut states, &streams, shortest.len());
        for (lane, slot) in lanes.iter_mut().enumerate() {
            if let Some(work) = slot {
                work.blocks = work.blocks.get(shortest.len()..).unwrap_or_default();
                if work.blocks.is_empty() {
                    store(work, &states, lane);
                    *slot = None;
                }
            }
        }
    }
    for (lane, slot) in lanes.into_iter().enumerate() {
        work.extend(slot.map(|mut left| {
            store(&mut left, &states, lane);
            left
        }));
    }
}

fn store<W: Copy, const WORDS: usize, const BLOCK: usize, const N: usize>(
    work: &mut Work<'_, W, WORDS, BLOCK>,
    states: &States<W, WORDS, N>,
    lane: usize,
) {
    work.state.iter_mut().zip(states).for_each(|(word, vector)| *word = vector[lane]);
}

/// Compresses the blocks of one stream after the other.
pub(crate) fn compress_rest<W, const WORDS: usize, const BLOCK: usize>(
    work: Vec<Work<'_, W, WORDS, BLOCK>>,
    compress: impl Fn(&mut [W; WORDS], &[[u8; BLOCK]]),
) {
    work.into_iter().for_each(|work| compress(work.state, work.blocks));
}
