//! A registry backend over OCI image layouts in directories and object stores.
#![doc = include_str!("../README.md")]

mod admin;
mod attempts;
mod backend;
mod blocking;
mod bucket;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod bucket_url;
mod contract;
mod directory;
mod factory;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod manifests;
mod prune;
mod publish;
mod queue;
mod reach;
mod referrers;
mod storage;
mod transfer;

pub use backend::LayoutBackend;
pub use factory::LayoutFactory;
pub use object_store;
