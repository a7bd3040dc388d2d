//! Tests of the whole crate: plan, index, recognition and reading, on packages in memory.

mod artifacts;
mod forms;
mod index_lies;
mod index_reading;
mod oras;
mod plan;
mod reading;
mod recognition;
mod reuse;
mod support;
mod vectors;
