//! Helpers of the end-to-end tests: the built binary, real peers, registries, bags, and directory trees to compare.

mod bags;
mod binary;
mod calls;
mod google_face;
mod link;
mod peers;
mod power;
mod registry;
mod scripted;
mod session;
mod store;
mod store_proxy;
mod system;
mod terminal;
pub mod torture;
mod trees;

pub use registry_conformance::scripted::Preset;

pub use bags::{AWKWARD_FILES, BagBuilder, payload};
pub use binary::{Outcome, bare_d1oci, binary, d1oci, run, run_with_input, xtask};
pub use calls::{Unsynced, unsynced};
pub use link::{Link, Lost};
pub use peers::{bagit_py_accepts, measured, peer, samples, skipped};
pub use power::PowerDisk;
pub use registry::{DockerRegistry, RealRegistry, RegistryProgram};
pub use scripted::Scripted;
pub use session::{RegistryKind, RunningRegistry, Session};
pub use store::{ObjectStore, StoreKind};
pub use store_proxy::{FaultKind, StoreFault, StoreProxy};
pub use terminal::Terminal;
pub use trees::{Tree, copy_tree, tree};
