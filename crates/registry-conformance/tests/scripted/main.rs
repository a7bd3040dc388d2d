//! The scriptable registry: it has to be right where it is not told to be wrong, and wrong just as it is told.

mod auth;
mod client;
mod connection_faults;
mod content_faults;
mod lists;
mod manifests;
mod presets;
mod quay;
mod uploads;
