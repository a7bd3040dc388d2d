//! Moves packages and objects between DataONE and OCI repositories.
#![doc = include_str!("../README.md")]

#[cfg(feature = "d1-client")]
mod dataone;
mod error;
mod export;
mod hashstore;
mod object;

#[cfg(feature = "d1-client")]
pub use dataone::{
    BatchOptions, BatchOutcome, DataOneSource, FetchOptions, FetchReport, Journal, ReplicateOptions,
    ReplicateReport, SkippedMember, Wanted, fetch, replicate, replicate_all,
};
pub use error::{Error, MemberFault, Result};
pub use export::{ExportForm, ExportReport, export};
pub use hashstore::{ImportFault, ImportOptions, ImportReport, import_hashstore};
pub use object::{AttachedSystemMetadata, ObjectReport, ObjectToPush, push_object};
