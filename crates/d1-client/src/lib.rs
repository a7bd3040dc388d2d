//! A client of DataONE nodes that finishes its reads.
#![doc = include_str!("../README.md")]

mod budget;
mod calls;
mod client;
mod connections;
mod context;
mod document;
mod error;
mod exchange;
mod http;
mod options;
mod progress;
mod refusal;
mod retry;
mod transport;

pub use calls::describe::Description;
pub use calls::get::{GetOptions, ObjectRead};
pub use calls::list::ObjectFilter;
pub use calls::packages::PackageSearch;
pub use calls::resolve::{Location, Locations};
pub use client::{ApiVersion, NodeClient, PRODUCTION_COORDINATING_NODE};
pub use document::Document;
pub use error::{Error, ErrorKind, Result, Retry};
pub use http_transfer::{Proxies, RetryRules, Secret};
pub use options::{BudgetRules, ClientOptions, Limits, TimeLimits};
pub use progress::{Progress, ProgressSink};
