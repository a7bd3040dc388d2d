//! Objects that are artifacts of their own, with their system metadata as referrers.

mod declared;
mod document;
mod place;
mod push;
mod store;

pub(crate) use declared::{DeclaredSource, Verdict};
pub(crate) use document::Document;
pub(crate) use place::Wanted;
pub use push::{AttachedSystemMetadata, ObjectReport, ObjectToPush, push_object};
pub(crate) use store::Storing;
