//! An HTTP server that makes OCI repositories of DataONE packages readable by everybody.
#![doc = include_str!("../README.md")]

mod answer;
mod app;
mod blocks;
mod cache;
mod checksums;
mod content;
mod crc32s;
mod dataone;
mod event;
mod file_answer;
mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gateway;
mod listings;
mod metrics;
mod options;
mod packages;
mod recent;
mod representation;
mod request;
mod routes;
mod selection;
mod server;
mod stall;
mod store;
mod web;
mod xml;
mod zip;

pub use event::{Access, Event, Observer, Silent};
pub use gateway::{Error, Gateway, Repository};
pub use options::{GatewayOptions, Network, NetworkError, NodeFacts};

// Crates whose types are in this crate's signatures.
pub use {d1_catalog, registry_backend, tokio};
