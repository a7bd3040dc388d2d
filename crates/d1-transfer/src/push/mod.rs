//! Pushing: from files to blobs and a manifest in a store.

mod check;
mod directory;
mod files;
mod layers;
mod options;
mod prepare;
mod publish;
mod report;
mod sources;

pub use directory::push_directory;
#[cfg(feature = "d1-client")]
pub(crate) use directory::push_prepared;
pub use files::{FileToPush, attach_files, push_files};
pub(crate) use files::{HashedFile, hash_file};
pub use options::PushOptions;
#[cfg(feature = "d1-client")]
pub(crate) use prepare::{Prepared, bagging_date, made_files, package_files, warn_of_clashes};
pub(crate) use publish::{Artifact, report_of};
pub use report::{PushReport, PushedLayer};
#[cfg(feature = "d1-client")]
pub(crate) use sources::Sources;
