//! Checksums of one stream in one pass.
#![doc = include_str!("../README.md")]

mod algorithm;
mod digests;
mod hasher;
mod streams;

pub use algorithm::{Algorithm, AlgorithmSet, UnknownAlgorithm};
pub use digests::{Digests, DigestsView};
pub use hasher::MultiHasher;
pub use streams::{HashingReader, HashingWriter, Update};
