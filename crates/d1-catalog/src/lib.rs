//! Finds DataONE packages, objects and versions in OCI repositories.
#![doc = include_str!("../README.md")]

mod error;
mod find;
mod history;

pub use error::{Error, Result};
pub use find::{ArtifactKind, ArtifactSummary, Found, Located, Purpose, Query, find, locate, parse_time};
pub use history::{History, StoredVersion, Version, history};
