//! The suite: one fact per check, each its own test, selected by what the store can do.

mod admin;
mod blob_faults;
mod blobs;
mod concurrency;
mod failure;
mod limits;
mod manifest_faults;
mod manifests;
mod prune;
mod ranges;
mod referrers;
mod repository;
mod run;
mod second;
mod support;
mod table;
mod tags;

pub use failure::Failure;
pub use repository::{EmptyRepository, Need};
pub use run::{Report, Skipped, assert_skipped, run_one, run_suite};
pub use table::{CHECKS, Check, checks_that_need};
