//! HTTP servers for tests: they answer correctly, fail as a script says, and log every request.
#![doc = include_str!("../README.md")]

mod answer;
pub mod body;
mod log;
mod query;
mod script;
mod server;

pub use answer::{Answer, empty, full, with_header};
pub use axum;
pub use body::Pieces;
pub use log::{Entry, Log, Request};
pub use query::Query;
pub use script::{Script, When};
pub use server::{Listener, Server};
