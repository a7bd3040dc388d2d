//! Checksums by several algorithms in one pass, of one stream or of many at once.
#![doc = include_str!("../README.md")]

mod algorithm;
mod digests;
mod feed;
mod hasher;
mod lanes;
mod streams;

pub use algorithm::{Algorithm, AlgorithmSet, UnknownAlgorithm};
pub use digests::{Digests, DigestsView};
pub use feed::Feed;
pub use hasher::MultiHasher;
pub use lanes::{Lanes, UnknownVectors, Vectors, limit_vectors};
pub use streams::{HashingReader, HashingWriter, Update};
