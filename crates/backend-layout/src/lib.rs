//! A registry backend over OCI image layouts in directories and object stores.
#![doc = include_str!("../README.md")]

mod archive;
mod backend;
mod bucket;
mod directory;
mod factory;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod manifests;
mod prune;
mod publish;
mod reachable;
mod referrers;
mod relist;
#[cfg(feature = "remote")]
mod remote;
mod storage;

pub use backend::LayoutBackend;
pub use bucket::Warnings;
pub use factory::LayoutFactory;
pub use object_store;
#[cfg(feature = "remote")]
pub use remote::BucketOptions;
