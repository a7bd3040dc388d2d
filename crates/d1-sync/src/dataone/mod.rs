//! Packages from DataONE nodes: into a bag on disk, or straight into a store.

mod batch;
mod describe;
mod download;
mod fetch;
mod journal;
mod known;
mod node_object;
mod objects;
mod replicate;
mod report;
mod source;
mod staged;

pub use batch::{BatchOptions, BatchOutcome, Wanted, replicate_all};
pub use fetch::{FetchOptions, fetch};
pub use journal::Journal;
pub use replicate::{ReplicateOptions, replicate};
pub use report::{FetchReport, ReplicateReport, SkippedMember};
pub use source::DataOneSource;
