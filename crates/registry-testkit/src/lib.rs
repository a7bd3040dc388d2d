//! The conformance suite that every registry backend passes, with test doubles for its callers.
#![doc = include_str!("../README.md")]

pub mod conformance;
mod content;
mod source;

pub use content::{PseudoRandomSource, pseudo_random};
pub use source::TestSource;
