//! Development tasks of the d1oci workspace, one module per command; `cargo xtask help` lists them.
//!
//! The tests of the workspace use [`sample`] from here as well.

pub mod bench;
pub mod ci;
pub mod console;
pub mod dist;
pub mod docs;
pub mod error;
pub mod gateway_bench;
pub mod lint;
pub mod metadata;
pub mod node;
pub mod peers;
pub mod process;
pub mod registry;
pub mod release;
pub mod repository;
pub mod sample;
pub mod test;
pub mod tidy;
pub mod torture;
pub mod workspace;
