//! A registry on the loopback interface that speaks distribution-spec 1.1.1, behaves as known registries do, and fails
//! as a test tells it to.
//!
//! Its parts: a [`Preset`] is a [`Behaviour`]; [`Auth`] says whom it lets in; each [`Fault`] is a route, which of its
//! requests, and an [`Action`]; [`Request`] is one line of the log. Blobs are in temporary files, so that large ones need
//! no memory.

mod answer;
mod app;
mod apply;
mod auth;
mod behaviour;
mod body;
mod config;
mod fault;
mod log;
mod preset;
mod refused;
mod reply;
mod route;
mod routes;
mod serve;
mod server;
mod spool;
mod store;

pub use answer::{Answer, RetryAfter};
pub use auth::{Auth, BearerAuth, User};
pub use behaviour::{
    Behaviour, BlobBehaviour, ContentRange, CutPatch, DeleteBehaviour, ManifestBehaviour, Mounts,
    ReferrersApi, ReferrersBehaviour, TagsBehaviour, TokenBehaviour, UploadBehaviour, UploadState,
    UploadStatus,
};
pub use config::Config;
pub use fault::{Action, Fault, When};
pub use log::{Credentials, Request, Server};
pub use preset::Preset;
pub use route::Route;
pub use server::ScriptedRegistry;
