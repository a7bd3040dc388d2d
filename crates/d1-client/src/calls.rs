//! The calls of the interface, one file for each kind.

pub(crate) mod describe;
pub(crate) mod documents;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod packages;
pub(crate) mod resolve;
pub(crate) mod search;
