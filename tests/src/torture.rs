//! A fault run: runs commands of the built binary while registries fail, links are lost, disks are full, clocks jump,
//! and processes are killed.
//!
//! A round depends only on the seed and its number, so it can be repeated. After each round all earlier content exists, no
//! wrong file has a final name, files outside are untouched, and the same command completes.

mod chance;
mod check;
mod disk;
mod files;
mod loss;
mod patience;
mod planted;
mod report;
mod round;
mod task;
mod trouble;
mod world;

use std::ops::Range;

pub use report::Report;

use self::round::Round;
use self::world::Beginnings;

/// Runs rounds and reports each. The first failed check ends the run.
///
/// # Errors
///
/// A message that names the failed check and the scene.
///
/// # Panics
///
/// If the initial state of a round cannot be made.
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
