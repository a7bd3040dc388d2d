//! HashStores, in which Metacat keeps its objects: reading them, and moving their objects into a repository.

mod config;
mod entry;
mod fault;
mod import;
mod layout;
mod objects;
mod options;
mod walk;

pub use fault::ImportFault;
pub use import::import_hashstore;
pub use options::{ImportOptions, ImportReport};
