//! Real registries and other clients.
#![expect(clippy::print_stdout, reason = "a skipped test says so in its output")]

mod conformance;
mod interop;
mod official;
mod support;
