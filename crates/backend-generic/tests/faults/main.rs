//! Faults of registries, on a scripted one. Each test has one fault and the expected outcome.

#![expect(clippy::print_stdout, reason = "the case that fails is the last one that was printed")]

mod downloads;
mod hostile;
mod identity;
mod limits;
mod lists;
mod presets;
mod rig;
mod uploads;
