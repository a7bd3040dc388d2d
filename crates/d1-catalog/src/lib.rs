//! Finds DataONE packages, objects and versions in OCI repositories.
#![doc = include_str!("../README.md")]

mod artifact;
mod error;
mod find;
mod history;
mod locate;

pub use artifact::{ArtifactKind, ArtifactSummary};
pub use error::{Error, Result};
pub use find::{Found, Query, find, parse_time};
pub use history::{History, StoredVersion, Version, history};
pub use locate::{Located, Purpose, check_identifier, locate};

// Crates whose types are in this crate's signatures.
pub use {d1_model, d1_transfer, futures, jiff, oci_model, registry_backend};
