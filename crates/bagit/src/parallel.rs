//! The same work on many files by several threads, the largest files first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many files are worked on before what came of it is put into an inventory: it takes far less memory there.
pub const FILES_AT_ONCE: usize = 1 << 15;

/// The bytes that each thread reads at a time.
pub(crate) const BUFFER_SIZE: usize = 256 * 1024;

/// Gives the number of threads to use where `wanted` is 0: one per core.
pub(crate) fn thread_count(wanted: usize) -> usize {
    if wanted > 0 { wanted } else { thread::available_parallelism().map_or(1, std::num::NonZero::get) }
}

/// Does `work` on every job with a buffer of the thread's own, and gives the results in the order of the jobs.
///
/// Each thread takes the largest job that is left, so that no large one starts last.
pub(crate) fn map_largest_first<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    size: impl Fn(&J) -> u64,
    work: impl Fn(&J, &mut [u8]) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    // Files without content keep their order among themselves, which reads directories in sequence.
    order.sort_by_key(|index| std::cmp::Reverse(jobs.get(*index).map_or(0, &size) / BUFFER_SIZE as u64));
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut buffer = vec![0; BUFFER_SIZE];
        let mut results = Vec::new();
        while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(job) = jobs.get(*index) {
                results.push((*index, work(job, &mut buffer)));
            }
        }
        results
    };
    let threads = thread_count(threads).min(jobs.len()).max(1);
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut results = worker();
        for other in others {
            match other.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::map_largest_first;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..1000).map(|n| n * 7919 % 1000 * 1_000_000).collect();
        for threads in [0, 1, 2, 7] {
            let results = map_largest_first(&jobs, threads, |job| *job, |job, buffer| (*job, buffer.len()));
            assert!(results.iter().map(|(job, _)| job).eq(&jobs));
        }
        assert!(map_largest_first(&[] as &[u64], 3, |job| *job, |_, _| ()).is_empty());
    }
}
