//! The client against a scripted node: every call, and every fault.

#![expect(clippy::print_stdout, reason = "tests say when they are skipped")]

mod calls;
mod faults;
mod get;
mod list;
mod packages;
mod resolve;
mod support;
