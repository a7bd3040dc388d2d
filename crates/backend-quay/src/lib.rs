//! A registry backend for quay.io and Project Quay.
#![doc = include_str!("../README.md")]

mod api;
mod profile;

pub use api::{EXPIRES_AFTER_ANNOTATION, QuayApi};
pub use profile::profile;

// Crates whose types are in this crate's signatures.
pub use {distribution_client, oci_model, registry_backend};
