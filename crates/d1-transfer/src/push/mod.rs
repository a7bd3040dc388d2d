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

pub use directory::{push_directory, push_prepared};
pub use files::{FileToPush, HashedFile, attach_files, hash_file, push_files};
pub use options::PushOptions;
pub use prepare::{HashedDirectory, Prepared, TagFilePlace, package_files};
pub use report::{PushReport, PushedLayer};
