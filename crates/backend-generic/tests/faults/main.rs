//! What goes wrong with registries, on a scripted one: each test is one thing that goes wrong, and what is to come of it.

#![expect(clippy::print_stdout, reason = "the case that fails is the last one that was printed")]

mod downloads;
mod hostile;
mod identity;
mod limits;
mod lists;
mod presets;
mod rig;
mod uploads;
