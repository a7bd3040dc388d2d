//! A registry on the loopback interface that speaks distribution-spec 1.1.1, behaves like known registries, and fails as a test tells it.
//!
//! A [`Preset`] is a [`Behaviour`]. [`Auth`] says who may do what. Each [`Fault`] names a route, which of its requests it meets, and an
//! [`Action`]. A [`Request`] is one line of the log. Blobs are in temporary files, so that large ones need no memory.

mod answer;
mod apply;
mod auth;
mod behaviour;
mod exchange;
mod fault;
mod route;
mod routes;
mod server;
mod store;
mod tokens;

pub use answer::{Answer, RetryAfter};
pub use behaviour::{
    AcceptRule, Behaviour, BlobBehaviour, Config, ContentRange, CutPatch, DeleteBehaviour, ManifestBehaviour,
    Mounts, Preset, ReferrersApi, ReferrersBehaviour, SeveralPatches, TagsBehaviour, TokenBehaviour,
    UploadBehaviour, UploadState, UploadStatus,
};
pub use exchange::{Credentials, Request, RequestFacts, Server};
pub use fault::{Action, Fault};
pub use route::Route;
pub use scripted_http::When;
pub use server::ScriptedRegistry;
pub use tokens::{Auth, BearerAuth, User};
