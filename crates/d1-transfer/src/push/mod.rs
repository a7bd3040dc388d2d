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
pub use files::{FileToPush, attach_files, push_files};
pub use options::PushOptions;
pub use report::{PushReport, PushedLayer};
