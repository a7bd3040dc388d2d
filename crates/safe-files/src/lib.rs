//! Rules for paths and names that come from outside, and names that survive a power cut.
#![doc = include_str!("../README.md")]

mod durable;
mod names;
mod paths;

pub use crate::durable::sync_directory;
pub use crate::names::{folded, normalised, same_when_folded};
pub use crate::paths::{
    LONGEST_PATH, PathFault, ancestors, components, is_absolute, is_below, leaves, parent, path_fault,
    portability_fault, without_dots,
};
