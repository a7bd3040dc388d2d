//! Rules for paths and names that come from outside.
#![doc = include_str!("../README.md")]

mod names;
mod paths;

pub use crate::names::{folded, normalised, same_when_folded};
pub use crate::paths::{
    LONGEST_PATH, PathFault, ancestors, components, is_absolute, is_below, leaves, parent, path_fault,
    portability_fault, without_dots,
};
