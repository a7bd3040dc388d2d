//! The contract for stores of OCI artifacts, and an implementation in memory.
#![doc = include_str!("../README.md")]

mod admin;
mod backend;
mod blob;
mod capabilities;
mod error;
mod extension;
mod factory;
mod memory;

pub use admin::{PruneOptions, PruneReport, Pruned, Pruner, Relisted, RepositoryAdmin};
pub use backend::{RegistryBackend, Subjects, TagEntry, WriteHint, Written};
pub use blob::{BlobRead, BlobSource, ByteStream, BytesSource};
pub use capabilities::Capabilities;
pub use error::{Error, ErrorKind, Result, Retry};
pub use extension::{RegistryBackendExt, verified};
pub use factory::{Access, BackendFactory, Backends, Fit, OpenOptions};
pub use memory::MemoryBackend;

// Crates whose types are in this crate's signatures.
pub use {async_trait, bytes, futures, oci_model};
