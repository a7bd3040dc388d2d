//! Creating bags: by copying, in place, or around content that is laid out already.

mod builder;
mod copy;
mod in_place;
mod laid_out;
mod plan;
mod tag_files;
mod workplace;

pub use builder::{BagBuilder, Created};
pub(crate) use copy::{copy_files, new_directory, proven, publish};
pub(crate) use plan::Plan;
pub(crate) use tag_files::write_tag_files;
pub(crate) use workplace::{Workplace, finish_interrupted};

#[cfg(test)]
mod tests;
