//! Moves packages and objects between DataONE and OCI repositories.
#![doc = include_str!("../README.md")]

mod error;
mod export;
mod hash_store;
mod import;
mod object;
mod passed;

#[cfg(feature = "d1-client")]
mod batch;
#[cfg(feature = "d1-client")]
mod compare;
#[cfg(feature = "d1-client")]
mod compare_repositories;
#[cfg(feature = "d1-client")]
mod describe;
#[cfg(feature = "d1-client")]
mod difference;
#[cfg(feature = "d1-client")]
mod fetch;
#[cfg(feature = "d1-client")]
mod hash_store_source;
#[cfg(feature = "d1-client")]
mod import_packages;
#[cfg(feature = "d1-client")]
mod journal;
#[cfg(feature = "d1-client")]
mod known_objects;
#[cfg(feature = "d1-client")]
mod node;
#[cfg(feature = "d1-client")]
mod package;
#[cfg(feature = "d1-client")]
mod package_finder;
#[cfg(feature = "d1-client")]
mod prepare;
#[cfg(feature = "d1-client")]
mod replicate;
#[cfg(feature = "d1-client")]
mod replicate_node;
#[cfg(feature = "d1-client")]
mod store_objects;
#[cfg(feature = "d1-client")]
mod withdraw;

pub use error::{Error, MemberFault, MemberFaultKind, Result};
pub use export::{ExportForm, ExportOptions, ExportReport, export};
pub use hash_store::ImportFault;
pub use import::{ImportOptions, ImportReport, import_hashstore};
pub use object::{AttachedSystemMetadata, ObjectReport, ObjectToPush, push_object};

#[cfg(feature = "d1-client")]
pub use batch::{BatchOptions, BatchOutcome, Wanted, replicate_all};
#[cfg(feature = "d1-client")]
pub use compare::{CompareReport, Difference, compare};
#[cfg(feature = "d1-client")]
pub use compare_repositories::{PackageDifference, RepositoryComparison, compare_repositories};
#[cfg(feature = "d1-client")]
pub use difference::DifferenceKind;
#[cfg(feature = "d1-client")]
pub use fetch::{FetchOptions, FetchReport, fetch};
#[cfg(feature = "d1-client")]
pub use hash_store_source::HashStoreSource;
#[cfg(feature = "d1-client")]
pub use import_packages::import_packages;
#[cfg(feature = "d1-client")]
pub use journal::Journal;
#[cfg(feature = "d1-client")]
pub use node::DataOneSource;
#[cfg(feature = "d1-client")]
pub use package::SkippedMember;
#[cfg(feature = "d1-client")]
pub use package_finder::find_resource_map;
#[cfg(feature = "d1-client")]
pub use replicate::{ReplicateOptions, ReplicateReport, replicate};
#[cfg(feature = "d1-client")]
pub use replicate_node::{NodeSelection, replicate_node};
#[cfg(feature = "d1-client")]
pub use withdraw::{Tombstone, WithdrawOptions, WithdrawReport, WithdrawnArtifact, withdraw};

// Crates whose types are in this crate's signatures.
pub use {bagit, d1_model, d1_transfer, oci_model, registry_backend};
