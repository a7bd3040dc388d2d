//! A registry backend for GitHub's container registry, `ghcr.io`.
#![doc = include_str!("../README.md")]

mod annotations;
mod packages;
mod profile;

pub use annotations::{SHOWN_ANNOTATIONS, first_too_long};
pub use packages::{GithubPackages, PackageVersion};
pub use profile::profile;

// Crates whose types are in this crate's signatures.
pub use {distribution_client, oci_model, registry_backend};
