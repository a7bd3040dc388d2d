//! The commands, one file each: arguments, work, output.

mod archive;
pub(crate) mod attach;
mod audit_report;
pub(crate) mod backends;
pub(crate) mod backup;
pub(crate) mod bag;
pub(crate) mod blob;
pub(crate) mod cat;
pub(crate) mod catalog;
#[cfg(feature = "d1-client")]
pub(crate) mod compare;
pub(crate) mod complete;
pub(crate) mod completions;
mod confirm;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod discover;
pub(crate) mod export;
#[cfg(feature = "d1-client")]
pub(crate) mod fetch;
pub(crate) mod find;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
#[cfg(feature = "distribution-client")]
pub(crate) mod login;
#[cfg(feature = "distribution-client")]
pub(crate) mod logout;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod manifest;
pub(crate) mod mirror;
mod package;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod repair;
#[cfg(feature = "d1-client")]
pub(crate) mod replicate;
#[cfg(feature = "distribution-client")]
pub(crate) mod repo;
pub(crate) mod resolve;
mod selection;
#[cfg(feature = "d1-gateway")]
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod tag;
pub(crate) mod tags;
pub(crate) mod verify;
pub(crate) mod version;
#[cfg(feature = "d1-client")]
pub(crate) mod withdraw;
