//! The `d1oci` program as a library: data packages of DataONE repositories in OCI registries and image layouts.
//!
//! A program with a backend of its own is this program plus one line in `main`. The backend serves its own scheme, such as
//! `tape:vault/7:v1`, or registries of its own, on the whole command line.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! # use oci_model::Location;
//! # use registry_backend::{BackendFactory, Fit, OpenOptions, RegistryBackend, Result};
//! # #[derive(Debug)]
//! # struct TapeFactory;
//! # #[async_trait::async_trait]
//! # impl BackendFactory for TapeFactory {
//! #     fn name(&self) -> &'static str { "tape" }
//! #     fn about(&self) -> &'static str { "tapes" }
//! #     fn fit(&self, _: &Location) -> Fit { Fit::No }
//! #     async fn open(&self, at: &Location, _: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
//! #         Err(registry_backend::Error::new(registry_backend::ErrorKind::Unsupported, "open", at))
//! #     }
//! # }
//! fn main() -> ExitCode {
//!     d1oci::Program::new().with_backend(TapeFactory).run()
//! }
//! ```
//!
//! `examples/own-backend` in the source repository is a whole such program.
#![doc = include_str!("../README.md")]

mod backends;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod buckets;
mod catalogs;
mod cli;
mod commands;
mod context;
#[cfg(feature = "distribution-client")]
mod credentials;
mod environment;
mod failure;
mod files;
mod fingerprints;
mod near;
#[cfg(feature = "d1-client")]
mod nodes;
mod output;
mod program;
#[cfg(feature = "distribution-client")]
mod registries;
#[cfg(feature = "distribution-client")]
mod settings;
#[cfg(feature = "d1-client")]
mod shard;
mod spellings;
mod translation;
mod typed;
#[cfg(feature = "distribution-client")]
mod uploads;

pub use program::Program;
