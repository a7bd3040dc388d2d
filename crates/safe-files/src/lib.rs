//! Rules for paths and names that come from outside, and files that appear when they are complete.
#![doc = include_str!("../README.md")]

mod directory;
mod durable;
mod file_state;
mod names;
mod new_directory;
mod paths;
mod result_file;
mod working_directory;

pub use crate::directory::{Directory, Entry, NodeKind};
pub use crate::durable::sync_directory;
pub use crate::file_state::FileState;
pub use crate::names::{folded, normalised, same_when_folded};
pub use crate::new_directory::NewDirectory;
pub use crate::paths::{
    LONGEST_PATH, PathFault, WORK_NAMES, ancestors, components, has_work_name, is_absolute, is_below, leaves,
    parent, path_fault, portability_fault, without_dots,
};
pub use crate::result_file::{Existing, ResultFile};
pub use crate::working_directory::WorkingDirectory;
