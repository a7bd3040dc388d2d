//! A scripted DataONE node on the loopback interface, for tests: serves objects with their system metadata as a Member
//! Node and a Coordinating Node do, and fails as it is told.
#![doc = include_str!("../README.md")]

mod answer;
mod answers;
mod behaviour;
mod call;
mod catalog;
mod content;
mod digest;
mod exchange;
mod fault;
mod hash_store;
mod object;
mod package;
mod scale;
mod server;
mod xml;

pub use answer::Answer;
pub use behaviour::{Behaviour, Dialect, LocationEntry, Versions};
pub use call::{Call, Role};
pub use catalog::Catalog;
pub use content::Content;
pub use digest::checksum_of;
pub use exchange::{Request, RequestFacts};
pub use fault::{Action, Fault};
pub use hash_store::HashStoreFolder;
pub use object::StoredObject;
pub use package::Package;
pub use scale::Scale;
pub use scripted_http::When;
pub use server::{Config, ScriptedNode};
