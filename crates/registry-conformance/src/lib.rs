//! The conformance suite that every registry backend passes, test doubles for its callers, and a scriptable registry.
#![doc = include_str!("../README.md")]

pub mod conformance;
mod content;
mod counting;
mod cutting_proxy;
mod fault;
mod faulty;
mod operation;
pub mod scripted;
mod source;
mod spoil;

pub use content::{PseudoRandomSource, pseudo_random};
pub use counting::{Call, CountingBackend};
pub use cutting_proxy::{CutAfter, CuttingProxy};
pub use fault::{Fault, FaultAction};
pub use faulty::FaultyBackend;
pub use operation::Operation;
pub use source::TestSource;
