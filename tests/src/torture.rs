//! A fault run: commands of the built binary while registries fail, links are lost, disks are full, clocks jump
//! and processes are killed.
//!
//! Each round begins anew and depends on the seed and its number alone, so that one round can be run again. After each,
//! all that was there is there, nothing wrong has a final name, and the same command, run again, completes.

mod chance;
mod check;
mod disk;
mod files;
mod loss;
mod patience;
mod report;
mod round;
mod task;
mod trouble;
mod world;

use std::ops::Range;

pub use report::Report;

use self::round::Round;
use self::world::Beginnings;

/// Runs rounds and tells of each; the first one in which something does not hold ends the run.
///
/// # Errors
///
/// In words: what does not hold, and what was done.
///
/// # Panics
///
/// If what a round begins with cannot be made.
pub fn run(seed: u64, rounds: Range<u64>, mut tell: impl FnMut(&Report)) -> Result<(), String> {
    let beginnings = Beginnings::new();
    for number in rounds {
        let mut report = Report::default();
        let round = Round::new(&beginnings, seed, number);
        let held = round.run(&mut report);
        tell(&report);
        held.map_err(|message| {
            format!("seed {seed}, round {number}: {message}\n{report}\nagain: --seed {seed} --first {number} --rounds 1")
        })?;
    }
    Ok(())
}
