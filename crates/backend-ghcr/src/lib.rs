//! A registry backend for GitHub's container registry, `ghcr.io`.
#![doc = include_str!("../README.md")]

mod annotations;
mod factory;
mod packages;
mod profile;

pub use annotations::{SHOWN_ANNOTATIONS, first_too_long};
pub use factory::{GhcrFactory, token_credential};
pub use packages::{GithubPackages, PackageVersion, Visibility};
pub use profile::profile;
