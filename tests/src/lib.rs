//! Helpers shared by the end-to-end tests: the built binary, real peers, bags to try them on, and trees to compare.

mod bags;
mod binary;
mod peers;
mod registry;
pub mod torture;
mod trees;

pub use bags::{AWKWARD_FILES, BagBuilder, payload};
pub use binary::{Outcome, binary, d1oci, run};
pub use peers::{bagit_py_accepts, peer, samples, skipped};
pub use registry::DockerRegistry;
pub use trees::{Tree, copy_tree, tree};
