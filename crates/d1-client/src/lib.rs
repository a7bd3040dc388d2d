//! Reads from DataONE nodes, and finishes its reads.
#![doc = include_str!("../README.md")]

mod client;
mod describe;
mod documents;
mod error;
mod exchange;
mod get;
mod list;
mod options;
mod packages;
mod refusal;
mod resolve;

pub use client::{Location, NodeClient, PRODUCTION_COORDINATING_NODE};
pub use describe::Description;
pub use error::{Error, ErrorKind, Result, Retry};
pub use exchange::Document;
pub use get::{GetOptions, ObjectRead};
pub use http_transfer::{BudgetRules, Proxies, RetryRules, Secret};
pub use list::ObjectFilter;
pub use options::{ApiVersion, ClientOptions, Limits, Progress, ProgressSink, TimeLimits};
pub use packages::PackageSearch;
pub use resolve::Locations;

// Crates whose types are in this crate's signatures.
pub use {bytes, d1_model, futures};
