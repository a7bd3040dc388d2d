//! Creating bags: by copying, in place, or around content that is laid out already.

mod builder;
mod copy;
mod in_place;
mod laid_out;
mod plan;
mod staging;
mod tag_files;

pub use builder::{BagBuilder, Created};
pub(crate) use copy::{copy_files, proven};
pub(crate) use plan::Plan;
pub(crate) use staging::{PARTIAL_NAME, Staging, commit, commit_pending};
pub(crate) use tag_files::write_tag_files;

#[cfg(test)]
mod tests;
