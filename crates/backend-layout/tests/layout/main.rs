//! Behaviour of layouts beyond the contract, one file per subject.

mod buckets;
mod faults;
mod foreign;
mod odd_store;
mod other_programs;
mod processes;
mod pruning;
mod small_disk;
mod support;
